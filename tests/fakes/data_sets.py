"""data_sets: data sets built byte by byte, and the public sample files, for the tests of the walk.

An encoder of its own, so that nothing of what is tested writes the bytes it is tested on.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import pydicom

from gateway.dicom.part10 import FileMeta, NotDicom, read_file_meta
from gateway.dicom.syntaxes import syntax_of

SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
ENDLESS = 0xFFFFFFFF
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
WORDS = {"AT": 2, "OW": 2, "SS": 2, "US": 2, "FL": 4, "OF": 4, "OL": 4, "SL": 4, "UL": 4}
WORDS |= {"FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8}


@dataclass(frozen=True)
class Form:
    """How a data set is written."""

    explicit: bool
    order: str  # "<" or ">"


IMPLICIT, EXPLICIT, BIG = Form(False, "<"), Form(True, "<"), Form(True, ">")


@dataclass(frozen=True)
class Value:
    """An element with a value, given in little endian."""

    tag: int
    vr: str
    value: bytes


@dataclass(frozen=True)
class Sequence:
    """An SQ; `private` ones are an UN in Explicit VR, and hold Implicit VR then."""

    tag: int
    items: tuple[tuple["Value | Sequence", ...], ...]
    undefined: bool
    private: bool = False


def samples() -> dict[str, FileMeta]:
    """Return every public sample that names an object and is not deflated, by its path below."""
    found = {}
    for path in sorted(path for path in SAMPLES.rglob("*") if path.is_file()):
        try:
            meta = read_file_meta(path)
        except NotDicom:
            continue
        if not syntax_of(meta.transfer_syntax_uid).deflated:
            found[str(path.relative_to(SAMPLES))] = meta
    return found


def element(tag: int, vr: str, value: bytes, form: Form = EXPLICIT, length: int = -1) -> bytes:
    """Return one element; `length` overrides the true one."""
    count = len(value) if length < 0 else length
    head = struct.pack(form.order + "HH", tag >> 16, tag & 0xFFFF)
    if not form.explicit:
        return head + struct.pack(form.order + "I", count) + value
    if vr in LONG:
        return head + vr.encode() + struct.pack(form.order + "2xI", count) + value
    return head + vr.encode() + struct.pack(form.order + "H", count) + value


def us(tag: int, value: int) -> Value:
    """Return a US of one value."""
    return Value(tag, "US", struct.pack("<H", value))


def item(body: bytes = b"", *, tag: int = 0xE000, length: int = -1, order: str = "<") -> bytes:
    """Return one item, or a delimiter; `length` overrides the true one."""
    count = len(body) if length < 0 else length
    return struct.pack(order + "HHI", 0xFFFE, tag, count) + body


def encoded(nodes: tuple[Value | Sequence, ...], form: Form) -> bytes:
    """Return the data set of `nodes` in `form`."""
    return b"".join(
        _value(node, form) if isinstance(node, Value) else _sequence(node, form) for node in nodes
    )


def _value(node: Value, form: Form) -> bytes:
    word = WORDS.get(node.vr, 1) if form.order == ">" else 1
    words = (node.value[at : at + word] for at in range(0, len(node.value), word))
    return element(node.tag, node.vr, b"".join(one[::-1] for one in words), form)


def _sequence(node: Sequence, form: Form) -> bytes:
    inner = IMPLICIT if node.private else form
    body = b"".join(_item(encoded(nodes, inner), inner, node.undefined) for nodes in node.items)
    vr = "UN" if node.private else "SQ"
    if not node.undefined:
        return element(node.tag, vr, body, form)
    body += item(tag=0xE0DD, order=inner.order)
    return element(node.tag, vr, body, form, ENDLESS)


def _item(body: bytes, form: Form, undefined: bool) -> bytes:
    if not undefined:
        return item(body, order=form.order)
    return item(body, length=ENDLESS, order=form.order) + item(tag=0xE00D, order=form.order)
