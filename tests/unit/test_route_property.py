"""For any rules and any object, what `route test` says is what happens, and nothing goes nowhere.

Each example makes rules and an object at random, asks `route test --json`, takes the object in and
lets prepare decide, and compares the rows of the spool with what was said.
"""

import contextlib
import io
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.codec.pool import Codec
from gateway.config.conditions import When, read_when
from gateway.config.model import Compress, Destination, Route, Settings
from gateway.prepare.packing import KINDS
from gateway.stages.prepare import Prepare
from gateway.verbs.route import try_out
from spool.model import Arrival
from spool.store import Spool
from tests.fakes.data_sets import EXPLICIT, encoded
from tests.fakes.objects import small
from tests.fakes.part10 import part10_file
from tests.fakes.routed import text
from tests.fakes.spools import EXPLICIT as EXPLICIT_UID
from tests.fakes.spools import SOP_CLASS, FakeClock, opened

NAMES = ("a", "b", "c")
DOORS = ("ae:US1", "ae:US2", "folder:export", "import")
ADDRESSES = ("192.0.2.7", "10.1.2.3")
DEFLATED = "1.2.840.10008.1.2.1.99"
NUMBERS = itertools.count(1)

#: Subject -> values that some object may have, and patterns
SUBJECTS: dict[str, tuple[str, ...]] = {
    "ae": ("US1", "US2", "US*"),
    "door": ("ae:US1", "folder:*", "import"),
    "address": ("192.0.2.0/24", "10.1.2.3"),
    "sop_class": (SOP_CLASS, "SecondaryCaptureImageStorage"),
    "modality": ("US", "es", "?S"),
    "station": ("ROOM-1", "room*"),
    "StudyDescription": ("腹部*", "knee"),
    "(0019,1001)": ("vendor", "*"),
}
#: Element -> VR and values; None: not there
ELEMENTS: dict[int, tuple[str, tuple[bytes | None, ...]]] = {
    0x00080005: ("CS", (None, b"ISO_IR 192", b"GB18030")),
    0x00080060: ("CS", (None, b"", b"US", b"ES", b"US\\CT")),
    0x00081010: ("SH", (None, b"ROOM-1", b"LAB")),
    0x00081030: ("LO", (None, "腹部超声".encode("gbk"), "腹部".encode(), b"KNEE", b"\xff\xff")),
    0x00191001: ("LO", (None, b"VENDOR")),
}


def asked() -> st.SearchStrategy[dict[str, Any]]:
    """One to three subjects, each with a value, some values, or whether it is there."""
    return st.lists(st.sampled_from(list(SUBJECTS)), min_size=1, max_size=3, unique=True).flatmap(
        lambda names: st.fixed_dictionaries(
            {
                name: st.one_of(
                    st.sampled_from(SUBJECTS[name]),
                    st.lists(st.sampled_from(SUBJECTS[name]), min_size=1, max_size=2),
                    st.builds(lambda there: {"absent": there}, st.booleans()),
                )
                for name in names
            }
        )
    )


def grouped(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=2)
    return st.one_of(
        st.builds(lambda table: {"not": table}, inner),
        st.builds(lambda tables: {"any": tables}, several),
        st.builds(lambda tables: {"all": tables}, several),
    )


@st.composite
def conditions(draw: st.DrawFn) -> When | None:
    if draw(st.booleans()):
        return None
    table = draw(st.recursive(asked(), grouped, max_leaves=4))
    found, faults = read_when(table, "route[1].when")
    return None if faults else found


@st.composite
def routes(draw: st.DrawFn) -> Route:
    syntax = draw(st.sampled_from((None, None, "none", "jpeg2000-lossless", "jpeg2000")))
    return Route(
        from_=tuple(draw(st.lists(st.sampled_from((*DOORS, "ae", "folder")), max_size=2))),
        when=draw(conditions()),
        to=tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True))),
        stop=draw(st.booleans()),
        transfer_syntax=syntax,
        ratio=8 if syntax == "jpeg2000" else None,
    )


