"""routed: conditions and objects in memory, for the tests of the rules."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.config.conditions import When, read_when
from gateway.config.model import Destination, Route, Settings
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.facts import Facts, open_facts
from spool.model import Arrival
from tests.fakes.data_sets import EXPLICIT, Form, Value, encoded
from tests.fakes.data_sets import Sequence as Items
from tests.fakes.spools import SOP_CLASS, UID

SYNTAXES = {
    (True, "<"): "1.2.840.10008.1.2.1",
    (False, "<"): "1.2.840.10008.1.2",
    (True, ">"): "1.2.840.10008.1.2.2",
}


def when(table: dict) -> When:  # type: ignore[type-arg]
    """Return a condition that has no fault."""
    found, faults = read_when(table, "route[1].when")
    assert faults == []
    return found


def destination(name: str, **more: object) -> Destination:
    return Destination(name=name, host="127.0.0.1", port=1, ae_title="A", **more)  # type: ignore[arg-type]


def settings_of(routes: Sequence[Route], names: Sequence[str] = ("a", "b", "c")) -> Settings:
    return Settings(destination=tuple(map(destination, names)), route=tuple(routes))


def arrived(door: str = "ae:US1", address: str = "192.0.2.7", form: Form = EXPLICIT) -> Arrival:
    return Arrival(SOP_CLASS, UID, SYNTAXES[form.explicit, form.order], door, address)


def text(tag: int, vr: str, value: bytes) -> Value:
    """Return an element, its value padded (PS3.5 6.2)."""
    pad = b"\0" if vr == "UI" else b" "
    return Value(tag, vr, value + pad * (len(value) % 2))


@contextmanager
def facts_of(
    folder: Path,
    values: Sequence[Value | Items],
    arrival: Arrival | None = None,
    form: Form = EXPLICIT,
) -> Iterator[Facts]:
    """Give the facts of a data set that holds these elements."""
    file = folder / "data-set"
    file.write_bytes(encoded(tuple(sorted(values, key=lambda one: one.tag)), form))
    arrival = arrival or arrived(form=form)
    place = DataSetAt(file, 0, file.stat().st_size, arrival.transfer_syntax_uid)
    with open_facts(arrival, place) as facts:
        yield facts
