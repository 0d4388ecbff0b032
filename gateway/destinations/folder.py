"""folder: a stick, or a folder of a share, as a file-set that a viewer opens.

Takes      renditions, as they lie on the disk
Gives      files under names of ours and a DICOMDIR; `sent` when both are synced
Defers     ArchiveAway: not there, another stick, full, read only, failing, somebody else's index
Holds      an object that is longer than FAT takes, that no index has a place for, or of which the
           medium has another one under the same UID
Repeats    a file that no index names yet is written again

The index is written once a batch. What it says of an object holds the SHA-256 of its data set, so
that a stick can be proved by itself: `find` reads each file from the medium and compares.
Confirmed means that an object has once been read back whole from a stick with this label; where
that stick lies a day later nobody knows. What was sent and not yet confirmed when the stick was
changed is missing on the next one, and goes there.

References: PS3.10 8 (file-set), PS3.11 D (general purpose profiles), PS3.12.
"""

import contextlib
import errno
import hashlib
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gateway.config.model import Destination
from gateway.destinations.archive import Ahead, Answer, ArchiveAway, Batch, ReadBack, Sought
from gateway.destinations.dicomdir import SEAL_BYTES, Dicomdir, Leaf, NotOurs, Unsound, loaded
from gateway.destinations.dicomdir_records import NoRecord, Records, leaf_of, records_of
from gateway.destinations.folder_files import (
    FOLDER,
    HEAD_BYTES_MOST,
    copied,
    data_set,
    head_in,
    is_try,
    name_of,
    path_of,
)
from gateway.destinations.medium import FAT_FILE_BYTES_MOST, Medium, guarded, named_faults
from gateway.dicom.file_meta import file_head
from gateway.dicom.request import UnreadableFile
from gateway.dicom.status import Verdict
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, syntax_of
from spool.model import Rendition

INDEX, NEW_INDEX, OLD_INDEX = "DICOMDIR", "DICOMNEW", "DICOMOLD"
SCRATCH = f"{FOLDER}/NEWFILE"
BATCH = Batch(200, 256 << 20)
#: Beside the object and two indices: folders, entries of folders, the rest of a cluster.
SLACK_BYTES = 1 << 20
INDEX_BYTES_MOST = 1 << 30
NAMES_MOST = 16
EXPLICIT = frozenset((EXPLICIT_VR_LITTLE_ENDIAN,))


