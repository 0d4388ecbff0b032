"""spool_persons: what a person may order, and what it does to a plain queue in memory.

Gives      the state of each item after an order; the orders that must outlive the database
Raises     `Refused`: the real spool must refuse this too
"""

from tests.fakes.spool_items import OPEN, OVER, Item, Refused, Sending
from tests.fakes.spools import FakeClock

#: A moment that is not "never": what settles in the first second of a box settles then.
FIRST_MOMENT = 1e-3
#: Orders about the instance, whatever destination is named.
WHOLE = ("withdraw", "restore")


class Persons:
    """Items by the name of the blob that came, and trusted time; `clock` is the real spool's."""

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
        if what == "cancel" or what in WHOLE:
            item.added -= {destination} if destination else item.added
        if what == "resend" and destination:
            item.added.add(destination)
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
        for name in sorted(item.added):
            if item.state == "ready" and item.best and not item.is_live(name):
                self._open(item, name, item.best, "queued")
                item.settled = 0.0
                item.words.append("resend")
        for name in sorted({one.destination for one in item.open_to("", *OPEN)}):
            order = item.order_for(name)
            move = {"hold": self._hold, "cancel": self._cancel}.get(order)
            if move and move(item, name):
                item.words.append(order)

    def _hold(self, item: Item, destination: str) -> int:
        met = item.open_to(destination, "queued")
        for one in met:
            one.leave("held")
            one.is_by_person = True
        if not destination and item.state == "received":
            item.leave("held", "operator")
            return 1
        return len(met)

    def _release(self, item: Item, destination: str) -> int:
        return self._again(item, destination, ("held",), waives=True) or self._accept(
            item, destination
        )

    def _accept(self, item: Item, destination: str) -> int:
        """Take for enough what was sent: by name, or what is stuck."""
        met = [
            one
            for one in item.open_to(destination, "sent")
            if not one.is_firm and (destination or one.is_stuck)
        ]
        for one in met:
            one.is_firm, one.lease, one.tied, one.is_stuck = True, None, "", False
        if met:
            self._settle(item)
        return len(met)

    def _retry(self, item: Item, destination: str) -> int:
        return self._again(item, destination, OPEN, waives=False)

    def _again(self, item: Item, destination: str, states: tuple[str, ...], *, waives: bool) -> int:
        met = [one for one in item.open_to(destination, *states) if one.lease is None]
        for one in met:
            if one.is_damaged and "received" in item.on_disk:
                one.rendition, one.is_gone = "received", False
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
        met = [one for one in item.last_rounds(destination) if one.state not in OPEN and item.best]
        if item.state != "ready" or not met:
            return 0
        for one in sorted(met, key=lambda one: one.destination):
            sends = one.rendition if one.rendition in item.on_disk else item.best
            self._open(item, one.destination, sends, "queued")
        item.settled = 0.0
        return len(met)

    def _open(self, item: Item, destination: str, sends: str, state: str) -> Sending:
        nth = 1 + sum(one.destination == destination for one in item.sendings)
        new = Sending(destination, nth, sends, state, self.trusted_s())
        new.number = 1 + max((one.number for one in item.sendings), default=0)
        item.sendings.append(new)
        return new

    def _settle(self, item: Item) -> None:
        firm = [
            one.state in ("confirmed", *OVER) or (one.state == "sent" and one.is_firm)
            for one in item.sendings
        ]
        if item.state == "ready" and firm and all(firm):
            item.settled = self.moment()


def _after(what: str, before: str, *, is_whole: bool) -> str:
    """Return what is ordered for a destination after one more order."""
    if what in ("release", "retry"):
        return "" if before == "hold" else before
    if what == "hold":
        return before if before == "cancel" else "hold"
    if what == "cancel":
        return "cancel"
    return before if is_whole and before != "cancel" else ""