@st.composite
def configurations(draw: st.DrawFn) -> Settings:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=3, max_size=3, unique=True))
    found = tuple(
        Destination(name=name, host="h", port=1, ae_title="A", default=draw(st.booleans()))
        for name in names
    )
    kept = found[: draw(st.sampled_from((0, 3, 3, 3, 3)))]
    rules = tuple(draw(st.lists(routes(), max_size=4))) if kept else ()
    return Settings(
        compress=Compress(transfer_syntax="none", workers=1), destination=kept, route=rules
    )


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, Arrival]:
    uid = f"1.2.826.0.1.3680043.8.498.{next(NUMBERS)}"
    values = [
        text(tag, vr, value)
        for tag, (vr, choices) in ELEMENTS.items()
        if (value := draw(st.sampled_from(choices))) is not None
    ]
    door, address = draw(st.sampled_from(DOORS)), draw(st.sampled_from(ADDRESSES))
    syntax = draw(st.sampled_from((EXPLICIT_UID,) * 5 + (DEFLATED,)))
    data = small(uid) if syntax == EXPLICIT_UID else b"not to be walked"
    if syntax == EXPLICIT_UID:
        data = encoded(tuple(values), EXPLICIT) + data
    return data, Arrival(SOP_CLASS, uid, syntax, door, address if door[:2] == "ae" else "")


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spool]:
    found = opened(tmp_path_factory.mktemp("spool"), FakeClock())
    yield found
    found.close()


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=1 << 30, cpu_s=10, frame_bytes_most=1 << 20)
    yield found
    found.close()


def said(configuration: Settings, folder: Path, data: bytes, comes: Arrival) -> dict[str, Any]:
    file = folder / "asked.dcm"
    syntax = comes.transfer_syntax_uid
    file.write_bytes(part10_file(comes.sop_class_uid, comes.sop_instance_uid, data, syntax))
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = try_out(configuration, file, door=comes.door, address=comes.peer_address, json=True)
    found: dict[str, Any] = json.loads(out.getvalue())
    assert code == (69 if found["held"] else 0)
    return found


def happened(configuration: Settings, spool: Spool, codec: Codec, *given: Any) -> dict[str, Any]:
    data, comes = given
    incoming = spool.receiving.begin(comes)
    incoming.write(data)
    instance_id = spool.receiving.keep(incoming, comes)
    assert Prepare(configuration, spool, codec, "").turn() == 0.0
    [found] = spool.counting.show(str(instance_id))
    return found


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(configuration=configurations(), given_=objects())
def test_what_is_said_is_what_happens(
    configuration: Settings,
    given_: tuple[bytes, Arrival],
    spool: Spool,
    codec: Codec,
    tmp_path: Path,
) -> None:
    told = said(configuration, tmp_path, *given_)
    found = happened(configuration, spool, codec, *given_)
    to = [one["destination"] for one in found["deliveries"]]
    assert sorted(to) == sorted(one["name"] for one in told["destinations"])
    assert (found["state"] == "held") == bool(told["held"]) == (not to)
    assert found["reason"] == (told["held"] or {"code": ""})["code"]
    if found["state"] != "held":
        assert found["state"] == "ready"
        assert to
    role_of = {one["id"]: one["role"] for one in found["renditions"]}
    roles = {one["destination"]: role_of[one["rendition_id"]] for one in found["deliveries"]}
    for one in told["destinations"]:
        foreseen = "received" if one["as_received"] else KINDS.get(one["transfer_syntax"])
        if foreseen in ("received", None):
            assert roles[one["name"]] == "received"


def test_the_examples_are_not_all_alike(spool: Spool, codec: Codec, tmp_path: Path) -> None:
    """A rule for everything is one, and none for anything is another."""
    data, comes = small("1.2.3.4.5"), Arrival(SOP_CLASS, "1.2.3.4.5", EXPLICIT_UID, "import")
    some = tuple(Destination(name=one, host="h", port=1, ae_title="A") for one in NAMES)
    base = Settings(compress=Compress(transfer_syntax="none", workers=1), destination=some)
    assert len(said(base, tmp_path, data, comes)["destinations"]) == 3
    nothing = replace(base, route=(Route(from_=("ae",), to=("a",)),))
    assert said(nothing, tmp_path, data, comes)["held"]["code"] == "no-route"
    assert happened(nothing, spool, codec, data, comes)["reason"] == "no-route"
