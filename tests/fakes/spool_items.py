"""spool_items: instances and deliveries as a plain program would keep them in memory."""

from dataclasses import dataclass, field

OPEN = ("queued", "held")
OVER = ("cancelled", "superseded")


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
    is_gone: bool = False  #: its own file was lost, whatever was made again since
    is_by_person: bool = False  #: held by a person for itself
    is_stuck: bool = False  #: sent, and something prevents that it is confirmed
    is_in_bulk: bool = False  #: cancelled together with all the others
    stands_for: str = ""  #: the destination in whose place it was opened
    number: int = 0  #: in the order in which deliveries were opened
    check_at: float = 0.0
    tied: str = ""  #: the transaction whose report it waits for
    lease: Lease | None = None

    def leave(self, state: str, *, is_damaged: bool = False, is_missing: bool = False) -> None:
        self.state, self.lease, self.tied = state, None, ""
        self.is_damaged, self.is_missing, self.is_by_person = is_damaged, is_missing, False
        self.is_stuck = False


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
    added: set[str] = field(default_factory=set)  #: where persons sent it, routes or not
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

    @property
    def best(self) -> str:
        """Return the rendition that another destination gets, "" where no file is left."""
        return max(self.on_disk, default="", key=("received", "compressed").index)

    def is_live(self, destination: str) -> bool:
        """Tell whether the destination gets it, or has it."""
        return any(
            one.destination == destination and one.state not in OVER for one in self.sendings
        )

    def last_rounds(self, destination: str) -> list[Sending]:
        last = {one.destination: one for one in sorted(self.sendings, key=lambda s: s.round)}
        return [one for name, one in last.items() if destination in ("", name)]
