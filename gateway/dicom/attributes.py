"""attributes: single header values of a data set that was walked.

Takes      a Source, its Syntax and, where they are known already, its elements
Gives      texts and numbers by tag; each is read when asked for
Holds      nothing but the elements of the top level
"""

import re
import struct
from collections.abc import Iterable

from gateway.dicom.dictionary import vr_of
from gateway.dicom.element import Element
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax
from gateway.dicom.walk import walk

TEXT_BYTES_MOST = 65536  #: more of a value is never read for a text
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "US or SS": "H"}
_INTEGER = re.compile(r"[+-]?\d{1,12}")


class Attributes:
    """Values of the top level of one data set, lazily.

    Parameters
    ----------
    source
        Stays open, and the caller's, as long as values are asked for.
    elements
        What `walk` gave; None: it is walked here, and Malformed may be raised.
    """

    def __init__(
        self, source: Source, syntax: Syntax, elements: Iterable[Element] | None = None
    ) -> None:
        self._source = source
        self._order = "<" if syntax.little else ">"
        found = walk(source, syntax) if elements is None else elements
        self.elements: dict[int, Element] = {element.tag: element for element in found}

    def has(self, tag: int) -> bool:
        """Return whether the element is there, be it empty."""
        return tag in self.elements

    def value(self, tag: int) -> bytes:
        """Return the value as it stands, at most `TEXT_BYTES_MOST`; empty where there is none."""
        element = self.elements.get(tag)
        if element is None:
            return b""
        return self._source.read(element.value, min(element.length, TEXT_BYTES_MOST))

    def text(self, tag: int) -> str:
        """Return the first value without its padding, bytes as Latin-1; "" where there is none.

        Meant for identifiers and code strings, which are ASCII (PS3.5 6.1.3): no character set is
        applied.
        """
        return self.value(tag).decode("latin-1").partition("\\")[0].strip(" \0")

    def number(self, tag: int) -> int | None:
        """Return the first value of a US, SS, UL, SL or IS; None where there is no such number."""
        element = self.elements.get(tag)
        if element is None:
            return None
        code = _BINARY.get(_vr(element))
        if code is None:
            return _integer(self.text(tag))
        form = struct.Struct(self._order + code)
        if element.length < form.size:
            return None
        return int(form.unpack(self._source.read(element.value, form.size))[0])


def _vr(element: Element) -> str:
    """Return the VR; the dictionary's where the data set names none (PS3.5 6.2.2)."""
    return vr_of(element.tag) if element.vr in ("", "UN") else element.vr


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None
