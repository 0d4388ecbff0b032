"""spool_model: the queue as a plain program would keep it in memory, to hold the real one against.

Takes      what happened, in the order in which it happened
Gives      the state that each instance and delivery must have now; who was promised what
Raises     `Refused`: the real spool must refuse this too

It knows no SQL, no file and no lease token: only the rules of the design. What it foretells is
compared row by row after every step.
"""

from collections.abc import Iterable, Iterator

from spool.delivering import CHECK_AFTER_S
from spool.earlier import WAITS
from spool.rows import CHECK_WAIT_MOST_S, LEASE_S
from tests.fakes.spool_destinations import Destinations
from tests.fakes.spool_items import OPEN, OVER, Item, Lease, Sending


class SpoolModel(Destinations):
    """What the stages do, beside what persons order."""

    # leases

    def new_lease(self, mark: str) -> Lease:
        return Lease(mark, self.clock.boot_id, self.clock.up_s + LEASE_S)

    # prepare

    def due_items(self) -> list[Item]:
        """Return the most urgent instances that a claim may give."""
        due = [
            one
            for one in self.items.values()
            if one.state == "received" and one.due <= self.clock.now_s and self.is_free(one.lease)
        ]
        return [one for one in due if one.priority == min(each.priority for each in due)]

    def ready(self, item: Item, destinations: Iterable[str], sends: str) -> None:
        item.on_disk.add(sends)
        for destination in dict.fromkeys([*sorted(item.added), *destinations]):
            order = item.order_for(destination)
            state = {"hold": "held", "cancel": "cancelled"}.get(order, "queued")
            rounds = [one.state for one in item.sendings if one.destination == destination]
            if all(one in OVER for one in rounds) and not (state in rounds and state == OVER[0]):
                self._open(item, destination, sends, state).is_by_person = state == "held"
        item.leave("ready")
        item.words.append("ready")
        self._settle(item)
        self._let_followers_go_on(item)

    def hold(self, item: Item, code: str, detail: str) -> None:
        item.leave("held", code, is_missing=detail == "missing")
        item.words.append("held")
        self._let_followers_go_on(item)

    def merge(self, item: Item) -> None:
        item.leave("merged", "sent-again")
        item.on_disk.clear()
        item.words.append("merged")
        self._let_followers_go_on(item)

    def defer(self, item: Item, code: str, delay_s: float) -> None:
        item.reason, item.due, item.lease = code, self.clock.now_s + delay_s, None

    def cut_waits(self, longest_s: float) -> None:
        """A clock that stepped makes no wait longer than the longest."""
        for one in self._waiting():
            one.due = min(one.due, self.clock.now_s + longest_s)
        for one in self._unconfirmed():
            one.check_at = min(one.check_at, self.clock.now_s + CHECK_WAIT_MOST_S)

    def end_leases(self, longest_s: float) -> None:
        """A stage that starts is alone, and no wait is longer than the longest."""
        self.cut_waits(longest_s)
        for one in (*self._waiting(), *self._unconfirmed()):
            one.lease = None

    # forward and confirm

    def due_sendings(self, destination: str) -> list[Sending]:
        due = [
            (item.priority, one)
            for item in self.items.values()
            for one in item.open_to(destination, "queued")
            if one.due <= self.clock.now_s
            and self.is_free(one.lease)
            and destination not in self.paused
        ]
        return [one for priority, one in due if priority == min(each[0] for each in due)]

    def sent(self, item: Item, sending: Sending, *, settles: bool) -> None:
        sending.leave("sent")
        sending.is_firm = settles
        sending.check_at = self.clock.now_s + CHECK_AFTER_S
        item.words.append("sent")
        self._settle(item)

    def put_off(self, sending: Sending, delay_s: float, *, away: bool = False) -> None:
        sending.due, sending.lease = self.clock.now_s + delay_s, None
        sending.is_away = away

    def refuse(self, item: Item, sending: Sending, delay_s: float) -> None:
        self.put_off(sending, delay_s)
        item.words.append("refused")

    def hold_sending(self, item: Item, sending: Sending, *, is_damaged: bool = False) -> None:
        sending.leave("held", is_damaged=is_damaged)
        item.words.append("held")

    def come_back(self, destination: str) -> None:
        for one in self._queued():
            if one.destination == destination and one.is_away:
                one.due, one.is_away = self.clock.now_s, False

    def give_up(self, give_up_s: float) -> None:
        before = self.trusted_s() - give_up_s
        for item in self.items.values() if before > 0 else ():
            for one in item.open_to("", "queued"):
                if one.waits_since < before:
                    self.hold_sending(item, one)

    # retire

    def retire(self, older_than_s: float) -> None:
        for item in self.items.values():
            is_old = 0 < item.settled <= self.trusted_s() - older_than_s
            if item.state == "ready" and is_old:
                item.leave("retired")
                item.on_disk.clear()
                item.words.append("retired")

    def empty_trash(self, older_than_s: float) -> None:
        for item in self.items.values():
            is_old = item.withdrawn <= self.trusted_s() - older_than_s
            if item.state == "withdrawn" and is_old and item.on_disk:
                item.on_disk.clear()
                item.words.append("trash emptied")

    def trim(self) -> None:
        for item in self.items.values():
            waits = any(
                one.rendition == "received" and not one.is_firm
                for one in item.open_to("", *OPEN, "sent")
            )
            if item.state == "ready" and item.on_disk == {"received", "compressed"} and not waits:
                item.on_disk.discard("received")
                item.words.append("trimmed")

    def lose(self, item: Item, role: str) -> None:
        """A file is gone that should be there: nothing is sent from it."""
        item.on_disk.discard(role)
        for one in item.sendings:
            one.is_gone |= one.rendition == role
        for one in item.open_to("", "queued"):
            if one.rendition == role:
                one.leave("held", is_damaged=True, is_missing=True)
        if item.state == "received" and not item.on_disk:
            item.leave("held", "damaged", is_missing=True)

    def find(self, item: Item, role: str) -> None:
        """A file that was lost is back: what was held for want of it goes on."""
        item.on_disk.add(role)
        for one in item.sendings:
            one.is_gone &= one.rendition != role
        for one in item.open_to("", "held"):
            if one.rendition == role and one.is_missing:
                one.leave("queued")
        if item.state == "held" and item.is_missing:
            item.leave("received")

    def _let_followers_go_on(self, item: Item) -> None:
        """What came later under its UID waits no more for what becomes of it."""
        items = list(self.items.values())
        for one in items[items.index(item) + 1 :]:
            waits = one.state == "received" and one.reason == WAITS
            if waits and one.uid == item.uid:
                one.due = 0.0

    def _waiting(self) -> Iterator[Item | Sending]:
        yield from (one for one in self.items.values() if one.state == "received")
        yield from self._queued()

    def _unconfirmed(self) -> Iterator[Sending]:
        for item in self.items.values():
            yield from (one for one in item.open_to("", "sent") if not one.is_firm)

    def _queued(self) -> Iterator[Sending]:
        return (one for item in self.items.values() for one in item.open_to("", "queued"))
