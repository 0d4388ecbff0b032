"""walker: one pass over a data set, from header to header, with a stack of what is open.

Takes      a Source, the Syntax of its bytes, and the part of it to be walked
Gives      the elements of the top level; the items of every sequence when asked
Holds      Malformed at the first header that does not fit into what holds it
Bounds     `DEPTH_MOST`, `ELEMENTS_MOST`, `ITEMS_MOST`; no input makes it recurse

References: PS3.5 7.1 (elements), 7.5 (sequences and items), 6.2.2 (UN), A.4 (fragments).
"""

import struct
from dataclasses import dataclass, field

from gateway.dicom.dictionary import vr_of
from gateway.dicom.element import Element, Item
from gateway.dicom.malformed import Malformed
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax
from gateway.dicom.vr import (
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    SHORT_VRS,
    UNDEFINED_LENGTH,
)

DEPTH_MOST = 64  #: sequences in sequences
ELEMENTS_MOST = 100_000  #: at all depths
ITEMS_MOST = 100_000  #: at all depths, fragments included
_ITEM_GROUP = 0xFFFE  #: of items and delimiters
_ITEM_BYTES = bytes.fromhex("feff00e0")
_TAG = {order: struct.Struct(f"{order}HH") for order in "<>"}
_U32 = {order: struct.Struct(f"{order}I") for order in "<>"}
_U16 = {order: struct.Struct(f"{order}H") for order in "<>"}


@dataclass(slots=True)
class Level:
    """What is open: the data set, a sequence, an item, or encapsulated Pixel Data."""

    kind: str  #: "elements", "items", "fragments"
    tag: int  #: of the element that it is or that holds it, 0 for the data set
    vr: str
    start: int
    value: int
    limit: int  #: none of its bytes lies here or further
    undefined: bool
    explicit: bool
    order: str  #: "<" or ">", as struct writes it
    elements: list[Element] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)


