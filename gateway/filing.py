"""filing: a file on some disk becomes an instance.

Takes      a Part 10 file, or a bare data set as legacy software writes it
Gives      an instance in `received`, durable when this returns
Holds      nothing; what is no DICOM object is refused with the reason
Repeats    the same file again is the same data set again, and prepare merges it

References: PS3.10 7.1.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway.dicom.attributes import Attributes
from gateway.dicom.malformed import Malformed
from gateway.dicom.part10 import NotDicom, read_file_meta
from gateway.dicom.pdu import is_uid
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import syntax_of
from spool.model import Arrival, Priority
from spool.store import Spool

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
PIECE_BYTES = 1 << 20


class Refused(Exception):
    """The file cannot become an instance; `code` is stable, `detail` technical."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Filed:
    instance_id: int
    sop_instance_uid: str
    dataset_bytes: int


def file_in(spool: Spool, path: Path, door: str, *, priority: Priority = Priority.NORMAL) -> Filed:
    """Take the file at `path` into the spool; the file itself is only read.

    Raises
    ------
    Refused
        `no-data-set`, `meta-broken`, `uid-missing`, `dicomdir`.
    SpoolFull
        No room; nothing was kept.
    """
    try:
        meta = read_file_meta(path)
    except NotDicom as fault:
        raise Refused(fault.code) from fault
    if meta.sop_class_uid == MEDIA_STORAGE_DIRECTORY:
        raise Refused("dicomdir")
    if not is_uid(meta.sop_instance_uid) or not is_uid(meta.sop_class_uid):
        raise Refused("uid-missing")
    if not is_uid(meta.transfer_syntax_uid):
        raise Refused("meta-broken", "the Transfer Syntax UID is none")
    arrival = Arrival(
        meta.sop_class_uid,
        meta.sop_instance_uid,
        meta.transfer_syntax_uid,
        door,
        priority=priority,
    )
    instance_id = _copy(spool, path, meta.dataset_offset, arrival)
    return Filed(instance_id, meta.sop_instance_uid, meta.dataset_bytes)


def is_whole(path: Path) -> bool:
    """Tell whether the data set in the file ends exactly at its last byte.

    A file of another kind, or one that cannot be walked for its encoding, counts as whole:
    `file_in` says what is wrong with it.
    """
    try:
        meta = read_file_meta(path)
    except NotDicom:
        return True
    syntax = syntax_of(meta.transfer_syntax_uid)
    if syntax.deflated:
        return True
    try:
        with Source(path, meta.dataset_offset) as source:
            Attributes(source, syntax)
    except Malformed:
        return False
    return True


def _copy(spool: Spool, path: Path, offset: int, arrival: Arrival) -> int:
    incoming = spool.receiving.begin(arrival)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(offset)
            while piece := file.read(PIECE_BYTES):
                incoming.write(piece)
        return spool.receiving.keep(incoming, arrival)
    finally:
        incoming.drop()
