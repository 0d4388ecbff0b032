"""canonical: elements in the one form that all encodings of the same values have.

Takes      elements that `walk` gave, in any transfer syntax that can be walked
Gives      their bytes as Implicit VR Little Endian, sequences and items of defined length, tags in
           order, without group lengths: fit to be hashed and compared, never to be stored
Holds      Unrewritable where the byte order of a value would be a guess
Bounds     memory by the number of elements, never by a value

Implicit VR, because a VR that was lost on the way (PS3.5 6.2.2) changes no value. What is
encapsulated inside a sequence stays as its fragments are.

References: PS3.5 7.1, 7.2 (group length), 7.3 (byte order), 7.5 (sequences).
"""

from collections.abc import Callable, Iterable

from gateway.dicom.element import Element, Item
from gateway.dicom.headers import bare_header
from gateway.dicom.pieces import Piece, Span, bytes_in, write
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax
from gateway.dicom.transcode import is_encapsulated, word_bytes_of
from gateway.dicom.vr import ITEM
from gateway.dicom.vr_choice import Context, context_of, explicit_vr
from gateway.dicom.walk import walk_nested

#: Only these hold items; "" in Implicit VR, which does not say.
_MAY_HOLD_ITEMS = frozenset(("SQ", "UN", ""))


class Canonical:
    """Writes elements of the top level of one data set.

    Parameters
    ----------
    elements
        All of the top level: some say how others are to be read.
    """

    def __init__(self, source: Source, syntax: Syntax, elements: Iterable[Element]) -> None:
        self._source, self._syntax = source, syntax
        self._context = context_of(source, _order(little=syntax.little), elements, Context())
        self._items: dict[int, tuple[Item, ...]] = {}

    def write(self, element: Element, out: Callable[[bytes], object]) -> None:
        """Give header and value to `out`, in pieces. Raises Unrewritable before the first one."""
        write(self._source, self._top(element), out)

    def write_value(self, element: Element, out: Callable[[bytes], object]) -> None:
        """Give the value alone, as `write`."""
        write(self._source, self._top(element)[1:], out)

    def _top(self, element: Element) -> list[Piece]:
        if element.vr in _MAY_HOLD_ITEMS or element.undefined:
            self._items = walk_nested(self._source, self._syntax, element)
        return self._element(element, self._context, little=self._syntax.little)

    def _element(self, element: Element, context: Context, *, little: bool) -> list[Piece]:
        items = self._items.get(element.start)
        if items is None or is_encapsulated(element):
            body = [self._value(element, context, little=little)]
        else:
            body = [piece for item in items for piece in self._item(item, context)]
        return [bare_header(element.tag, bytes_in(body)), *body]

    def _value(self, element: Element, context: Context, *, little: bool) -> Piece:
        vr = element.vr or explicit_vr(element.tag, context)
        words = 1 if little or element.undefined else word_bytes_of(element, vr, context)
        return Span(element.value, element.length, words)

    def _item(self, item: Item, around: Context) -> list[Piece]:
        # Items without VRs in a data set that has them are little endian (PS3.5 6.2.2).
        little = self._syntax.little or not item.explicit
        context = context_of(self._source, _order(little=little), item.elements, around)
        body = [
            piece
            for nested in sorted(item.elements, key=lambda one: one.tag)
            if nested.tag & 0xFFFF
            for piece in self._element(nested, context, little=little)
        ]
        return [bare_header(ITEM, bytes_in(body)), *body]


def _order(*, little: bool) -> str:
    """Return the byte order as struct writes it."""
    return "<" if little else ">"
