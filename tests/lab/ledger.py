"""ledger: what modalities sent over all lives of one drive, what they were promised, what arrived.

Takes      runs after their cut, in their order, and what archives took
Gives      each fault in words: no line means that nothing was altered or mixed up
"""

from collections.abc import Iterable

from tests.fakes.scripted_archive import Took
from tests.lab.bench import Run
from tests.lab.pictures import Picture, arrived_equal
from tests.lab.sender import Acked


class Ledger:
    """Begins empty."""

    def __init__(self) -> None:
        self._sent: dict[str, Picture] = {}
        self._earlier: list[Acked] = []
        self._last: list[Acked] = []
        self._arrived: dict[str, bytes] = {}

    def note(self, run: Run) -> None:
        """Add what was sent and promised in the latest run."""
        self._sent |= {one.uid: one for one in run.sent()}
        self._earlier += self._last
        self._last = run.acked()

    def promised(self, position: int | None = None) -> dict[str, Picture]:
        """Return what was acknowledged, in the latest run up to `position` of its log, by UID."""
        last = [one for one in self._last if position is None or one.position <= position]
        return {one.picture.uid: one.picture for one in self._earlier + last}

    def wrong(self, took: Iterable[Took]) -> list[str]:
        """Return what is wrong in what arrived: other pixels, or a repeat with other bytes."""
        return [f"{one.sop_instance_uid}: {fault}" for one in took if (fault := self._fault(one))]

    def _fault(self, took: Took) -> str:
        uid = took.sop_instance_uid
        if uid in self._arrived:
            return "" if took.data == self._arrived[uid] else "repeated with other bytes"
        self._arrived[uid] = took.data
        if uid not in self._sent:
            return "nobody sent it"
        return "" if arrived_equal(took, self._sent[uid]) else "other pixels"
