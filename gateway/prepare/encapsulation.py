"""encapsulation: frames in fragments, read and written, with their offset tables.

Takes      encapsulated Pixel Data of a walked data set; or codestreams in a file
Gives      where each frame's fragments lie; or the items of new Pixel Data, one a frame
Holds      AsReceived("fragments"): which fragment belongs to which frame is not certain

References: PS3.5 A.4 (items, Basic Offset Table), A.4.2; PS3.3 C.7.6.3.1.8 (Extended Offset Table).
"""

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from gateway.dicom.element import Element
from gateway.dicom.source import Source
from gateway.dicom.walk import fragments
from gateway.prepare.as_received import AsReceived

EXTENDED_OFFSET_TABLE = 0x7FE00001
EXTENDED_OFFSET_TABLE_LENGTHS = 0x7FE00002

#: The largest offset that a Basic Offset Table can name
BASIC_OFFSET_MOST = 0xFFFFFFFF
_ITEM = struct.Struct("<HHI")
_DELIMITER = _ITEM.pack(0xFFFE, 0xE0DD, 0)

Place = tuple[int, int]
Places = tuple[tuple[Place, ...], ...]
Changes = dict[int, tuple[str, bytes] | None]

#: An offset table that belongs to other fragments goes.
NO_TABLES: Changes = {EXTENDED_OFFSET_TABLE: None, EXTENDED_OFFSET_TABLE_LENGTHS: None}


def frame_fragments(source: Source, element: Element, frames: int) -> Places:
    """Return the (offset in the file, bytes) of every frame's fragments, frame by frame.

    Raises
    ------
    AsReceived
        fragments: there is neither one a frame nor a Basic Offset Table that names them all.
    """
    if not element.undefined:
        raise AsReceived("fragments", "Pixel Data is not encapsulated")
    found = fragments(source, element)
    if len(found) < 2:
        raise AsReceived("fragments", "no fragment")
    (table_at, table_bytes), *pieces = found
    begins = _basic_offsets(source.read(table_at, table_bytes))
    first = _first_fragments(begins, pieces, frames)
    placed = [(source.offset + at, count) for at, count in pieces]
    return tuple(tuple(placed[here:after]) for here, after in itertools.pairwise(first))


def _basic_offsets(table: bytes) -> tuple[int, ...]:
    if len(table) % 4:
        raise AsReceived("fragments", "a Basic Offset Table of odd length")
    return struct.unpack(f"<{len(table) // 4}I", table)


def _first_fragments(begins: tuple[int, ...], pieces: list[Place], frames: int) -> list[int]:
    """Return the index of each frame's first fragment, and one past the last.

    Offsets count from the item tag of the first fragment (PS3.5 A.4).
    """
    index_of = {at - pieces[0][0]: index for index, (at, _) in enumerate(pieces)}
    if not begins:
        begins = (0,) if frames == 1 else tuple(index_of)
    first = [index_of.get(begin, -1) for begin in begins]
    if len(first) != frames or first[0] != 0 or first != sorted(set(first)):
        raise AsReceived("fragments", f"{len(pieces)} fragments for {frames} frames")
    return [*first, len(pieces)]


def offset_tables(
    lengths: Sequence[int], *, offset_most: int = BASIC_OFFSET_MOST
) -> tuple[bytes, Changes]:
    """Return the Basic Offset Table's value, and the two Extended elements: VR and value, or None.

    Parameters
    ----------
    lengths
        Bytes of each frame, unpadded, one fragment a frame.
    offset_most
        Where a last frame beginning later goes to the Extended tables: all of them, or none.
    """
    padded = [length + length % 2 for length in lengths]
    offsets = list(itertools.accumulate((_ITEM.size + size for size in padded), initial=0))[:-1]
    if offsets[-1] <= offset_most:
        basic = struct.pack(f"<{len(offsets)}I", *offsets)
        return basic, NO_TABLES
    form = struct.Struct(f"<{len(offsets)}Q")
    return b"", {
        EXTENDED_OFFSET_TABLE: ("OV", form.pack(*offsets)),
        EXTENDED_OFFSET_TABLE_LENGTHS: ("OV", form.pack(*padded)),
    }


def items(table: bytes, codestreams: BinaryIO, lengths: Sequence[int]) -> Iterator[bytes]:
    """Yield the value of encapsulated Pixel Data: offset table, one item a frame, delimiter.

    `codestreams` is read from its present position; an odd frame gets one byte of zero.
    """
    yield _ITEM.pack(0xFFFE, 0xE000, len(table)) + table
    for length in lengths:
        yield _ITEM.pack(0xFFFE, 0xE000, length + length % 2)
        yield codestreams.read(length) + bytes(length % 2)
    yield _DELIMITER
