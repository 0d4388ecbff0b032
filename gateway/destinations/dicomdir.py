"""dicomdir: the index of a file-set, kept so that an image more costs a few hundred bytes.

Takes      records that are encoded already, patient to image; or the bytes of an index of ours
Gives      the bytes of the index; what it says of an object
Holds      NotOurs: another program wrote it, or changed it, or it is not whole; it is left alone

pydicom's FileSet would encode every image again and read all of the index for each that is added;
here a record is bytes from the start, in which only two offsets change. Records lie patient by
patient, so that links are worked out, not remembered; an index that does not come out again byte
for byte is not believed.

References: PS3.3 F.3 (Basic Directory), F.4; PS3.10 8.5 (file IDs), 8.6 (DICOMDIR).
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.dicom.file_meta import IMPLEMENTATION_CLASS_UID, file_head
from gateway.dicom.part10 import MEDIA_STORAGE_DIRECTORY
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.dicom.vr import LONG_VRS

#: The preamble: this, then the SHA-256 of all that follows it.
SEAL = b"GATEWAY INDEX 1\0"
SEAL_BYTES = len(SEAL) + 32
ITEM = struct.Struct("<HHI")
#: Where two values lie in a record, the header of its item included: (0004,1400) Offset of the
#: Next Directory Record, (0004,1420) Offset of Referenced Lower-Level Directory Entity.
NEXT_AT, LOWER_AT = 16, 38
_RECORD_TYPE, _FILE_ID, _INSTANCE_UID = 0x00041430, 0x00041500, 0x00041511
_STUDY_UID, _SERIES_UID = 0x0020000D, 0x0020000E
#: (gggg,xx01) in our private block: the SHA-256 of the data set, hexadecimal.
DIGEST, DIGEST_OWNER = 0x00091001, "GATEWAY 1"
#: (0004,1130) File-set ID … (0004,1212) File-set Consistency Flag, (0004,1220)'s header.
_HEAD = struct.Struct("<HH2sH8s HH2sHI HH2sHI HH2sHH HH2s2xI".replace(" ", ""))
_FILE_SET_ID = b"GATEWAY "
_UPPER = ("PATIENT", "STUDY", "SERIES")
_IMPLEMENTATION, _MEDIA_INSTANCE = 0x00020012, 0x00020003
_META_BYTES_MOST = 1024  #: of a file of ours


class NotOurs(Exception):
    """`args[0]` says in English why the index is left alone."""


class Unsound(NotOurs):
    """We wrote it, and it is not what we wrote any more."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the index says of an object."""

    sop_instance_uid: str
    file_id: tuple[str, ...]  #: (0004,1500), components of its path
    sha256: str
    record: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """The records above an object, each encoded, with the key that makes it the same one."""

    patient: tuple[str, bytes]
    study: tuple[str, bytes]
    series: tuple[str, bytes]

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return iter((self.patient, self.study, self.series))


@dataclass(slots=True)
class _Node:
    record: bytes
    lower: dict[str, "_Node"] = field(default_factory=dict)


class Dicomdir:
    """One index in memory: some 1,000 bytes an object."""

    def __init__(self, file_set_uid: str) -> None:
        self.file_set_uid = file_set_uid
        self._root = _Node(b"")
        self._leaves: dict[str, tuple[Leaf, tuple[str, ...]]] = {}
        self._file_ids: set[tuple[str, ...]] = set()
        self._records_bytes = 0

    @property
    def size(self) -> int:
        """How many bytes the file has, but for a head of a few hundred bytes."""
        return self._records_bytes

    def __len__(self) -> int:
        return len(self._leaves)

    def find(self, sop_instance_uid: str) -> Leaf | None:
        found = self._leaves.get(sop_instance_uid)
        return found[0] if found else None

    def names(self, file_id: tuple[str, ...]) -> bool:
        """Tell whether an object lies under this name."""
        return file_id in self._file_ids

    def add(self, chain: Chain, leaf: Leaf) -> None:
        """Put an object in, in the place of an earlier one with its UID."""
        self._remove(leaf.sop_instance_uid)
        node = self._root
        for key, record in (*chain, (leaf.sop_instance_uid, leaf.record)):
            if key not in node.lower:
                node.lower[key] = _Node(record)
                self._records_bytes += len(record)
            node = node.lower[key]
        self._leaves[leaf.sop_instance_uid] = leaf, tuple(key for key, _ in chain)
        self._file_ids.add(leaf.file_id)

    def _remove(self, sop_instance_uid: str) -> None:
        """Take an object out, and every record above it that has nothing below it any more."""
        if sop_instance_uid not in self._leaves:
            return
        leaf, keys = self._leaves.pop(sop_instance_uid)
        self._file_ids.discard(leaf.file_id)
        path = [self._root]
        for key in keys:
            path.append(path[-1].lower[key])
        for node, key in zip(reversed(path), (sop_instance_uid, *reversed(keys)), strict=True):
            self._records_bytes -= len(node.lower.pop(key).record)
            if node.lower:
                return

    def encoded(self) -> bytes:
        """Return the whole file."""
        meta = file_head(MEDIA_STORAGE_DIRECTORY, self.file_set_uid, EXPLICIT_VR_LITTLE_ENDIAN)
        start = len(meta) + _HEAD.size
        records: list[bytearray] = []
        roots: list[int] = []
        end = _lay(self._root.lower.values(), start, records, roots)
        first, last = (roots[0], roots[-1]) if roots else (0, 0)
        whole = b"".join([meta, _head(first, last, end - start), *records])
        return _seal(whole) + whole[SEAL_BYTES:]


