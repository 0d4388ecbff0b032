"""spool_model: the queue as a plain program would keep it in memory, to hold the real one against.

Takes      what happened, in the order in which it happened
Gives      the state that each instance and delivery must have now; who was promised what
Raises     `Refused`: the real spool must refuse this too

It knows no SQL, no file and no lease token: only the rules of the design. What it foretells is
compared row by row after every step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from spool.earlier import WAITS
from spool.rows import LEASE_S
from tests.fakes.spools import FakeClock

#: A moment that is not "never": what settles in the first second of a box settles then.
FIRST_MOMENT = 1e-3
OPEN = ("queued", "held")
#: Orders about the instance, whatever destination is named.
WHOLE = ("withdraw", "restore")


class Refused(Exception):
    """This may not be done now; nothing has changed."""


@dataclass(frozen=True)
class Lease:
    """Who works on a row; ends with its time or its boot."""

    mark: str
    boot_id: str
    until: float


@dataclass(eq=False)
class Sending:
    """One delivery."""

    destination: str
    round: int
    rendition: str  #: "received" or "compressed"
    state: str
    waits_since: float
    due: float = 0.0
    is_firm: bool = False  #: nothing firmer is asked for
    is_away: bool = False  #: waits because its destination was not there
    is_damaged: bool = False  #: held since its file is not what was written
    is_missing: bool = False  #: held for want of its file
    lease: Lease | None = None

    def leave(self, state: str, *, is_damaged: bool = False, is_missing: bool = False) -> None:
        self.state, self.lease = state, None
        self.is_damaged, self.is_missing = is_damaged, is_missing


@dataclass(eq=False)
class Item:
    """One instance: what came, where it stands, what persons have ordered about it."""

    uid: str
    data: bytes
    door: str
    priority: int
    state: str = "received"
    reason: str = ""
    is_missing: bool = False  #: held for want of its file
    waived: set[str] = field(default_factory=set)
    due: float = 0.0
    lease: Lease | None = None
    on_disk: set[str] = field(default_factory=lambda: {"received"})
    settled: float = 0.0
    withdrawn: float = 0.0
    sendings: list[Sending] = field(default_factory=list)
    orders: dict[str, str] = field(default_factory=dict)  #: destination, "" the others -> order
    words: list[str] = field(default_factory=list)  #: the history in its own words

    def order_for(self, destination: str) -> str:
        return self.orders.get(destination, self.orders.get("", ""))

    def leave(self, state: str, reason: str = "", *, is_missing: bool = False) -> None:
        self.state, self.reason, self.lease = state, reason, None
        self.is_missing = is_missing

    def open_to(self, destination: str, *states: str) -> list[Sending]:
        """Return the deliveries in one of `states` to this destination, or to all ("")."""
        return [
            one
            for one in self.sendings
            if one.state in states and destination in ("", one.destination)
        ]

    def last_rounds(self, destination: str) -> list[Sending]:
        last = {one.destination: one for one in sorted(self.sendings, key=lambda s: s.round)}
        return [one for name, one in last.items() if destination in ("", name)]


class SpoolModel:
    """All items, by the name of the blob that came; `clock` is the real spool's own."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.items = clock, dict[str, Item]()
        self._counted: tuple[str, float, float] | None = None

    # time

    def trusted_s(self) -> float:
        if self._counted is None:
            return 0.0
        boot_id, up_s, seconds = self._counted
        return seconds + (self.clock.up_s - up_s if boot_id == self.clock.boot_id else 0.0)

    def moment(self) -> float:
        return max(self.trusted_s(), FIRST_MOMENT)

    def tick(self) -> None:
        self._counted = (self.clock.boot_id, self.clock.up_s, self.trusted_s())

    def know_time(self, counted: tuple[str, float, float] | None) -> None:
        self._counted = counted

    def is_free(self, lease: Lease | None) -> bool:
        return (
            lease is None or lease.boot_id != self.clock.boot_id or lease.until <= self.clock.up_s
        )

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
        for destination in destinations:
            order = item.order_for(destination)
            state = {"hold": "held", "cancel": "cancelled"}.get(order, "queued")
            rounds = [one for one in item.sendings if one.destination == destination]
            if all(one.state == "cancelled" != state for one in rounds):
                self._open(item, destination, sends, state)
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

    def end_leases(self, longest_s: float) -> None:
        """A stage that starts is alone, and no wait is longer than the longest."""
        self.cut_waits(longest_s)
        for one in self._waiting():
            one.lease = None

    # forward and confirm

    def due_sendings(self, destination: str) -> list[Sending]:
        due = [
            (item.priority, one)
            for item in self.items.values()
            for one in item.open_to(destination, "queued")
            if one.due <= self.clock.now_s and self.is_free(one.lease)
        ]
        return [one for priority, one in due if priority == min(each[0] for each in due)]

    def sent(self, item: Item, sending: Sending, *, settles: bool) -> None:
        sending.leave("sent")
        sending.is_firm = settles
        item.words.append("sent")
        self._settle(item)

    def confirmed(self, item: Item, sending: Sending) -> None:
        if sending.state != "sent":
            raise Refused
        sending.leave("confirmed")
        item.words.append("confirmed")
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
            waits = any(one.rendition == "received" for one in item.open_to("", *OPEN))
            if item.state == "ready" and item.on_disk == {"received", "compressed"} and not waits:
                item.on_disk.discard("received")
                item.words.append("trimmed")

    def lose(self, item: Item, role: str) -> None:
        """A file is gone that should be there: nothing is sent from it."""
        item.on_disk.discard(role)
        for one in item.open_to("", "queued"):
            if one.rendition == role:
                one.leave("held", is_damaged=True, is_missing=True)
        if item.state == "received" and not item.on_disk:
            item.leave("held", "damaged", is_missing=True)

    def find(self, item: Item, role: str) -> None:
        """A file that was lost is back: what was held for want of it goes on."""
        item.on_disk.add(role)
        for one in item.open_to("", "held"):
            if one.rendition == role and one.is_missing:
                one.leave("queued")
        if item.state == "held" and item.is_missing:
            item.leave("received")

    # persons

    def decide(self, what: str, item: Item, destination: str) -> None:
        """Do what a person orders, whole or for one destination."""
        to = "" if what in WHOLE else destination
        meant = self.meant(what, item, to)
        if not getattr(self, f"_{what}")(item, to):
            raise Refused
        item.words.append(what)
        for one in meant:
            self.order(what, item, one)

    def meant(self, what: str, item: Item, destination: str) -> set[str]:
        """Return the destinations of which an order speaks, "" for the whole."""
        if what != "hold" or destination:
            return {destination}
        waiting = {one.destination for one in item.open_to("", "queued")}
        return waiting | ({""} if item.state == "received" else set())

    def order(self, what: str, item: Item, destination: str) -> None:
        """Remember what a person wants: it stands beside the file, whatever becomes of the rows."""
        if what in WHOLE:
            item.orders = {"": "withdraw"} if what == "withdraw" else {}
            return
        for key in [destination] if destination else {"", *item.orders}:
            item.orders[key] = _after(what, item.order_for(key), is_whole=not destination)

    def come_into_force(self, item: Item) -> None:
        """Apply what stands beside the file to rows that do not know it."""
        if item.order_for("") == "withdraw" and self._withdraw(item, ""):
            item.words.append("withdraw")
        if item.order_for("") == "hold" and item.state == "received":
            item.leave("held", "operator")
            item.words.append("hold")
        for name in sorted({one.destination for one in item.open_to("", *OPEN)}):
            order = item.order_for(name)
            move = {"hold": self._hold, "cancel": self._cancel}.get(order)
            if move and move(item, name):
                item.words.append(order)

    def _hold(self, item: Item, destination: str) -> int:
        met = item.open_to(destination, "queued")
        for one in met:
            one.leave("held")
        if not destination and item.state == "received":
            item.leave("held", "operator")
            return 1
        return len(met)

    def _release(self, item: Item, destination: str) -> int:
        return self._again(item, destination, ("held",), waives=True)

    def _retry(self, item: Item, destination: str) -> int:
        return self._again(item, destination, OPEN, waives=False)

    def _again(self, item: Item, destination: str, states: tuple[str, ...], *, waives: bool) -> int:
        met = [one for one in item.open_to(destination, *states) if one.lease is None]
        for one in met:
            if one.is_damaged and "received" in item.on_disk:
                one.rendition = "received"
            one.leave("queued")
            one.due, one.waits_since, one.is_away = 0.0, self.trusted_s(), False
        if destination or item.state not in ("held", "received") or item.lease:
            return len(met)
        item.waived |= {item.reason} if waives else set()
        item.leave("received")
        item.due = 0.0
        return 1

    def _cancel(self, item: Item, destination: str) -> int:
        met = item.open_to(destination, *OPEN)
        for one in met:
            one.leave("cancelled")
        self._settle(item)
        return len(met)

    def _withdraw(self, item: Item, _: str) -> int:
        if item.state not in ("received", "ready", "held"):
            return 0
        item.leave("withdrawn", item.reason)
        item.withdrawn = self.moment()
        self._cancel(item, "")
        return 1

    def _restore(self, item: Item, _: str) -> int:
        if item.state != "withdrawn" or not item.on_disk:
            return 0
        item.leave("received")
        item.settled = item.withdrawn = 0.0
        return 1

    def _resend(self, item: Item, destination: str) -> int:
        met = [
            one
            for one in item.last_rounds(destination)
            if one.state in ("sent", "confirmed", "cancelled") and one.rendition in item.on_disk
        ]
        if item.state != "ready" or not met:
            return 0
        for one in met:
            self._open(item, one.destination, one.rendition, "queued")
        item.settled = 0.0
        return len(met)

    def _open(self, item: Item, destination: str, sends: str, state: str) -> None:
        number = 1 + sum(one.destination == destination for one in item.sendings)
        item.sendings.append(Sending(destination, number, sends, state, self.trusted_s()))

    def _settle(self, item: Item) -> None:
        firm = [
            one.state in ("confirmed", "cancelled") or (one.state == "sent" and one.is_firm)
            for one in item.sendings
        ]
        if item.state == "ready" and firm and all(firm):
            item.settled = self.moment()

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

    def _queued(self) -> Iterator[Sending]:
        return (one for item in self.items.values() for one in item.open_to("", "queued"))


def _after(what: str, before: str, *, is_whole: bool) -> str:
    """Return what is ordered for a destination after one more order."""
    if what in ("release", "retry"):
        return "" if before == "hold" else before
    if what == "hold":
        return before if before == "cancel" else "hold"
    if what == "cancel":
        return "cancel"
    return before if is_whole and before != "cancel" else ""
