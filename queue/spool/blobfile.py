"""blobfile: the form of a blob, a Part 10 file that describes itself.

preamble (128 bytes)  our mark; offset, length and SHA-256 of the data set; SHA-256 of prefix and
                      file meta; SHA-256 of the preamble up to here: no bit of the file is unwatched
file meta (group 2)   PS3.10 7.1; (0002,0100) and (0002,0102) say who brought it and when
data set              exactly the bytes that came

So a lost database can be rebuilt from the files alone, and a damaged file is known. Preamble and
private information never leave the box: a peer gets the data set.

References: PS3.10 7.1, PS3.10 table 7.1-1.
"""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spool.errors import Damaged
from spool.model import Rendition

MARK = b"GATEWAY SPOOL 1\0"
#: Mark, data set offset, data set bytes, its SHA-256, that of prefix and file meta.
FACTS = struct.Struct("<16sQQ32s32s")
PREAMBLE_BYTES = 128
#: The first version wrote nothing after the data set's SHA-256: its bits are watched less closely.
_FIRST_FORM_BYTES = struct.calcsize("<16sQQ32s")
#: Prefix and group length (PS3.10 7.1): how long the file meta is.
_HEAD_START = struct.Struct("<4sHH2sHI")
#: A file meta is a few hundred bytes; a damaged length must not ask for more.
HEAD_BYTES_MOST = 1 << 16
_UIDS = ("sop_class_uid", "sop_instance_uid", "transfer_syntax_uid")
#: (0002,0002) Media Storage SOP Class UID, (0002,0003) its Instance UID, (0002,0010).
_NUMBERS = (2, 3, 0x10)
IMPLEMENTATION_CLASS_UID = "2.25.189461237201854370254163982440318467521"
IMPLEMENTATION_VERSION_NAME = "GATEWAY_1"
PIECE_BYTES = 1 << 20
_PRIVATE_INFORMATION = struct.pack("<HH2sxx", 2, 0x102, b"OB")


@dataclass(frozen=True, slots=True)
class Described:
    """What a blob says of itself."""

    about: dict[str, Any]  #: who brought it, when, what made it
    dataset_offset: int
    dataset_bytes: int
    sha256: str  #: of the data set, hexadecimal


def head_of(about: dict[str, Any]) -> bytes:
    """Return prefix and file meta; `about` goes whole into the private information."""
    body = _element(1, b"OB", b"\0\1")
    for number, key in zip(_NUMBERS, _UIDS, strict=True):
        body += _element(number, b"UI", str(about[key]).encode("ascii"))
    body += _element(0x12, b"UI", IMPLEMENTATION_CLASS_UID.encode())
    body += _element(0x13, b"SH", IMPLEMENTATION_VERSION_NAME.encode())
    body += _element(0x100, b"UI", IMPLEMENTATION_CLASS_UID.encode())
    body += _element(0x102, b"OB", json.dumps(about, sort_keys=True).encode())
    return b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def preamble_of(head: bytes, dataset_bytes: int, digest: bytes) -> bytes:
    """Return the 128 bytes before `head`."""
    offset = PREAMBLE_BYTES + len(head)
    facts = FACTS.pack(MARK, offset, dataset_bytes, digest, hashlib.sha256(head).digest())
    return facts + hashlib.sha256(facts).digest()


def describe(path: Path) -> Described:
    """Return what the file says of itself, preamble and file meta proved.

    Raises
    ------
    Damaged
        It is none of ours, or one of its bits before the data set is another.
    OSError
    """
    with path.open("rb") as file:
        preamble = file.read(PREAMBLE_BYTES)
        facts = preamble[: FACTS.size]
        if len(preamble) != PREAMBLE_BYTES or facts[: len(MARK)] != MARK:
            raise Damaged("preamble")
        _, offset, dataset_bytes, digest, head_digest = FACTS.unpack(facts)
        is_first_form = not any(preamble[_FIRST_FORM_BYTES:])
        if not is_first_form and hashlib.sha256(facts).digest() != preamble[FACTS.size :]:
            raise Damaged("preamble")
        head = file.read(min(offset - PREAMBLE_BYTES, HEAD_BYTES_MOST))
    if not is_first_form and hashlib.sha256(head).digest() != head_digest:
        raise Damaged("file meta")
    return Described(_believed(head), offset, dataset_bytes, digest.hex())


