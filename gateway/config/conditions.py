"""conditions: what stands under `when` of a route, as a tree that can be asked.

Takes      the table of the file
Gives      `When`: a `Group` of tests, each about one subject; every Fault with its place
Holds      nothing; what becomes of a tree is in `gateway.prepare.rules`

All entries of one table must hold. `any`, `all` and `not` hold tables of the same kind. A subject
is `door`, `ae`, `address`, `sop_class`, `modality`, `station`, an attribute's keyword or tag, or,
one level down, ``Sequence.Attribute``. Its value is a text, a list of texts of which one suffices,
or ``{ absent = true }``.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.config import keywords
from gateway.config.problems import Fault
from gateway.config.rules import nearest
from gateway.language import _

Faults = list[tuple[str, Fault]]

#: Subjects that are no attribute: said by the network or by who brought the image.
OF_ARRIVAL = ("door", "ae", "address", "sop_class")
#: Subjects that are attributes under a short name (PS3.3 C.7.3.1, C.7.5.1).
SHORT = {"modality": "Modality", "station": "StationName"}
GROUPS = ("any", "all", "not")
#: Values of these are no text that could be compared (PS3.5 6.2).
_NO_TEXT = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "OB or OW"}
#: Longest value in characters (PS3.5 6.2); a test for a longer one would never match.
LENGTH_MOST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "UI": 64, "AS": 4, "DA": 8}
_EXACT = {"door", "ae", "sop_class"}  #: upper and lower case differ


@dataclass(frozen=True, slots=True)
class Subject:
    """What a test asks about."""

    name: str  #: as it stands in the file
    path: tuple[int, ...] = ()  #: tags: none, one, or a sequence and one in its items
    vr: str = ""
    is_single: bool = True  #: there is one value at most

    @property
    def exact(self) -> bool:
        """Whether upper and lower case differ; in names and texts of an image they do not."""
        return self.name in _EXACT or self.vr in ("UI", "AE")


@dataclass(frozen=True, slots=True)
class Test:
    """One subject and the values of which one is wanted."""

    __test__ = False  # pytest takes it for one of its own

    place: str  #: in the file, ``route[2].when.modality``
    subject: Subject
    wanted: tuple[str, ...] = ()
    absent: bool | None = None  #: True: it must be missing or empty; False: it must not be


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions of which all, any or none must hold."""

    place: str
    kind: Literal["all", "any", "not"]
    parts: tuple["Test | Group", ...]


class When:
    """The condition of a route, and the table that it was read from."""

    __slots__ = ("table", "tree")

    def __init__(self, table: Mapping[str, Any], tree: Group) -> None:
        self.table, self.tree = dict(table), tree

    def __eq__(self, other: object) -> bool:
        return isinstance(other, When) and self.table == other.table

    def __hash__(self) -> int:
        return hash(self.tree)


def read_when(table: Mapping[str, Any], place: str) -> tuple[When, Faults]:
    """Return the condition, and everything that is wrong with it."""
    reader = _Reader()
    tree = reader.table(table, place)
    return When(table, tree), reader.faults


