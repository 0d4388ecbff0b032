"""identifier: the small data sets of queries, retrievals and storage commitment, as bytes and back.

Takes      values by tag; bytes of a peer, as many as their reader lets through
Gives      an encoding in Implicit or Explicit VR Little Endian; values by tag, undecoded
Holds      Malformed where the bytes contradict themselves
Bounds     `DEPTH_MOST`; what is decoded is no longer than what came

The walk of `walk.py` reads files, and asks pydicom's dictionary about Implicit VR. These data sets
have a handful of tags, come by the hundred, and are read where pydicom (27 MB) is never loaded.

References: PS3.5 7.1 (elements), 7.5 (sequences); PS3.4 C.4 (identifiers), tables J.3-1 and J.3-2.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence

from gateway.dicom.headers import bare_header, header
from gateway.dicom.malformed import Malformed
from gateway.dicom.vr import (
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    SEQUENCE_DELIMITATION,
    SHORT_VRS,
    UNDEFINED_LENGTH,
)

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
QUERY_RETRIEVE_LEVEL, INSTANCE_AVAILABILITY = 0x00080052, 0x00080056
REFERENCED_SOP_CLASS_UID, REFERENCED_SOP_INSTANCE_UID = 0x00081150, 0x00081155
TRANSACTION_UID, FAILURE_REASON = 0x00081195, 0x00081197
FAILED_SOP_SEQUENCE, REFERENCED_SOP_SEQUENCE = 0x00081198, 0x00081199
STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x0020000D, 0x0020000E

#: PS3.6; what we write, and the sequences that Implicit VR does not tell from values.
_VRS = {
    **dict.fromkeys((QUERY_RETRIEVE_LEVEL, INSTANCE_AVAILABILITY), "CS"),
    **dict.fromkeys((SOP_CLASS_UID, SOP_INSTANCE_UID, TRANSACTION_UID), "UI"),
    **dict.fromkeys((REFERENCED_SOP_CLASS_UID, REFERENCED_SOP_INSTANCE_UID), "UI"),
    **dict.fromkeys((STUDY_INSTANCE_UID, SERIES_INSTANCE_UID), "UI"),
    FAILURE_REASON: "US",
    **dict.fromkeys((FAILED_SOP_SEQUENCE, REFERENCED_SOP_SEQUENCE), "SQ"),
}
#: Sequences in sequences. A report has one; a stranger's elements may have more.
DEPTH_MOST = 8

#: What is written: text, or the items of a sequence.
Written = Mapping[int, str | Sequence["Written"]]
#: What was read: a value as it stands, or the items of a sequence.
Values = dict[int, bytes | list["Values"]]


def encode(values: Written, *, explicit: bool) -> bytes:
    """Return a data set in Little Endian, by rising tags; every sequence has a defined length."""
    body = b""
    for tag in sorted(values):
        value, vr = _value(values[tag], _VRS[tag], explicit=explicit), _VRS[tag]
        body += header(tag, vr, len(value), explicit=explicit) + value
    return body


def decode(data: bytes, *, explicit: bool) -> Values:
    """Return the values of a data set in Little Endian.

    Raises
    ------
    Malformed
    """
    reader = _Reader(data)
    found = reader.elements(len(data), 0, explicit=explicit)
    if reader.at != len(data):
        raise Malformed(reader.at, "item-misplaced", 0)
    return found


def text(values: Values, tag: int) -> str:
    """Return a value without its padding; "" where there is none, or a sequence in its place."""
    value = values.get(tag, b"")
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""


def items(values: Values, tag: int) -> list[Values]:
    """Return the items of a sequence; none where there is none, or a value in its place."""
    value = values.get(tag, [])
    return value if isinstance(value, list) else []


def number(values: Values, tag: int) -> int | None:
    """Return a US; None where there is none."""
    value = values.get(tag, b"")
    return int.from_bytes(value, "little") if isinstance(value, bytes) and len(value) == 2 else None


def _value(value: "str | Sequence[Written]", vr: str, *, explicit: bool) -> bytes:
    if isinstance(value, str):
        raw = value.encode("ascii")
        return raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
    bodies = [encode(one, explicit=explicit) for one in value]
    return b"".join(bare_header(ITEM, len(one)) + one for one in bodies)


class _Reader:
    """One pass over the bytes; `at` is where the next header begins."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def elements(self, end: int, depth: int, *, explicit: bool) -> Values:
        """Return what stands before `end`, or before the delimiter of an item."""
        found: Values = {}
        while self.at < end:
            start = self.at
            tag = self._tag(end)
            if tag == ITEM_DELIMITATION:
                self.at = start
                return found
            vr, length = self._form(tag, end, explicit=explicit)
            if tag in found:
                raise Malformed(start, "tag-twice", tag)
            found[tag] = self._content(tag, vr, length, end, depth, explicit=explicit)
        return found

    def _content(
        self, tag: int, vr: str, length: int, end: int, depth: int, *, explicit: bool
    ) -> bytes | list[Values]:
        undefined = length == UNDEFINED_LENGTH
        if not undefined and self.at + length > end:
            raise Malformed(self.at, "past-end", tag)
        if undefined or vr == "SQ" or (not vr and _VRS.get(tag) == "SQ"):
            within = end if undefined else self.at + length
            inside = explicit and vr != "UN"  # PS3.5 6.2.2: a UN holds Implicit VR
            return list(self._items(tag, within, depth, undefined=undefined, explicit=inside))
        first, self.at = self.at, self.at + length
        return self._data[first : self.at]

    def _items(
        self, tag: int, end: int, depth: int, *, undefined: bool, explicit: bool
    ) -> Iterator[Values]:
        if depth >= DEPTH_MOST:
            raise Malformed(self.at, "too-deep", tag)
        while self.at < end:
            start = self.at
            kind, length = self._tag(end), self._u32(end)
            if kind == SEQUENCE_DELIMITATION and undefined:
                return
            if kind != ITEM:
                raise Malformed(start, "item-expected", tag)
            yield self._item(tag, length, end, depth + 1, explicit=explicit)
        if undefined:
            raise Malformed(self.at, "no-delimiter", tag)

    def _item(self, tag: int, length: int, end: int, depth: int, *, explicit: bool) -> Values:
        if length == UNDEFINED_LENGTH:
            found = self.elements(end, depth, explicit=explicit)
            if self.at >= end or self._tag(end) != ITEM_DELIMITATION or self._u32(end):
                raise Malformed(self.at, "no-delimiter", tag)
            return found
        within = self.at + length
        if within > end:
            raise Malformed(self.at, "past-end", tag)
        found = self.elements(within, depth, explicit=explicit)
        if self.at != within:
            raise Malformed(self.at, "item-misplaced", tag)
        return found

    def _form(self, tag: int, end: int, *, explicit: bool) -> tuple[str, int]:
        """Return VR, "" in Implicit VR, and length (PS3.5 7.1.2, 7.1.3)."""
        if not explicit:
            return "", self._u32(end)
        vr = self._take(2, end).decode("latin-1")
        if vr in SHORT_VRS:
            return vr, int.from_bytes(self._take(2, end), "little")
        if vr not in LONG_VRS:
            raise Malformed(self.at, "vr-illegal", tag)
        self._take(2, end)
        return vr, self._u32(end)

    def _tag(self, end: int) -> int:
        group, element = struct.unpack("<HH", self._take(4, end))
        return int(group << 16 | element)

    def _u32(self, end: int) -> int:
        return int.from_bytes(self._take(4, end), "little")

    def _take(self, count: int, end: int) -> bytes:
        if self.at + count > end:
            raise Malformed(self.at, "header-cut", 0)
        first, self.at = self.at, self.at + count
        return self._data[first : self.at]
