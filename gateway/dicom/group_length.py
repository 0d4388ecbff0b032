"""group_length: the elements of one data set in order, their group lengths made right.

Group length (gggg,0000) counts the bytes of its group after it.  It is retired, may be absent,
and must not be wrong: what stood there is counted again.  References: PS3.5 7.2.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable

from gateway.dicom.headers import header
from gateway.dicom.pieces import Piece, bytes_in

Part = tuple[int, list[Piece]]  #: the tag of an element, and what is written for it


def joined(parts: Iterable[Part], *, explicit: bool) -> list[Piece]:
    """Return the pieces of `parts` in order; group lengths among them are counted again.

    The group length of a group whose end is not known yet (Pixel Data that is still being
    compressed) is left out.
    """
    parts = list(parts)
    if any(_counts(tag) for tag, _ in parts):
        parts = _counted(parts, explicit=explicit)
    return [piece for _, pieces in parts for piece in pieces]


def _counts(tag: int) -> bool:
    return tag & 0xFFFF == 0


def _counted(parts: list[Part], *, explicit: bool) -> list[Part]:
    groups: dict[int, list[Piece]] = defaultdict(list)
    for tag, pieces in parts:
        if not _counts(tag):
            groups[tag >> 16] += pieces
    return [
        (tag, _group_length(tag, groups[tag >> 16], explicit=explicit) if _counts(tag) else pieces)
        for tag, pieces in parts
    ]


def _group_length(tag: int, group: list[Piece], *, explicit: bool) -> list[Piece]:
    length = bytes_in(group)
    if length is None:
        return []
    return [header(tag, "UL", 4, explicit=explicit), struct.pack("<I", length & 0xFFFFFFFF)]
