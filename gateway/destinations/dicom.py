"""dicom: one archive behind a C-STORE SCP, and behind whatever of C-FIND, C-GET, C-MOVE it has.

Takes      renditions, as they lie on the disk; UIDs to be asked about
Gives      the archive's status as a verdict; what it has, gives back, and commits to keep
Defers     ArchiveAway: nobody is there, or the association was lost before an answer
Holds      nothing
Repeats    the same bytes at every try

One presentation context per SOP Class and transfer syntax, so that what was accepted is known. The
contexts of what waits are asked for ahead, so that one association serves many objects.

References: PS3.8 9.3.2.2 (contexts), PS3.4 B.3 (association negotiation for storage), B.2.3.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.config.model import Destination
from gateway.destinations.archive import Ahead, Answer, Batch, ReadBack, Sought
from gateway.destinations.association import Kept, away, store_called
from gateway.destinations.comments import shown
from gateway.destinations.dicom_questions import Questions
from gateway.dicom.request import PAIRS_MOST, associate
from gateway.dicom.requestor import Outcome, Pair
from gateway.dicom.status import Verdict, row_of
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from spool.model import Rendition
from spool.store import Spool

#: What we can make of our own, asked for beside what waits.
LADDER = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


class DicomArchive:
    """An `Archive` that `Commits`; used by one thread, except for `interrupt`.

    Parameters
    ----------
    spool
        None: it is only asked whether it is there.
    """

    def __init__(self, destination: Destination, calling_ae: str, spool: Spool | None) -> None:
        self._called = store_called(destination, calling_ae, spool)
        self._stores = Kept(
            self._called,
            destination.association_idle_s,
            pdu_bytes_most=destination.max_pdu_bytes,
        )
        self._questions = Questions(destination, calling_ae, spool)

    def batch(self) -> Batch:
        """Return one: each C-STORE has its own answer (PS3.7 9.1.1)."""
        return Batch()

    def send(self, renditions: Sequence[Rendition], ahead: Ahead) -> Sequence[Answer]:
        return [self._send(one, ahead) for one in renditions]

    def find(self, sought: Sequence[Sought]) -> frozenset[str]:
        return self._questions.find(sought)

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        return self._questions.read_back(sought, folder)

    def commit(self, transaction_uid: str, sought: Sequence[Sought]) -> None:
        self._questions.commit(transaction_uid, sought)

    def probe(self) -> None:
        """Return when the archive accepts an association, and answers C-ECHO if it knows that."""
        self.release()
        with away():
            archive = associate(self._called, ())
            try:
                if archive.contexts:
                    archive.echo()
            finally:
                archive.release()

    def idle_left_s(self) -> float | None:
        """As `Archive`; what the archive reported meanwhile on its own is heard by the way."""
        self._questions.hear()
        left = [self._stores.idle_left_s(), self._questions.idle_left_s()]
        return max((one for one in left if one is not None), default=None)

    def release(self) -> None:
        self._stores.release()
        self._questions.release()

    def interrupt(self) -> None:
        self._stores.interrupt()
        self._questions.interrupt()

    def _send(self, rendition: Rendition, ahead: Ahead) -> Answer:
        pair = (rendition.sop_class_uid, rendition.transfer_syntax_uid)
        with self._stores.use(pair, lambda: _wanted(pair, ahead())) as archive:
            if pair not in archive.contexts:
                accepted = frozenset(archive.accepts(rendition.sop_class_uid))
                return Answer(Verdict.OTHER_SYNTAX, accepted=accepted)
            blob = rendition.blob
            return answer_of(
                archive.store(pair, rendition.sop_instance_uid, blob.path, blob.dataset_offset)
            )


def answer_of(outcome: Outcome) -> Answer:
    """Return what the status of a C-STORE means."""
    row = row_of(outcome.status)
    if outcome.status == 0:
        return Answer(row.verdict)
    text = row.meaning + shown(outcome.comment)
    return Answer(row.verdict, f"status-{outcome.status:04X}", text)


def _wanted(pair: Pair, ahead: Iterable[Pair]) -> list[Pair]:
    """Return the contexts to ask for, this pair's first; what does not fit asks anew later."""
    found: dict[Pair, None] = {}
    for sop_class, syntax in [pair, *ahead]:
        for one in (syntax, *LADDER):
            if len(found) < PAIRS_MOST:
                found.setdefault((sop_class, one))
    return list(found)
