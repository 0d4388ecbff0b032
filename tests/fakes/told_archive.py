"""told_archive: an `Archive` that says what a test tells it, for answers of every kind."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.destinations.archive import Ahead, Answer, ArchiveAway, Batch, ReadBack, Sought
from gateway.dicom.status import Verdict
from spool.model import Rendition

SENT = Answer(Verdict.SENT)


class ToldArchive:
    """Answers each object by `answers`, else success; a fault in `faults` goes first, once each."""

    def __init__(self, batch: Batch = Batch(10, 1 << 30)) -> None:  # noqa: B008  # it is frozen
        self.size = batch
        self.answers: dict[str, Answer] = {}  #: by SOP Instance UID
        self.faults: deque[Exception] = deque()
        self.standing: Exception | None = None  #: met at each try to send
        self.unreachable: Exception | None = None  #: met at each probe
        self.lost_with: Callable[[Rendition], bool] = lambda one: False
        self.given: list[list[Rendition]] = []
        self.released = 0

    def batch(self) -> Batch:
        return self.size

    def send(self, renditions: Sequence[Rendition], ahead: Ahead) -> Sequence[Answer]:
        ahead()
        self.given.append(list(renditions))
        if self.faults:
            raise self.faults.popleft()
        if self.standing:
            raise self.standing
        if any(map(self.lost_with, renditions)):
            raise ArchiveAway("closed", "the peer hung up")
        return [self.answers.get(one.sop_instance_uid, SENT) for one in renditions]

    def find(self, sought: Sequence[Sought]) -> frozenset[str]:
        return frozenset(one.sop_instance_uid for one in sought)

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        return None

    def probe(self) -> None:
        if self.unreachable:
            raise self.unreachable

    def idle_left_s(self) -> float | None:
        return None

    def release(self) -> None:
        self.released += 1

    def interrupt(self) -> None:
        self.standing = ArchiveAway("closed", "interrupted")

    def uids(self) -> list[list[str]]:
        """Return the SOP Instance UIDs of each hand-over."""
        return [[one.sop_instance_uid for one in batch] for batch in self.given]
