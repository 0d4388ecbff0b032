"""spool_items: instances and deliveries as a plain program would keep them in memory."""

from dataclasses import dataclass, field

OPEN = ("queued", "held")


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
