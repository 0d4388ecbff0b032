"""wado: an object as a DICOMweb archive gives it back, in a file.

Takes      the UIDs of an object, a folder for scratch files
Gives      a file with what came, and where its data set lies; None where the archive has none
Defers     ArchiveAway: busy, lost before its end, or not a DICOMweb archive that speaks
Holds      NotAnswered: it is there and gives nothing back

Streamed: memory holds a piece. Of several parts the first is taken; whose it is, the caller looks.
The archive may give another transfer syntax than it was given.

References: PS3.18 10.4 (retrieve transaction), 8.7.3.5 (transfer syntax); RFC 2046 5.1.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from gateway.destinations import qido
from gateway.destinations.archive import ArchiveAway, NotAnswered, ReadBack, Sought
from gateway.destinations.http import HttpClient
from gateway.destinations.http_answer import HttpAnswer
from gateway.dicom.part10 import NotDicom, read_file_meta

#: As stored, then as the archive likes, then without parts around it.
ACCEPTS = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/dicom"',
    "application/dicom",
)
#: What stands before the first part and in its head: a few hundred bytes.
HEAD_BYTES_MOST = 1 << 14
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', re.I)
#: Statuses that refuse the form of the answer, not the answer.
_OTHER_FORM = (400, 406, 415)
#: Statuses by which an archive says that it has no such object.
_NONE = (204, 404, 410)


def read_back(client: HttpClient, sought: Sought, folder: Path) -> ReadBack | None:
    """Return the object as the archive gives it back, in a new file in `folder`.

    Raises
    ------
    ArchiveAway, NotAnswered, OSError
    """
    status = 0
    for accept in ACCEPTS:
        with _asked(client, sought, accept) as answer:
            status = answer.status
            if broken := qido.away(answer):
                raise broken
            if status not in _NONE and 200 <= status <= 299:
                return _taken(answer, folder)
        if status not in _OTHER_FORM:
            break
    if status in _NONE and _is_missing(client, sought):
        return None
    raise NotAnswered("readback-refused", f"HTTP {status}")


def _asked(client: HttpClient, sought: Sought, accept: str) -> HttpAnswer:
    uids = (sought.study_instance_uid, sought.series_instance_uid, sought.sop_instance_uid)
    study, series, instance = (quote(one, "") for one in uids)
    path = f"studies/{study}/series/{series}/instances/{instance}"
    try:
        return client.request("GET", path, headers={"Accept": accept})
    except ValueError as fault:
        raise NotAnswered("readback-refused", "a UID that no address can hold") from fault


def _is_missing(client: HttpClient, sought: Sought) -> bool:
    """Tell whether the archive does not list it either: 404 may also mean no such service."""
    try:
        return not qido.find(client, [sought])
    except NotAnswered:
        return False


def _taken(answer: HttpAnswer, folder: Path) -> ReadBack:
    # Half of the room at most: what is received goes on being kept.
    room = shutil.disk_usage(folder).free // 2
    with tempfile.NamedTemporaryFile(dir=folder, prefix="read-back-", delete=False) as file:
        path = Path(file.name)
        try:
            for piece in _object(answer):
                room -= len(piece)
                if room < 0:
                    raise NotAnswered("readback-refused", "larger than the room here")
                file.write(piece)
            file.flush()
            return _read(path)
        except BaseException:
            path.unlink()
            raise


def _read(path: Path) -> ReadBack:
    try:
        meta = read_file_meta(path)
    except NotDicom as fault:
        raise NotAnswered("not-comparable", fault.code) from fault
    return ReadBack(path, meta.dataset_offset, meta.dataset_bytes, meta.transfer_syntax_uid)


def _object(answer: HttpAnswer) -> Iterator[bytes]:
    """Yield the bytes of the object, whatever lies around it."""
    pieces = answer.pieces()
    head = _head(pieces, 132)
    if head[128:132] == b"DICM" and not answer.content_type.startswith("multipart/"):
        yield head
        yield from pieces
        return
    start = head.removeprefix(b"\r\n")
    if not start.startswith(b"--") and not answer.content_type.startswith("multipart/"):
        detail = f"HTTP {answer.status} {answer.content_type[:60]}"
        raise ArchiveAway("not-dicomweb", detail, whole=True)
    said = _BOUNDARY.search(answer.headers.get("Content-Type", ""))
    boundary = (said[1] or said[2]).encode("latin-1") if said else b""
    yield from first_part(head, pieces, boundary)
    with suppress(ArchiveAway):  # only to use the connection again: the object came whole
        next(pieces, b"")


def first_part(head: bytes, pieces: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """Yield the first part of a multipart body that begins with `head`.

    `boundary` "" takes the first line for it, as some archives do not say it.

    Raises
    ------
    ArchiveAway
        The body ends, or has no part, where one should be.
    """
    buffer, source = bytearray(head), iter(pieces)
    if not boundary:
        _grow(buffer, source, b"\r\n", 2)
        boundary = bytes(buffer).lstrip(b"\r\n").partition(b"\r\n")[0].removeprefix(b"--")
    at = _grow(buffer, source, b"--" + boundary, 0)
    at = _grow(buffer, source, b"\r\n", at)
    # A part without headers has its empty line right after the boundary's.
    del buffer[: _grow(buffer, source, b"\r\n\r\n", at) + 4]
    yield from _until(buffer, source, b"\r\n--" + boundary)


def _head(pieces: Iterator[bytes], count: int) -> bytes:
    head = b""
    while len(head) < count and (piece := next(pieces, b"")):
        head += piece
    return head


def _grow(buffer: bytearray, source: Iterator[bytes], mark: bytes, start: int) -> int:
    """Read on until `mark` is in the buffer from `start`; return where."""
    while (at := buffer.find(mark, start)) < 0:
        piece = next(source, b"")
        if not piece:
            raise ArchiveAway("closed", "the answer ends before its first part")
        if len(buffer) - start > HEAD_BYTES_MOST:
            raise ArchiveAway("not-dicomweb", "an answer in parts that has none")
        buffer += piece
    return at


def _until(buffer: bytearray, source: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    """Yield what comes before `end`; a mark cut in two by a piece's end is found as well."""
    while (at := buffer.find(end)) < 0:
        ready = max(0, len(buffer) - len(end) + 1)
        yield bytes(buffer[:ready])
        del buffer[:ready]
        piece = next(source, b"")
        if not piece:
            raise ArchiveAway("closed", "the answer ends within its first part")
        buffer += piece
    yield bytes(buffer[:at])