def salvage(path: Path) -> Described | None:
    """Return what a damaged file may still say of itself, None where it says nothing.

    None of it is proved: it serves to name the file, never to send it.
    """
    try:
        with path.open("rb") as file:
            preamble = file.read(PREAMBLE_BYTES)
            head = file.read(_HEAD_START.size)
            head += file.read(min(_HEAD_START.unpack(head)[-1], HEAD_BYTES_MOST))
            size = path.stat().st_size
        about, offset = _either(head), PREAMBLE_BYTES + len(head)
        digest = FACTS.unpack(preamble[: FACTS.size])[3]
    except (OSError, struct.error, Damaged):
        return None
    return Described(about, offset, max(0, size - offset), digest.hex())


def verify_rendition(one: Rendition) -> None:
    """As `verify`, and prove that the row speaks of this very file: its place, UIDs and encoding.

    Raises
    ------
    Damaged
        Of the row too: a failing disk changes the database as it changes files.
    OSError
    """
    blob = one.blob
    verify(blob.path, blob.sha256)
    said = describe(blob.path)
    uids = [said.about[key] for key in _UIDS]
    if uids != [one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid]:
        raise Damaged("row")
    if (said.dataset_offset, said.dataset_bytes) != (blob.dataset_offset, blob.dataset_bytes):
        raise Damaged("row")


def verify(path: Path, sha256: str) -> None:
    """Read the whole file and compare every bit with what was written.

    Parameters
    ----------
    sha256
        Of the data set, as the database has it.

    Raises
    ------
    Damaged
        `args[0]` says which part: preamble, file meta, length, data set.
    OSError
    """
    said = describe(path)
    found, digest = 0, hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        file.seek(said.dataset_offset)
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            found += len(piece)
    if found != said.dataset_bytes:
        raise Damaged("length")
    if digest.hexdigest() != said.sha256 or said.sha256 != sha256:
        raise Damaged("data set")


def _either(head: bytes) -> dict[str, Any]:
    """Return the private information, or what the standard elements say where that is broken."""
    try:
        return _believed(head)
    except Damaged:
        return _standard(head)


def _standard(head: bytes) -> dict[str, Any]:
    at, found = _HEAD_START.size, dict[int, str]()
    try:
        while at < len(head):
            _, number, vr, length = struct.unpack_from("<HH2sH", head, at)
            at += 8
            if vr == b"OB":
                (length,) = struct.unpack_from("<I", head, at)
                at += 4
            found[number] = head[at : at + length].rstrip(b"\0").decode("latin-1")
            at += length
        return dict(zip(_UIDS, (found[number] for number in _NUMBERS), strict=True))
    except (struct.error, KeyError) as fault:
        raise Damaged("file meta") from fault


def _believed(head: bytes) -> dict[str, Any]:
    """Return the private information of a file meta, if it is whole."""
    try:
        about = _about(head)
        whole = all(isinstance(about[key], str) for key in _UIDS)
    except (ValueError, KeyError, TypeError, struct.error) as fault:
        raise Damaged("file meta") from fault
    if not whole:
        raise Damaged("file meta")
    return about


def _about(head: bytes) -> dict[str, Any]:
    at = head.index(_PRIVATE_INFORMATION) + len(_PRIVATE_INFORMATION)
    (length,) = struct.unpack_from("<I", head, at)
    about: dict[str, Any] = json.loads(head[at + 4 : at + 4 + length].rstrip(b"\0"))
    return about


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HH2sxxI", 2, number, vr, len(value)) + value
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value
