"""archive: the small interface behind which every kind of destination lies.

Takes      renditions, as they lie on the disk; later the UIDs of what was sent
Gives      one `Answer` a rendition; what the archive says it has; what it gives back
Defers     ArchiveAway: nobody is there, or the answer never came
Holds      nothing: the stages `forward` and `confirm` decide by the verdict
Repeats    the same bytes under the same UID at every try

A kind is one file beside this one: dicom, dicomweb, folder. `gateway.destinations.kinds` makes it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from gateway.dicom.status import Verdict
from spool.model import Rendition

#: Tells the (SOP class, transfer syntax) pairs of what is next.
Ahead = Callable[[], Iterable[tuple[str, str]]]


class ArchiveAway(Exception):
    """Nobody answered, or the connection was lost before the answer.

    `code` is stable (see gateway.reasons), `detail` technical, without secrets and patient.
    """

    def __init__(
        self, code: str, detail: str = "", *, whole: bool = False, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail
        self.whole = whole  #: the destination as a whole: whatever comes next would meet the same
        self.retry_after_s = retry_after_s  #: it asked to be left alone for so long; 0: it did not


class NotAnswered(Exception):
    """It is there, but does not do what was asked: no such service, not allowed, not understood.

    `code` is stable, `detail` technical.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What the archive said about one object."""

    verdict: Verdict
    code: str = ""  #: stable, "" for a plain success: status-A700, stow-45070, http-413
    text: str = ""  #: technical: the standard's word, the archive's comment
    retry_after_s: float = 0.0  #: BUSY: it asked to be left alone for so long; 0: it did not
    accepted: frozenset[str] = frozenset()  #: OTHER_SYNTAX: what it would take instead


@dataclass(frozen=True, slots=True)
class Batch:
    """How much goes in one hand-over; the first object goes whatever its size."""

    count_most: int = 1
    bytes_most: int = 0


@dataclass(frozen=True, slots=True)
class Sought:
    """An object as the archive knows it: the UIDs of the rendition that was sent."""

    sop_class_uid: str  #: (0008,0016)
    sop_instance_uid: str  #: (0008,0018)
    study_instance_uid: str  #: (0020,000D)
    series_instance_uid: str  #: (0020,000E)
    transfer_syntax_uid: str = ""  #: it was sent in; first choice for what is given back


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A data set as the archive gave it back, in a file that the caller removes."""

    path: Path
    dataset_offset: int
    dataset_bytes: int
    transfer_syntax_uid: str


class Archive(Protocol):
    """One destination; used by one thread, except for `interrupt`.

    `send`, `find` and `read_back` raise `ArchiveAway`; `find` and `read_back` raise `NotAnswered`.
    """

    def batch(self) -> Batch:
        """Return how much `send` may be given at once, now: it shrinks after a 413."""
        ...

    def send(self, renditions: Sequence[Rendition], ahead: Ahead) -> Sequence[Answer]:
        """Return one answer a rendition, in their order; `ahead` is asked where contexts are.

        Raises
        ------
        ArchiveAway
            For none of them an answer came.
        UnreadableFile
            A rendition's file is gone, or the disk fails.
        """
        ...

    def find(self, sought: Sequence[Sought]) -> frozenset[str]:
        """Return the SOP Instance UIDs, of those sought, that the archive says it has."""
        ...

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        """Return the object as the archive gives it back, in a new file in `folder`.

        None: the archive says that it has no such object.
        """
        ...

    def probe(self) -> None:
        """Return when the archive can be reached.

        Raises
        ------
        ArchiveAway
            It cannot.
        NotAnswered
            It is there, and refuses us or the question: whether it takes an object is not known.
        """
        ...

    def idle_left_s(self) -> float | None:
        """Return for how long the open connection may stay idle, None where there is none."""
        ...

    def release(self) -> None:
        """End the connection politely."""
        ...

    def interrupt(self) -> None:
        """End a transfer that hangs, from another thread: `send` raises ArchiveAway."""
        ...


@runtime_checkable
class Commits(Protocol):
    """An archive that can be asked to answer for what it has (commitment, PS3.4 annex J)."""

    def commit(self, transaction_uid: str, sought: Sequence[Sought]) -> None:
        """Return when the archive has taken the request; its row was written before.

        What it reports on the same association stands in the spool before it is answered.

        Raises
        ------
        NotAnswered
            It does not take the request, and will report nothing: `commitment-refused`, with its
            status or what it did not negotiate as detail.
        ArchiveAway
            Nobody is there, or the connection was lost: whether it reports is not known.
        """
        ...