class _Reader:
    def __init__(self) -> None:
        self.faults: Faults = []

    def table(self, table: Mapping[str, Any], place: str) -> Group:
        parts = [part for key, raw in table.items() for part in self._entry(key, raw, place)]
        return Group(place, "all", tuple(parts))

    def _entry(self, key: str, raw: Any, at: str) -> Iterator[Test | Group]:
        place = f"{at}.{key if key.isprintable() else ascii(key)}"
        if key in GROUPS:
            yield from self._group(key, raw, place)
        elif subject := self._subject(key, place):
            yield from self._test(subject, raw, place)

    def _group(self, kind: str, raw: Any, place: str) -> Iterator[Group]:
        several = isinstance(raw, list)
        tables = raw if several else [raw]
        if not all(isinstance(one, dict) for one in tables) or (kind != "not" and not several):
            text = _("any and all take a list of tables, not takes a table, such as {table}.")
            self._refuse(place, Fault("bad-condition", text.format(table='{ modality = "US" }')))
            return
        if not tables or not all(tables):
            text = _("An empty condition says nothing.")
            self._refuse(place, Fault("bad-condition", text))
            return
        places = [f"{place}[{nth}]" if several else place for nth in range(1, len(tables) + 1)]
        parts = [self.table(one, where) for one, where in zip(tables, places, strict=True)]
        yield Group(place, kind, tuple(parts))  # type: ignore[arg-type]

    def _subject(self, key: str, place: str) -> Subject | None:
        if key in OF_ARRIVAL:
            return Subject(key)
        parts = SHORT.get(key, key).split(".")
        path = [one for part in parts if (one := keywords.attribute(part))]
        if len(path) == len(parts) and (len(path) == 1 or [one.vr for one in path[:-1]] == ["SQ"]):
            single = path[0].is_single and len(path) == 1
            return Subject(key, tuple(one.tag for one in path), path[-1].vr, is_single=single)
        text = _("No such attribute: a condition names one by its keyword or tag.")
        self._refuse(place, Fault("unknown-attribute", text, _meant(key)))
        return None

    def _test(self, subject: Subject, raw: Any, place: str) -> Iterator[Test]:
        if isinstance(raw, dict):
            yield from self._absent(subject, raw, place)
            return
        values = raw if isinstance(raw, list) else [raw]
        if not values:
            text = _("An empty list matches nothing.")
            self._refuse(place, Fault("never-matches", text))
        texts = [self._wanted(subject, one, place) for one in values]
        if texts and None not in texts:
            yield Test(place, subject, tuple(one for one in texts if one is not None))

    def _absent(self, subject: Subject, raw: dict[str, Any], place: str) -> Iterator[Test]:
        if list(raw) == ["absent"] and isinstance(raw["absent"], bool):
            yield Test(place, subject, absent=raw["absent"])
            return
        text = _("The only table here is {table}.").format(table="{ absent = true }")
        self._refuse(place, Fault("bad-condition", text))

    def _wanted(self, subject: Subject, raw: Any, place: str) -> str | None:
        """Return one value as it is compared; None where it was refused."""
        if isinstance(raw, bool) or not isinstance(raw, str | int):
            sentence = _("The value must be text in quotes, or a number.")
            self._refuse(place, Fault("wrong-type", sentence))
            return None
        text = str(raw)
        fault = _shape_fault(subject, text)
        if fault:
            self._refuse(place, fault)
            return None
        if subject.name == "sop_class" and not _is_uid_like(text):
            return self._sop_class(text, place)
        return text

    def _sop_class(self, text: str, place: str) -> str | None:
        uid = keywords.sop_class(text)
        if uid is None:
            sentence = _("No such SOP class: it is named by its UID or keyword.")
            nearest_known = keywords.nearest_sop_class(text)
            self._refuse(place, Fault("unknown-sop-class", sentence, nearest_known))
        return uid

    def _refuse(self, place: str, fault: Fault) -> None:
        self.faults.append((place, fault))


def _meant(key: str) -> str:
    words = (*OF_ARRIVAL, *SHORT, *GROUPS)
    return nearest(key, words, likeness=0.7) or keywords.nearest_attribute(key.rpartition(".")[2])


def _shape_fault(subject: Subject, text: str) -> Fault | None:
    """Return why no value of this subject can ever look like `text`."""
    if not text.strip() or not text.isprintable():
        return Fault("never-matches", _("A value is printable text; absent asks for none."))
    if subject.name == "address":
        return _network_fault(text)
    if subject.vr in _NO_TEXT:
        return Fault("never-matches", _("Its values are no text: only absent can be asked."))
    most = LENGTH_MOST.get("AE" if subject.name == "ae" else subject.vr)
    if most and len(text.replace("*", "")) > most:
        sentence = _("No value of this attribute has more than {most} characters.")
        return Fault("never-matches", sentence.format(most=most))
    return None


def _network_fault(text: str) -> Fault | None:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        meant = _network_of_host(text)
        sentence = _("The value must be an IP address or a network, such as 192.168.1.0/24.")
        return Fault("bad-network", sentence, meant)
    return None


def _network_of_host(text: str) -> str:
    """Return the network around ``10.0.0.5/24``, which says a host in it; "" for anything else."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return ""


def _is_uid_like(text: str) -> bool:
    return not text.strip("0123456789.*?")
