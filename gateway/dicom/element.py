"""element: where one data element, and one item of a sequence, lie in the bytes.

All offsets count from the first byte of the data set.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Element:
    """One data element."""

    tag: int
    vr: str  #: as written; "" in Implicit VR
    start: int  #: of its header
    value: int  #: of its value
    length: int  #: bytes of the value, without the delimiter of an undefined length
    undefined: bool  #: the length was undefined: items, then a delimiter
    end: int  #: of the element, its delimiter included


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a sequence, or one fragment, which has no elements."""

    start: int
    value: int
    length: int
    undefined: bool
    end: int
    explicit: bool  #: False in Implicit VR, also inside a UN of undefined length (PS3.5 6.2.2)
    elements: tuple[Element, ...]
