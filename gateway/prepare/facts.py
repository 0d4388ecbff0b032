"""facts: what a rule may ask of an instance, each value read when it is asked for.

Takes      who brought it, and where its data set lies
Gives      the texts of a subject; None where nothing can be said, which is not "absent"
Holds      the place of the elements; of a value at most 64 KiB, of Pixel Data nothing
Bounds     the walk's own; a sequence is walked once for each question

References: PS3.5 6.2 (padding and multiplicity by Value Representation), PS3.3 C.12.1.1.2.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway.config.conditions import Subject
from gateway.dicom.attributes import TEXT_BYTES_MOST
from gateway.dicom.charsets import How, decoded
from gateway.dicom.dictionary import vr_of
from gateway.dicom.element import Element
from gateway.dicom.malformed import Malformed
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax, syntax_of
from gateway.dicom.walk import walk, walk_nested
from gateway.prepare.data_set import DataSetAt
from spool.model import Arrival

SPECIFIC_CHARACTER_SET = 0x00080005
#: Their text is in the data set's character set (PS3.5 6.1.2.3); UN may be any of them.
_IN_CHARSET = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UN"))
_ONE_TEXT = frozenset(("LT", "ST", "UR", "UT"))  #: a backslash is part of the text
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}


@dataclass(frozen=True, slots=True)
class Found:
    """The values of one subject; without any, it is absent."""

    texts: tuple[str, ...] = ()  #: each value, and what else it may be
    how: How = ""  #: how the character set is known


class Facts:
    """What is known of one instance. For one thread; valid while `open_facts` is open."""

    def __init__(
        self, arrival: Arrival, source: Source | None, syntax: Syntax, elements: Iterable[Element]
    ) -> None:
        self._arrival, self._source, self._syntax = arrival, source, syntax
        self._elements = {one.tag: one for one in elements}

    @property
    def door(self) -> str:
        """Where it came in: ``ae:US1``, ``folder:export``."""
        return self._arrival.door

    def of(self, subject: Subject) -> Found | None:
        """Return the values; None where the inside of the data set cannot be read."""
        if not subject.path:
            return Found(tuple(filter(None, (self._of_arrival(subject.name),))))
        if self._source is None:
            return None
        found = self._of_path(self._source, subject)
        if subject.name == "station" and self._arrival.station:
            return replace(found, texts=(*found.texts, self._arrival.station))
        return found

    def _of_arrival(self, name: str) -> str:
        kind, _, title = self._arrival.door.partition(":")
        if name == "ae":
            return title if kind == "ae" else ""
        if name == "address":
            return _plain_address(self._arrival.peer_address)
        return self._arrival.door if name == "door" else self._arrival.sop_class_uid

    def _of_path(self, source: Source, subject: Subject) -> Found:
        first = self._elements.get(subject.path[0])
        if first is None:
            return Found()
        if len(subject.path) == 1:
            return self._value(source, first, subject.vr, self._elements)
        found = [
            self._value(source, inner[subject.path[1]], subject.vr, inner)
            for inner in self._items(source, first)
            if subject.path[1] in inner
        ]
        texts = tuple(text for one in found for text in one.texts)
        return Found(texts, next((one.how for one in found if one.how), ""))

    def _items(self, source: Source, sequence: Element) -> Iterator[dict[int, Element]]:
        """Yield the elements of each item; one without a character set of its own has ours."""
        ours = self._elements.get(SPECIFIC_CHARACTER_SET)
        nested = walk_nested(source, self._syntax, sequence)
        for item in nested.get(sequence.start, ()):
            inner = {one.tag: one for one in item.elements}
            if ours:
                inner.setdefault(SPECIFIC_CHARACTER_SET, ours)
            yield inner

    def _value(
        self, source: Source, element: Element, known_vr: str, around: dict[int, Element]
    ) -> Found:
        vr = element.vr if element.vr not in ("", "UN") else known_vr or vr_of(element.tag) or "UN"
        if element.undefined or vr in ("SQ", "OB", "OW", "OB or OW"):  # only whether it is there
            return Found(("…",) if element.undefined or element.length else ())
        value = source.read(element.value, min(element.length, TEXT_BYTES_MOST))
        if number := _NUMBERS.get("US" if vr == "US or SS" else vr):
            return Found(tuple(_numbers(value, number, little=self._syntax.little)))
        if vr not in _IN_CHARSET:
            return Found(tuple(_split(value.decode("latin-1"), vr)))
        text = decoded(value, self._charset(source, around))
        return Found(tuple(one for whole in text.texts for one in _split(whole, vr)), text.how)

    def _charset(self, source: Source, around: dict[int, Element]) -> list[str]:
        element = around.get(SPECIFIC_CHARACTER_SET)
        if element is None:
            return []
        value = source.read(element.value, min(element.length, 256))
        return [one.strip(" \0") for one in value.decode("latin-1").split("\\")]


@contextmanager
def open_facts(arrival: Arrival, place: DataSetAt, *, inside: bool = True) -> Iterator[Facts]:
    """Open the data set and keep it open; what cannot be walked is unknown inside.

    Parameters
    ----------
    inside
        False: nothing asks for an attribute, and the file is not opened.

    Raises
    ------
    OSError, EOFError
        The file is not what it was.
    """
    syntax = syntax_of(place.transfer_syntax_uid)
    if not inside or syntax.deflated:
        yield Facts(arrival, None, syntax, ())
        return
    with Source(place.path, place.dataset_offset, place.dataset_bytes) as source:
        try:
            elements = walk(source, syntax)
        except Malformed:
            yield Facts(arrival, None, syntax, ())
            return
        yield Facts(arrival, source, syntax, elements)


def _split(text: str, vr: str) -> Iterator[str]:
    """Yield each value without its padding; of a name also each of its component groups."""
    for value in [text] if vr in _ONE_TEXT else text.split("\\"):
        if plain := _plain(value, vr):
            yield plain
        groups = value.split("=") if vr == "PN" and "=" in value else []
        yield from filter(None, (_plain(group, vr) for group in groups))


def _plain(value: str, vr: str) -> str:
    """Return a value without padding; the empty last components of a name say nothing."""
    stripped = value.strip(" \0")
    return stripped.rstrip("^= ") if vr == "PN" else stripped


def _numbers(value: bytes, code: str, *, little: bool) -> Iterator[str]:
    form = struct.Struct(("<" if little else ">") + code)
    whole = len(value) - len(value) % form.size
    for (number,) in form.iter_unpack(value[:whole]):
        yield f"{number:.9g}" if isinstance(number, float) else str(number)


def _plain_address(address: str) -> str:
    """Return an IPv4 address as such where it comes as an IPv6 one (RFC 4291 2.5.5.2)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
