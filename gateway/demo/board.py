"""Where each object stands while the demo runs.

Takes      what the modality tells, what the gateway lists, what reached the archive
Gives      one row an object, and one word for its stage
Holds      nothing that the gateway does not say itself
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.demo.appliance import ARRIVED, Item
from gateway.demo.peers import Step
from gateway.demo.pictures import Picture
from gateway.language import N_

WAITING = N_("waiting")

#: What the modality tells, in words.
TOLD: dict[Step | None, str] = {
    None: WAITING,
    "sending": N_("on the wire"),
    "refused": N_("refused"),
    "unanswered": N_("not acknowledged"),
    "saved": N_("saved"),
}


@dataclass(slots=True)
class Row:
    """One object on its way."""

    picture: Picture
    step: Step | None = None  #: the last thing the modality told of it
    item: Item | None = None  #: as the gateway listed it last
    arrived: int = 0  #: how often it reached the archive

    @property
    def received(self) -> bool:
        """Whether the gateway has acknowledged it."""
        return self.step == "saved"

    @property
    def prepared(self) -> bool:
        """Whether the gateway has looked at it and made what it will send."""
        return self.item is not None and self.item.state != "received"

    @property
    def queued(self) -> bool:
        """Whether a delivery to the archive is put down."""
        return self.item is not None and self.item.delivery != ""

    @property
    def held(self) -> bool:
        """Whether it waits for a person."""
        return self.item is not None and "held" in (self.item.state, self.item.delivery)

    @property
    def sent(self) -> bool:
        """Whether the archive has answered success."""
        return self.item is not None and self.item.delivery in ARRIVED

    @property
    def stage(self) -> str:
        """One word or two for where it stands, marked for translation."""
        if self.sent:
            return N_("in the archive") if self.arrived else N_("sent")
        if self.held:
            return N_("held")
        return N_("prepared and queued") if self.queued else TOLD[self.step]


class Board:
    """The rows, in the order of sending; threads may tell, one thread looks."""

    def __init__(self, pictures: Sequence[Picture]) -> None:
        self.news = threading.Event()  #: set when something may have changed
        self._rows = {picture.sop_instance_uid: Row(picture) for picture in pictures}

    @property
    def rows(self) -> list[Row]:
        """Every row, in the order of sending."""
        return list(self._rows.values())

    def tell(self, sop_instance_uid: str, step: Step) -> None:
        """Take what the modality says of one object."""
        self._rows[sop_instance_uid].step = step
        self.news.set()

    def hear(self, _line: str) -> None:
        """Take any line a program printed as a sign that something moved."""
        self.news.set()

    def observe(self, items: Mapping[str, Item], arrived: Mapping[str, int]) -> None:
        """Take what the gateway lists and what the archive counted."""
        for uid, row in self._rows.items():
            row.item = items.get(uid)
            row.arrived = arrived.get(uid, 0)

    def unacknowledged(self) -> list[Picture]:
        """Return what a modality would send again."""
        return [row.picture for row in self.rows if not row.received]
