"""folder_files: what a file of a file-set is called, begins with, and holds.

Takes      a UID; the first bytes of a file; a rendition
Gives      a file ID; whose file it is; a data set as it was frozen, piece by piece
Holds      UnreadableFile: the rendition's own file is gone, or its disk fails
Repeats    the same name for the same UID: a try that was cut off is written over, not beside

References: PS3.10 7.1 (file meta), 8.5 (file IDs).
"""

import base64
import hashlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.destinations.archive import ReadBack
from gateway.destinations.dicomdir import NotOurs, meta_of
from gateway.dicom.file_meta import file_head
from gateway.dicom.request import UnreadableFile
from spool.model import Rendition

FOLDER = "DICOM"
HEAD_BYTES_MOST = 1024
PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileHead:
    """What a file of ours begins with."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    offset: int


def head_in(start: bytes) -> FileHead | None:
    """Return what a file of ours begins with; None where it is none."""
    try:
        values, offset = meta_of(start)
        uids = [values[tag] for tag in (0x00020002, 0x00020003, 0x00020010)]
    except (NotOurs, KeyError):
        return None
    one = FileHead(uids[0], uids[1], uids[2], offset)
    return one if start.startswith(file_head(*uids)) else None


def is_try(start: bytes, sop_instance_uid: str) -> bool:
    head = head_in(start)
    return head is not None and head.sop_instance_uid == sop_instance_uid


def name_of(sop_instance_uid: str, nth: int) -> tuple[str, str, str]:
    """Return a file ID (PS3.10 8.5): at most 8 of A to Z and 0 to 9 a component, and no patient."""
    digest = hashlib.sha256(f"{nth} {sop_instance_uid}".encode()).digest()
    text = base64.b32encode(digest).decode()
    return FOLDER, f"D{text[0]}", f"I{text[1:8]}"


def path_of(file_id: tuple[str, ...]) -> str:
    return "/".join(file_id)


def data_set(one: Rendition) -> Iterator[bytes]:
    """Yield the data set as it was frozen; what its own disk does is not the medium's fault."""
    left = one.blob.dataset_bytes
    try:
        with one.blob.path.open("rb", buffering=0) as file:
            file.seek(one.blob.dataset_offset)
            while left and (piece := file.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
    except OSError as fault:
        raise UnreadableFile(f"{one.blob.name}: {fault.strerror}") from fault
    if left:
        raise UnreadableFile(f"{one.blob.name}: ends early")


def copied(pieces: Iterable[bytes], folder: Path, head: FileHead) -> ReadBack:
    """Return a copy of a file of ours, in a new file in `folder`."""
    copy = folder / f"{uuid.uuid4().hex}.dcm"
    with copy.open("xb") as file:
        for piece in pieces:
            file.write(piece)
    length = copy.stat().st_size - head.offset
    return ReadBack(copy, head.offset, length, head.transfer_syntax_uid)
