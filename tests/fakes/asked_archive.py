"""asked_archive: an `Archive` in this process that is asked what it has, and answers as it is told.

It has the very bytes that a test gives it; what it was asked is written down.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.destinations.archive import (
    Ahead,
    Answer,
    ArchiveAway,
    Batch,
    NotAnswered,
    ReadBack,
    Sought,
)
from gateway.dicom.status import Verdict
from spool.model import Rendition


class AskedArchive:
    """Has what is in `has`: bytes and transfer syntax by SOP Instance UID."""

    def __init__(self) -> None:
        self.has: dict[str, tuple[bytes, str]] = {}
        self.fault: Exception | None = None  #: raised whatever is asked
        self.no_queries = self.no_retrieval = self.no_commitment = False
        self.finds: list[list[str]] = []  #: what each query was about
        self.fetched: list[str] = []
        self.transactions: list[tuple[str, list[Sought]]] = []
        self.refused = 0  #: how often it was asked what it refuses
        self.poison = ""  #: a query about this UID ends the connection
        #: Done with each N-ACTION before it is answered.
        self.reports: Callable[[str, Sequence[Sought]], None] = lambda *_: None

    def keep(self, rendition: Rendition) -> None:
        """Have what was sent, to the last bit."""
        blob = rendition.blob
        data = blob.path.read_bytes()[blob.dataset_offset :]
        self.has[rendition.sop_instance_uid] = (data, rendition.transfer_syntax_uid)

    def batch(self) -> Batch:
        return Batch()

    def send(self, renditions: Sequence[Rendition], ahead: Ahead) -> Sequence[Answer]:
        for one in renditions:
            self.keep(one)
        return [Answer(Verdict.SENT) for _ in renditions]

    def find(self, sought: Sequence[Sought]) -> frozenset[str]:
        self._met("queries-refused" if self.no_queries else "")
        uids = [one.sop_instance_uid for one in sought]
        self.finds.append(uids)
        if self.poison in uids:
            raise ArchiveAway("aborted")
        return frozenset(uid for uid in uids if uid in self.has)

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        self._met("readback-refused" if self.no_retrieval else "")
        self.fetched.append(sought.sop_instance_uid)
        found = self.has.get(sought.sop_instance_uid)
        if not found:
            return None
        path = folder / "back"
        path.write_bytes(found[0])
        return ReadBack(path, 0, len(found[0]), found[1])

    def commit(self, transaction_uid: str, sought: Sequence[Sought]) -> None:
        self._met("commitment-refused" if self.no_commitment else "")
        self.transactions.append((transaction_uid, list(sought)))
        self.reports(transaction_uid, sought)

    def probe(self) -> None:
        self._met("")

    def idle_left_s(self) -> float | None:
        return None

    def release(self) -> None:
        pass

    def interrupt(self) -> None:
        pass

    def _met(self, refused: str) -> None:
        if self.fault:
            raise self.fault
        if refused:
            self.refused += 1
            raise NotAnswered(refused)
