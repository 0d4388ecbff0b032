"""spool_destinations: what becomes of deliveries once they were sent, and of whole backlogs.

Gives      what may be asked about, and what each answer makes of it; pause, offer, move, failover
Holds      nothing that the design does not
"""

from spool.confirming import VANISHED_MOST
from spool.rows import CHECK_WAIT_MOST_S
from tests.fakes.spool_items import OPEN, OVER, Item, Lease, Sending
from tests.fakes.spool_persons import Persons
from tests.fakes.spools import FakeClock


class Destinations(Persons):
    """Transactions by their UIDs with their deadlines, and which destinations are paused."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.deadlines, self.paused = dict[str, float](), set[str]()

    def is_free(self, lease: Lease | None) -> bool:
        return (
            lease is None or lease.boot_id != self.clock.boot_id or lease.until <= self.clock.up_s
        )

    # confirm

    def due_questions(self, destination: str) -> list[Sending]:
        if destination in self.paused:
            return []
        return [
            one
            for item in self.items.values()
            for one in item.open_to(destination, "sent")
            if not (one.is_firm or one.tied or _goes_again(item, one, ("queued", "sent")))
            if one.check_at <= self.clock.now_s and self.is_free(one.lease)
        ]

    def confirmed(self, item: Item, sending: Sending) -> None:
        sending.leave("confirmed")
        item.words.append("confirmed")
        self._settle(item)

    def asked_later(self, sending: Sending, delay_s: float) -> None:
        sending.lease, sending.tied, sending.is_stuck = None, "", True
        sending.check_at = self.clock.now_s + min(delay_s, CHECK_WAIT_MOST_S)

    def missing(self, item: Item, sending: Sending) -> None:
        sending.leave("superseded")
        item.words.append("missing")
        if item.state == "ready" and not _goes_again(
            item, sending, ("queued", "sent", "held", "confirmed")
        ):
            self._send_again(item, sending)
        self._settle(item)

    def held_there(self, item: Item, sending: Sending) -> None:
        if item.state == "ready" and item.order_for(sending.destination) == "cancel":
            for what in ("resend", "hold"):
                self.order(what, item, sending.destination)
        sending.leave("held")
        item.words.append("held")

    def begin(self, uid: str, sendings: list[Sending], within_s: float) -> None:
        self.tick()
        self.deadlines[uid] = self.trusted_s() + within_s
        for one in sendings:
            one.tied, one.lease = uid, None

    def tied_to(self, uid: str) -> list[tuple[Item, Sending]]:
        return [
            (item, one)
            for item in self.items.values()
            for one in item.open_to("", "sent")
            if one.tied == uid
        ]

    def overdue(self, destination: str) -> set[str]:
        """Return the transactions that somebody still waits for, and not in time."""
        return {
            uid
            for uid, deadline in self.deadlines.items()
            if deadline <= self.trusted_s()
            and any(one.destination == destination for _, one in self.tied_to(uid))
        }

    def close(self, uid: str) -> None:
        for _, one in self.tied_to(uid):
            one.tied = ""

    def _send_again(self, item: Item, sending: Sending) -> None:
        if item.order_for(sending.destination) == "cancel":
            is_cancelled = _goes_again(item, sending, ("cancelled",))
            for what in ("resend", "hold")[: 1 + is_cancelled]:
                self.order(what, item, sending.destination)
        is_gone = sending.is_gone or sending.rendition not in item.on_disk
        held = is_gone or _goes_again(item, sending, ("cancelled",)) or _vanished(item, sending)
        new = self._open(item, sending.destination, sending.rendition, "held" if held else "queued")
        new.is_damaged = new.is_missing = new.is_gone = is_gone
        item.settled = 0.0
        item.words += ["held"] * bool(held)

    # whole backlogs

    def offer(self, to: str) -> None:
        for item in self.items.values():
            is_kept = any(one.is_by_person for one in item.sendings)
            is_wanted = not item.sendings or any(one.state != "cancelled" for one in item.sendings)
            never = not any(one.destination == to for one in item.sendings)
            stops = item.order_for(to) in ("hold", "cancel")
            if item.state == "ready" and never and is_wanted and not (is_kept or stops):
                self._offer(item, to)

    def _offer(self, item: Item, to: str) -> None:
        if item.best:
            self.order("resend", item, to)
            self._open(item, to, item.best, "queued")
            item.settled = 0.0
            item.words.append("offered")

    def move(self, source: str, to: str) -> None:
        met = [
            (item, one, self._is_held_at(item, one, to))
            for item in self.items.values()
            for one in item.open_to(source, *OPEN)
            if item.state != "withdrawn"
            if item.is_live(to) or (item.state == "ready" and item.best)
        ]
        for item, _, held in met:
            self.order("cancel", item, source)
            for what in () if item.is_live(to) else ("resend", "hold")[: 1 + held]:
                self.order(what, item, to)
        for item, one, held in met:
            self._move(item, one, to, held=held)

    def _move(self, item: Item, sending: Sending, to: str, *, held: bool) -> None:
        self._cancel_in_bulk(item, sending, "moved")
        if not item.is_live(to):
            self._open(item, to, item.best, "held" if held else "queued").is_by_person = held
            item.settled = 0.0

    def stand_in(self, away: str, to: str) -> None:
        for item in self.items.values():
            never = not any(one.destination == to for one in item.sendings)
            stops = item.order_for(to) in ("hold", "cancel")
            waits = item.open_to(away, "queued")
            if item.state == "ready" and item.best and never and waits and not stops:
                self._open(item, to, item.best, "queued").stands_for = away
                item.settled = 0.0
                item.words.append("stands in")

    def stand_down(self, back: str, to: str) -> None:
        for item in self.items.values():
            firm = [
                one.number
                for one in item.open_to(to, "confirmed", "sent")
                if one.stands_for == back and (one.state == "confirmed" or one.is_firm)
            ]
            for one in item.open_to(back, "queued"):
                if any(number > one.number for number in firm):
                    self.order("cancel", item, back)
                    self._cancel_in_bulk(item, one, "stays-there")

    def _cancel_in_bulk(self, item: Item, sending: Sending, word: str) -> None:
        sending.leave("cancelled")
        sending.is_in_bulk = True
        item.words.append(word)
        self._settle(item)

    def _is_held_at(self, item: Item, sending: Sending, to: str) -> bool:
        if sending.state == "held" and sending.is_by_person:
            return True
        if any(one.is_in_bulk for one in item.last_rounds(to)):
            return False
        return item.order_for(to) in ("hold", "cancel")


def _goes_again(item: Item, sending: Sending, states: tuple[str, ...]) -> bool:
    return any(one.round > sending.round for one in item.open_to(sending.destination, *states))


def _vanished(item: Item, sending: Sending) -> bool:
    """Tell whether it was lost there too often in a row."""
    rounds = [one for one in item.sendings if one.destination == sending.destination]
    firm = max((one.round for one in rounds if one.state != OVER[1]), default=0)
    return sum(one.round > firm for one in rounds) >= VANISHED_MOST