class Walker:
    """One pass over the bytes, with a stack of what is open: no input makes it recurse."""

    def __init__(self, source: Source, syntax: Syntax, start: int, end: int, *, nested: bool):
        if syntax.deflated:
            raise ValueError(f"{syntax.name} is to be inflated first")
        order = "<" if syntax.little else ">"
        self.source = source
        self.at = start
        self.nested = nested
        self.items: dict[int, tuple[Item, ...]] = {}
        self.top = Level("elements", 0, "", start, start, end, False, syntax.explicit, order)
        self.levels = [self.top]
        self.elements_seen = 0
        self.items_seen = 0

    def run(self) -> list[Element]:
        """Return the elements of the top level, once every byte has found its place."""
        step = {"elements": self.element, "items": self.item, "fragments": self.fragment}
        while self.levels:
            level = self.levels[-1]
            if self.at == level.limit and not level.undefined:
                self.close(level, delimiter_bytes=0)
            else:
                step[level.kind](level)
        return self.top.elements

    # ---- one header further
    def element(self, level: Level) -> None:
        """Pass one value, open what has items, or close the item at its delimiter."""
        start, head = self.at, self.head(level)
        tag = _tag(level, head)
        if tag >> 16 == _ITEM_GROUP:
            self.end_of_item(level, tag, head)
            return
        self.count_element(tag)
        vr, header_bytes, length = self.form(level, tag, head)
        value = start + header_bytes
        if length == UNDEFINED_LENGTH:
            self.open_undefined(level, tag, vr, value)
        elif value + length > level.limit:
            raise Malformed(start, "past-end", tag)
        elif self.is_sequence(tag, vr, value, length):
            self.open(level, "items", tag, vr, value, value + length)
        else:
            self.at = value + length
            self.keep(level, Element(tag, vr, start, value, length, False, self.at))

    def item(self, level: Level) -> None:
        """Open one item of a sequence, or close the sequence at its delimiter."""
        start, head = self.at, self.head(level)
        tag, length = _tag(level, head), _length(level, head)
        if tag != ITEM:
            self.end_of_items(level, tag, length)
            return
        self.count_item(level)
        undefined = length == UNDEFINED_LENGTH
        limit = level.limit if undefined else start + 8 + length
        if limit > level.limit:
            raise Malformed(start, "past-end", ITEM)
        self.at = start + 8
        inner = (level.tag, "", start, self.at, limit, undefined, level.explicit, level.order)
        self.levels.append(Level("elements", *inner))

    def fragment(self, level: Level) -> None:
        """Pass one fragment of Pixel Data, or close it at its delimiter (PS3.5 A.4)."""
        start, head = self.at, self.head(level)
        tag, length = _tag(level, head), _length(level, head)
        if tag != ITEM:
            self.end_of_items(level, tag, length)
            return
        self.count_item(level)
        self.at = start + 8 + length
        if self.at > level.limit:  # an undefined length does not fit either
            raise Malformed(start, "past-end", ITEM)
        if self.nested:
            level.items.append(Item(start, start + 8, length, False, self.at, True, ()))

    # ---- what a header says
    def head(self, level: Level) -> bytes:
        """Return 8 to 12 bytes: the longest header there is, as far as the level reaches."""
        left = level.limit - self.at
        if left < 8:
            code = "no-delimiter" if level.undefined and not left else "header-cut"
            raise Malformed(self.at, code, level.tag)
        return self.source.read(self.at, min(left, 12))

    def form(self, level: Level, tag: int, head: bytes) -> tuple[str, int, int]:
        """Return VR, bytes of the header, and length (PS3.5 7.1.2, 7.1.3)."""
        if not level.explicit:
            return "", 8, _length(level, head)
        vr = head[4:6].decode("latin-1")
        if vr in SHORT_VRS:
            return vr, 8, _short_length(level, head)
        if not (vr.isascii() and vr.isalpha() and vr.isupper()):
            raise Malformed(self.at, "vr-illegal", tag)
        if vr not in LONG_VRS and head[6:8] != b"\0\0":
            return vr, 8, _short_length(level, head)  # not one of ours, but written in our form
        if len(head) < 12:
            raise Malformed(self.at, "header-cut", level.tag)
        return vr, 12, _long_length(level, head)

    def is_sequence(self, tag: int, vr: str, value: int, length: int) -> bool:
        """Implicit VR names no SQ: the dictionary is asked where the value begins like an item."""
        if vr or length < 8:
            return vr == "SQ"
        return self.source.read(value, 4) == _ITEM_BYTES and vr_of(tag) == "SQ"

    # ---- open and close
    def open_undefined(self, level: Level, tag: int, vr: str, value: int) -> None:
        if vr in ("SQ", "UN") or (not vr and tag != PIXEL_DATA):
            self.open(level, "items", tag, vr, value, None)
        elif vr in ("OB", "OW", ""):
            self.open(level, "fragments", tag, vr, value, None)
        else:
            raise Malformed(self.at, "undefined-length", tag)

    def open(self, level: Level, kind: str, tag: int, vr: str, value: int, end: int | None) -> None:
        if len(self.levels) >= 2 * DEPTH_MOST:  # a sequence and its item are two levels
            raise Malformed(self.at, "too-deep", tag)
        # PS3.5 6.2.2: a UN of undefined length holds Implicit VR Little Endian, whatever is around
        explicit, order = (False, "<") if vr == "UN" else (level.explicit, level.order)
        limit = level.limit if end is None else end
        inner = (tag, vr, self.at, value, limit, end is None, explicit, order)
        self.levels.append(Level(kind, *inner))
        self.at = value

    def end_of_item(self, level: Level, tag: int, head: bytes) -> None:
        if tag != ITEM_DELIMITATION or not level.undefined:
            raise Malformed(self.at, "item-misplaced", level.tag)
        self.end(level, _length(level, head))

    def end_of_items(self, level: Level, tag: int, length: int) -> None:
        if tag != SEQUENCE_DELIMITATION or not level.undefined:
            raise Malformed(self.at, "item-expected", level.tag)
        self.end(level, length)

    def end(self, level: Level, length: int) -> None:
        if length:
            raise Malformed(self.at, "delimiter-length", level.tag)
        self.close(level, delimiter_bytes=8)

    def close(self, level: Level, *, delimiter_bytes: int) -> None:
        """Hand what was open to what is around it, now that its end is known."""
        length = self.at - level.value
        self.at += delimiter_bytes
        self.levels.pop()
        place = (level.start, level.value, length, level.undefined, self.at)
        if not self.levels:
            return
        outer = self.levels[-1]
        if level.kind != "elements":
            if self.nested:
                self.items[level.start] = tuple(level.items)
            self.keep(outer, Element(level.tag, level.vr, *place))
        elif self.nested:
            outer.items.append(Item(*place, level.explicit, tuple(level.elements)))

    def keep(self, level: Level, element: Element) -> None:
        if self.nested or level is self.top:
            level.elements.append(element)

    # ---- bounds
    def count_element(self, tag: int) -> None:
        self.elements_seen += 1
        if self.elements_seen > ELEMENTS_MOST:
            raise Malformed(self.at, "too-many-elements", tag)

    def count_item(self, level: Level) -> None:
        self.items_seen += 1
        if self.items_seen > ITEMS_MOST:
            raise Malformed(self.at, "too-many-items", level.tag)


def _tag(level: Level, head: bytes) -> int:
    group, element = _TAG[level.order].unpack_from(head)
    return int(group << 16 | element)


def _length(level: Level, head: bytes) -> int:
    return int(_U32[level.order].unpack_from(head, 4)[0])


def _long_length(level: Level, head: bytes) -> int:
    return int(_U32[level.order].unpack_from(head, 8)[0])


def _short_length(level: Level, head: bytes) -> int:
    return int(_U16[level.order].unpack_from(head, 6)[0])