def loaded(whole: bytes) -> Dicomdir:
    """Return an index of ours.

    Raises
    ------
    NotOurs
    """
    meta, at = meta_of(whole)
    if not whole.startswith(_seal(whole)):
        raise Unsound("it has been changed")
    index = Dicomdir(meta.get(_MEDIA_INSTANCE, ""))
    chain: dict[str, tuple[str, bytes]] = {}
    try:
        for record in _records(whole, at + _HEAD.size):
            values = dict(_elements(record))
            kind = values[_RECORD_TYPE]
            if kind in _UPPER:
                chain[kind] = _key(kind, values, record), record
            else:
                index.add(Chain(*(chain[one] for one in _UPPER)), _leaf(values, record))
    except (KeyError, ValueError, struct.error) as fault:
        raise Unsound("a record is broken") from fault
    if index.encoded() != whole:
        raise Unsound("it has been changed")
    return index


def meta_of(start: bytes) -> tuple[dict[int, str], int]:
    """Return the file meta of a file of ours, by tag, and where it ends.

    Raises
    ------
    NotOurs
    """
    try:
        length = struct.unpack_from("<I", start, 140)[0] if start[128:132] == b"DICM" else 0
        # The twelve bytes of the group's length take the place of an item's header and more.
        values = dict(_elements(start[136 : min(144 + length, 144 + _META_BYTES_MOST)]))
    except (struct.error, ValueError) as fault:
        raise NotOurs("its head is broken") from fault
    if values.get(_IMPLEMENTATION) != IMPLEMENTATION_CLASS_UID or len(start) < 144 + length:
        raise NotOurs("another program wrote it")
    return values, 144 + length


def _lay(level: Iterable[_Node], at: int, records: list[bytearray], places: list[int]) -> int:
    """Append the records of a level and of all below, linked; return where they end."""
    previous: bytearray | None = None
    for node in level:
        record = bytearray(node.record)
        if previous is not None:
            struct.pack_into("<I", previous, NEXT_AT, at)
        previous = record
        places.append(at)
        records.append(record)
        at += len(record)
        if node.lower:
            struct.pack_into("<I", record, LOWER_AT, at)
            at = _lay(node.lower.values(), at, records, [])
    return at


def _seal(whole: bytes) -> bytes:
    """Return what the preamble begins with, which is ours to use (PS3.10 7.1)."""
    return SEAL + hashlib.sha256(memoryview(whole)[128:]).digest()


def _head(first: int, last: int, length: int) -> bytes:
    return _HEAD.pack(
        *(4, 0x1130, b"CS", len(_FILE_SET_ID), _FILE_SET_ID),
        *(4, 0x1200, b"UL", 4, first),
        *(4, 0x1202, b"UL", 4, last),
        *(4, 0x1212, b"US", 2, 0),
        *(4, 0x1220, b"SQ", length),
    )


def _records(whole: bytes, at: int) -> Iterator[bytes]:
    while at < len(whole):
        group, number, length = ITEM.unpack_from(whole, at)
        end = at + ITEM.size + length
        if (group, number) != (0xFFFE, 0xE000) or end > len(whole) or length < LOWER_AT:
            raise ValueError("no record")
        record = bytearray(whole[at:end])
        struct.pack_into("<I", record, NEXT_AT, 0)
        struct.pack_into("<I", record, LOWER_AT, 0)
        yield bytes(record)
        at = end


def _elements(record: bytes) -> Iterator[tuple[int, str]]:
    """Yield the texts of one record; sequences of ours have a length and are stepped over."""
    at = ITEM.size
    while at < len(record):
        group, number, vr, length = struct.unpack_from("<HH2sH", record, at)
        at += 8
        if vr.decode("ascii") in LONG_VRS:
            (length,) = struct.unpack_from("<I", record, at)
            at += 4
        if at + length > len(record):
            raise ValueError("an element is longer than its record")
        yield group << 16 | number, record[at : at + length].decode("latin-1").strip(" \0")
        at += length


def _key(kind: str, values: dict[int, str], record: bytes) -> str:
    """Return what makes two records the same: of a patient all, since IDs are not unique."""
    if kind == "PATIENT":
        return record.decode("latin-1")
    return values[_STUDY_UID if kind == "STUDY" else _SERIES_UID]


def _leaf(values: dict[int, str], record: bytes) -> Leaf:
    file_id = tuple(values[_FILE_ID].split("\\"))
    return Leaf(values[_INSTANCE_UID], file_id, values[DIGEST], record)