class FolderArchive:
    """One medium at one path; used by one thread, except for `interrupt`."""

    def __init__(self, destination: Destination) -> None:
        self._path, self._volume = destination.path or Path(), destination.volume
        self._index: Dicomdir | None = None
        self._seal: bytes | None = None  #: of the file that `_index` came from
        self._needs_bytes = SLACK_BYTES  #: of what did not fit last
        self._unsynced = False  #: this batch has written something
        self._stopped = threading.Event()

    def batch(self) -> Batch:
        return BATCH

    def send(self, renditions: Sequence[Rendition], ahead: Ahead) -> Sequence[Answer]:
        with self._medium() as medium:
            index = self._current(medium)
            try:
                answers = self._put_all(medium, index, renditions)
                self._finish(medium, index)
            except BaseException:
                self._index = None  # it says more than what lies on the medium
                self._unsynced = False
                raise
            return answers

    def find(self, sought: Sequence[Sought]) -> frozenset[str]:
        with self._medium() as medium:
            index = self._current(medium)
            leaves = [(one, index.find(one.sop_instance_uid)) for one in sought]
            found = frozenset(
                one.sop_instance_uid
                for one, leaf in leaves
                if leaf and self._is_sound(medium, leaf, one.sop_class_uid)
            )
            if len(found) < len(sought):
                self._must_be_there(medium)
            return found

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        with self._open() as medium:
            with named_faults(self._path):
                leaf = self._current(medium).find(sought.sop_instance_uid)
                start = leaf and medium.read(path_of(leaf.file_id), HEAD_BYTES_MOST)
                head = head_in(start) if start else None
                if not leaf or head is None:
                    self._must_be_there(medium)
                    return None
            # Our own disk's faults are none of the medium's.
            pieces = self._unless_stopped(medium.pieces(path_of(leaf.file_id)))
            return copied(guarded(pieces, self._path), folder, head)

    def probe(self) -> None:
        with self._medium() as medium:
            self._must_have_room(medium, self._needs_bytes)
            self._current(medium)
            medium.try_it()

    def idle_left_s(self) -> float | None:
        return None

    def release(self) -> None:
        return

    def interrupt(self) -> None:
        self._stopped.set()

    @contextlib.contextmanager
    def _open(self) -> Iterator[Medium]:
        medium = Medium(self._path, self._volume)
        try:
            yield medium
        finally:
            medium.close()

    @contextlib.contextmanager
    def _medium(self) -> Iterator[Medium]:
        with self._open() as medium, named_faults(self._path):
            yield medium

    def _must_be_there(self, medium: Medium) -> None:
        """Read the index past the cache: Linux calls files of a stick just pulled out missing.

        Raises
        ------
        OSError
        """
        if self._seal is None:
            return
        for name in (INDEX, OLD_INDEX, NEW_INDEX):  # it may be replaced in this moment
            with contextlib.suppress(FileNotFoundError):
                for _piece in medium.pieces(name):
                    pass
                return
        raise FileNotFoundError(errno.ENOENT, "the index is gone")

    def _current(self, medium: Medium) -> Dicomdir:
        """Return the index as it lies there now, a new one where there is none."""
        seal = medium.read(INDEX, SEAL_BYTES) or None
        if self._index is None or seal is None or seal != self._seal:
            self._index, self._seal = self._read(medium), seal
        return self._index

    def _read(self, medium: Medium) -> Dicomdir:
        if whole := medium.read(INDEX, INDEX_BYTES_MOST):  # an empty one is half of a renaming
            try:
                return loaded(whole)
            except NotOurs as fault:
                code = "medium-damaged" if isinstance(fault, Unsound) else "medium-foreign"
                raise ArchiveAway(code, f"{self._path / INDEX}: {fault}", whole=True) from fault
        return self._left_behind(medium) or Dicomdir(f"2.25.{uuid.uuid4().int}")

    def _left_behind(self, medium: Medium) -> Dicomdir | None:
        """Return the index of a medium that was pulled out while its index was replaced."""
        for name in (NEW_INDEX, OLD_INDEX):
            with contextlib.suppress(NotOurs):
                if whole := medium.read(name, INDEX_BYTES_MOST):
                    return loaded(whole)
        return None

    def _put_all(
        self, medium: Medium, index: Dicomdir, renditions: Sequence[Rendition]
    ) -> list[Answer]:
        """Return an answer each; what did not come on any more waits."""
        answers: list[Answer] = []
        for one in renditions:
            try:
                with named_faults(self._path):
                    answers.append(self._put(medium, index, one))
            except ArchiveAway as fault:
                if not answers:
                    raise
                away = Answer(Verdict.BUSY, fault.code, fault.detail)
                return [*answers, *[away] * (len(renditions) - len(answers))]
        return answers

    def _put(self, medium: Medium, index: Dicomdir, one: Rendition) -> Answer:
        known = index.find(one.sop_instance_uid)
        if known and self._is_sound(medium, known, one.sop_class_uid):
            if known.sha256 == one.blob.sha256:
                return self._sent(medium, index)
            return Answer(Verdict.HELD, "medium-has-another", "/".join(known.file_id))
        if not _is_for_media(one.transfer_syntax_uid):
            return Answer(Verdict.OTHER_SYNTAX, "no-context", accepted=EXPLICIT)
        head = file_head(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
        length = len(head) + one.blob.dataset_bytes
        if length > FAT_FILE_BYTES_MOST and medium.is_fat:
            return Answer(Verdict.HELD, "medium-file-too-large", f"{length} bytes")
        try:
            records = _readable(one, records_of)
        except NoRecord as fault:
            return Answer(Verdict.HELD, "medium-no-record", str(fault))
        self._must_have_room(medium, length + 2 * index.size + SLACK_BYTES)
        file_id = known.file_id if known else self._free_name(medium, index, one)
        medium.make_folder(FOLDER)
        medium.make_folder(f"{FOLDER}/{file_id[1]}")
        pieces = self._unless_stopped(itertools.chain([head], data_set(one)))
        medium.put(path_of(file_id), SCRATCH, pieces)
        index.add(records.chain, leaf_of(records, one, file_id))
        self._unsynced = True
        return self._sent(medium, index, records.made)

    def _finish(self, medium: Medium, index: Dicomdir) -> None:
        """Sync the files of this batch, then the index that knows them."""
        if self._unsynced:
            medium.sync()
        if self._unsynced or self._seal is None:
            whole = index.encoded()
            medium.replace_index(INDEX, NEW_INDEX, OLD_INDEX, whole)
            self._seal = whole[:SEAL_BYTES]
        self._unsynced = False

    def _sent(self, medium: Medium, index: Dicomdir, made: Sequence[str] = ()) -> Answer:
        """Say where it went: there may be several media with one label."""
        told = [medium.label, f"file-set {index.file_set_uid}"]
        told += [f"made for the index: {', '.join(made)}"] if made else []
        return Answer(Verdict.SENT, text="; ".join(filter(None, told)))

    def _must_have_room(self, medium: Medium, needs_bytes: int) -> None:
        """Raise before a file is begun that would not fit: no half of it lies about then."""
        free_bytes = medium.free_bytes()
        if free_bytes < needs_bytes:
            self._needs_bytes = needs_bytes
            detail = f"{self._path}: {free_bytes} bytes free, {needs_bytes} needed"
            raise ArchiveAway("medium-full", detail, whole=True)

    def _free_name(self, medium: Medium, index: Dicomdir, one: Rendition) -> tuple[str, ...]:
        """Return a name that nothing has, or a try of ours that was cut off."""
        for nth in range(NAMES_MOST):
            file_id = name_of(one.sop_instance_uid, nth)
            if index.names(file_id):
                continue
            lies_there = medium.read(path_of(file_id), HEAD_BYTES_MOST)
            if lies_there is None or is_try(lies_there, one.sop_instance_uid):
                return file_id
        raise ArchiveAway("medium-foreign", f"{self._path / FOLDER}", whole=True)

    def _is_sound(self, medium: Medium, leaf: Leaf, sop_class_uid: str) -> bool:
        """Tell whether the medium has, under its own name, exactly what we wrote."""
        name = path_of(leaf.file_id)
        try:
            head = head_in(medium.read(name, HEAD_BYTES_MOST) or b"")
            if head is None or head.sop_instance_uid != leaf.sop_instance_uid:
                return False
            digest, skip = hashlib.sha256(), head.offset
            for piece in self._unless_stopped(medium.pieces(name)):
                digest.update(piece[skip:])
                skip = max(0, skip - len(piece))
        except FileNotFoundError:
            return False
        return head.sop_class_uid == sop_class_uid and digest.hexdigest() == leaf.sha256

    def _unless_stopped(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._stopped.is_set():
                raise ArchiveAway("stopped")
            yield piece


def _is_for_media(transfer_syntax_uid: str) -> bool:
    """Tell whether a profile of PS3.11 has it: Explicit VR Little Endian, compressed or not."""
    syntax = syntax_of(transfer_syntax_uid)
    return syntax.explicit and syntax.little and not syntax.deflated


def _readable(one: Rendition, read: Callable[[Rendition], Records]) -> Records:
    try:
        return read(one)
    except OSError as fault:
        raise UnreadableFile(f"{one.blob.name}: {fault.strerror}") from fault
