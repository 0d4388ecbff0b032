"""transcode: one element of a data set in the form of another transfer syntax.

Takes      elements that `walk` gave; Implicit, Explicit little or Explicit big endian
Gives      their pieces in Implicit or Explicit VR Little Endian; sequences and items keep their
           form, defined or undefined length, at every depth
Holds      Unrewritable where the new form would be a guess

References: PS3.5 7.1 (headers), 7.3 (byte order), 7.5 (sequences), 6.2.2 (UN).
"""

from collections.abc import Iterable

from gateway.dicom.element import Element, Item
from gateway.dicom.group_length import joined
from gateway.dicom.headers import bare_header, header
from gateway.dicom.pieces import Piece, Span, bytes_in
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax
from gateway.dicom.unrewritable import Unrewritable
from gateway.dicom.vr import (
    ITEM,
    ITEM_DELIMITATION,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_DELIMITATION,
    SHORT_VRS,
    WORD_BYTES,
)
from gateway.dicom.vr_choice import Context, bits_of, context_of, explicit_vr
from gateway.dicom.walk import walk_nested


class Transcoder:
    """Puts elements of one source from one syntax into another."""

    def __init__(self, source: Source, syntax_in: Syntax, syntax_out: Syntax):
        self.source = source
        self.syntax_in = syntax_in
        self.explicit = syntax_out.explicit
        self.same_form = syntax_in.little and syntax_in.explicit == syntax_out.explicit
        self.loses_fragments = syntax_in.encapsulated and not syntax_out.encapsulated
        self.items: dict[int, tuple[Item, ...]] = {}

    def context(self, elements: Iterable[Element], around: Context) -> Context:
        """Return what `elements` say about the ambiguous VRs beside them and in their items."""
        order = "<" if self.syntax_in.little else ">"
        return context_of(self.source, order, elements, around)

    def top(self, element: Element, context: Context) -> list[Piece]:
        """Return one element of the top level; what has the same form is copied as it stands."""
        if self.loses_fragments or not self.same_form:
            self.items = walk_nested(self.source, self.syntax_in, element)
        if self.loses_fragments:
            self._refuse_fragments()
        if self.same_form:
            return [Span(element.start, element.end - element.start)]
        return self._element(element, context)

    def _refuse_fragments(self) -> None:
        """An icon may be encapsulated where the image is, and nowhere else (PS3.5 A.4)."""
        for items in self.items.values():
            for element in (nested for item in items for nested in item.elements):
                if is_encapsulated(element):
                    raise Unrewritable("still-encapsulated", element.tag)

    def _element(self, element: Element, context: Context) -> list[Piece]:
        items = self.items.get(element.start)
        vr = element.vr or explicit_vr(element.tag, context)
        if items is None:
            return self._value(element, vr, context)
        if is_encapsulated(element):
            raise Unrewritable("still-encapsulated", element.tag)
        if vr == "SQ":
            return self._sequence(element, items, context)
        # PS3.5 6.2.2: a UN of undefined length holds Implicit VR in every syntax
        kept = Span(element.value, element.end - element.value)
        return [header(element.tag, "UN", None, explicit=self.explicit), kept]

    def _value(self, element: Element, vr: str, context: Context) -> list[Piece]:
        if vr == "SQ" and element.length:
            vr = "UN"  # Implicit VR: the tag of a sequence, over a value that is none
        head = header(element.tag, vr, element.length, explicit=self.explicit)
        word_bytes = 1 if self.syntax_in.little else word_bytes_of(element, vr, context)
        return [head, Span(element.value, element.length, word_bytes)]

    def _sequence(self, element: Element, items: tuple[Item, ...], context: Context) -> list[Piece]:
        body = [piece for item in items for piece in self._item(item, context)]
        length = None if element.undefined else bytes_in(body)
        tail = [bare_header(SEQUENCE_DELIMITATION, 0)] if element.undefined else []
        return [header(element.tag, "SQ", length, explicit=self.explicit), *body, *tail]

    def _item(self, item: Item, around: Context) -> list[Piece]:
        context = self.context(item.elements, around)
        parts = [(nested.tag, self._element(nested, context)) for nested in item.elements]
        body = joined(parts, explicit=self.explicit)
        length = None if item.undefined else bytes_in(body)
        tail = [bare_header(ITEM_DELIMITATION, 0)] if item.undefined else []
        return [bare_header(ITEM, length), *body, *tail]


def is_encapsulated(element: Element) -> bool:
    """Return whether the value is fragments, not a sequence of items (PS3.5 A.4)."""
    return element.undefined and (element.vr in ("OB", "OW") or element.tag == PIXEL_DATA)


def word_bytes_of(element: Element, vr: str, context: Context) -> int:
    """Return the bytes of the words to be turned.

    Pixels wider than 16 bits in big endian OW are written in two ways: as words of 16 bits, which
    PS3.5 7.3 says, and as words of their own width.  To choose is to guess at the image.
    """
    if vr not in LONG_VRS and vr not in SHORT_VRS:
        raise Unrewritable("word-unknown", element.tag)
    if vr == "OW" and bits_of(element.tag, context) > 16:
        raise Unrewritable("word-unknown", element.tag)
    word_bytes = WORD_BYTES.get(vr, 1)
    if element.length % word_bytes:
        raise Unrewritable("word-cut", element.tag)
    return word_bytes
