"""answer_body: the data sets that a DICOMweb answer holds, whatever it calls itself.

Takes      the bytes of an answer, bounded by who read them
Gives      its data sets in the form of the DICOM JSON model, the native XML model turned into it
Holds      nothing; what is neither is None: a proxy's page, a login form, half an answer

Archives send JSON as text/plain and XML where JSON was asked for: the bytes decide, not the header.
XML is read without DTD and entities.

References: PS3.18 F.2 (DICOM JSON model), PS3.19 A.1 (native DICOM model).
"""

import json
from collections.abc import Mapping
from typing import Any
from xml.parsers import expat

DataSet = Mapping[str, Any]

#: Data set, sequence, item, value: nothing that we look for lies deeper.
_DEPTH_MOST = 32
_END = object()


def data_sets(body: bytes) -> list[DataSet] | None:
    """Return the data sets of an answer; None where it is no DICOM answer."""
    text = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return _of_xml(text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return None
    return found


def values(data_set: DataSet, tag: str) -> list[Any]:
    """Return the values of an element, items where it is a sequence; none where it has none.

    A list where the element belongs, and one value where a list belongs, are taken for what they
    are meant to be.
    """
    element = data_set.get(tag)
    if isinstance(element, dict):
        element = element.get("Value")
    if element is None:
        return []
    return element if isinstance(element, list) else [element]


def items(data_set: DataSet, tag: str) -> list[DataSet]:
    """Return the items of a sequence; what is no item is left out."""
    return [one for one in values(data_set, tag) if isinstance(one, dict)]


def uid(data_set: DataSet, tag: str) -> str:
    """Return a UID, "" where there is none, or something else."""
    found = values(data_set, tag)
    return found[0].strip(" \0") if found and isinstance(found[0], str) else ""


def number(data_set: DataSet, tag: str) -> int | None:
    """Return a number, which may stand in a string; None where there is none."""
    for one in values(data_set, tag)[:1]:
        if isinstance(one, int) and not isinstance(one, bool):
            return one
        if isinstance(one, str) and one.strip().isascii() and one.strip().isdigit():
            return int(one.strip().lstrip("0")[:9] or "0")
    return None


def texts(data_set: DataSet) -> str:
    """Return all text of an item, to be searched for words; never to be shown."""
    found, waiting = list[str](), [iter(data_set.values())]
    while waiting:
        one = next(waiting[-1], _END)
        if one is _END:
            waiting.pop()
        elif isinstance(one, str):
            found.append(one)
        elif isinstance(one, dict | list) and len(waiting) < _DEPTH_MOST:
            waiting.append(iter(one.values() if isinstance(one, dict) else one))
    return "\n".join(found)


class _Refused(Exception):
    """The document is none that an archive would send."""


class _NativeModel:
    """Turns the native DICOM model into the DICOM JSON model."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[str, Any]] = []
        self._text: list[str] = []

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """A tag opens."""
        name, self._text = name.rpartition(":")[2], []
        if (not self._open and name != "NativeDicomModel") or len(self._open) > _DEPTH_MOST:
            raise _Refused
        node: Any = None
        if name == "NativeDicomModel":
            node = self.root
        elif name == "DicomAttribute":
            node = []
            self._data_set()[attributes.get("tag", "").upper()] = {"Value": node}
        elif name == "Item":
            node = {}
            self._values().append(node)
        self._open.append((name, node))

    def end(self, name: str) -> None:
        """A tag closes."""
        opened, _ = self._open.pop()
        if opened == "Value":
            self._values().append("".join(self._text).strip())

    def text(self, text: str) -> None:
        """Text between tags."""
        self._text.append(text)

    def refuse(self, *_: object) -> None:
        """A document type, an entity: none of them is needed."""
        raise _Refused

    def _data_set(self) -> dict[str, Any]:
        if isinstance(node := self._nearest(), dict):
            return node
        raise _Refused

    def _values(self) -> list[Any]:
        if isinstance(node := self._nearest(), list):
            return node
        raise _Refused

    def _nearest(self) -> Any:
        """Return the data set or the values around what opens: names of a person hold neither."""
        return next((node for _, node in reversed(self._open) if node is not None), None)


def _of_xml(text: bytes) -> list[DataSet] | None:
    model, parser = _NativeModel(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = model.refuse
    parser.EntityDeclHandler = model.refuse
    parser.StartElementHandler, parser.EndElementHandler = model.begin, model.end
    parser.CharacterDataHandler = model.text
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, _Refused, ValueError, LookupError):
        return None
    return [model.root]
