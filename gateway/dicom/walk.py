"""walk: the elements of a data set, every length checked down to its very last byte.

Takes      a Source and the Syntax of its bytes (never a deflated one)
Gives      the elements of the top level; those of its sequences too, when asked
Holds      Malformed says where the bytes contradict themselves
Bounds     64 sequences deep, 100,000 elements, 100,000 items; iterative, one small window

A reader that stops quietly at the first length that does not fit shows a part of an image as
the whole: this walk stands before every other use of received bytes.  Disorder of tags is
accepted (legacy boxes); a tag that occurs twice is not: readers differ on which of them counts.

References: PS3.5 7.1 (elements), 7.5 (sequences and items), 6.2.2 (UN), A.4 (fragments).
"""

import struct

from gateway.dicom.element import Element, Item
from gateway.dicom.malformed import Malformed
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax
from gateway.dicom.walker import Walker

__all__ = ["Element", "Item", "Malformed", "fragments", "walk", "walk_nested"]


def walk(source: Source, syntax: Syntax) -> list[Element]:
    """Return the elements of the top level, in the order of the bytes.

    Raises
    ------
    Malformed
        A length, at any depth, does not end where it must; or a bound is passed.
    EOFError
        The file was cut while it was read.
    """
    elements = Walker(source, syntax, 0, source.size, nested=False).run()
    _check_top(elements)
    return elements


def walk_nested(source: Source, syntax: Syntax, element: Element) -> dict[int, tuple[Item, ...]]:
    """Return the items of `element` and of every sequence in it, by the start of the sequence.

    Fragments of encapsulated Pixel Data are items without elements.  A value is not in there: an
    element whose start is missing has no items.  Raises as `walk`.
    """
    walked = Walker(source, syntax, element.start, element.end, nested=True)
    walked.run()
    return walked.items


def fragments(source: Source, element: Element) -> list[tuple[int, int]]:
    """Return (offset, bytes) of each item of encapsulated Pixel Data.

    The first is the Basic Offset Table, which may be empty (PS3.5 A.4).  `element` comes from
    `walk`, so that its items are known to fit.
    """
    found: list[tuple[int, int]] = []
    at, end = element.value, element.value + element.length
    while element.undefined and at < end:
        (length,) = struct.unpack("<4xI", source.read(at, 8))
        found.append((at + 8, length))
        at += 8 + length
    return found


def _check_top(elements: list[Element]) -> None:
    """Refuse what would be read in two ways: a tag that occurs twice, or a command in the data."""
    seen: set[int] = set()
    for element in elements:
        if element.tag >> 16 == 0:
            raise Malformed(element.start, "command-element", element.tag)
        if element.tag in seen:
            raise Malformed(element.start, "tag-twice", element.tag)
        seen.add(element.tag)
