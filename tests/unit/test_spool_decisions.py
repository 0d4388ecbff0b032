"""decisions: a line that a crash cut off was never in force; one that rotted holds the instance."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from spool.decisions import SUFFIX, Decided
from spool.store import Spool
from tests.fakes.spools import (
    FakeClock,
    arrive,
    claimed,
    claimed_delivery,
    delivery_states,
    make_ready,
    opened,
    state_of,
)

WHO = "person:ann"
WITHDRAWN = Decided("withdraw", WHO, 1764000000.0)
HELD = Decided("hold", WHO, 1764000001.0, "central")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


@pytest.fixture
def blob(spool: Spool) -> str:
    """Return the blob of an instance that is queued for `central` and `cloud`."""
    arrive(spool)
    return make_ready(spool, ["central", "cloud"]).received.blob.name


def path_of(spool: Spool, blob: str) -> Path:
    path = spool.blobs.path(blob)
    return path.with_name(path.name + SUFFIX)


def old_line(decided: Decided) -> bytes:
    """Return a line as the program before this one wrote it."""
    return json.dumps(asdict(decided), sort_keys=True).encode() + b"\n"


def old_reading(line: bytes) -> Decided:
    """Read a line as the program before this one does."""
    return Decided(**json.loads(line))


def rot(path: Path, at: int, bit: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1 << bit
    path.write_bytes(raw)


def test_what_was_decided_is_read_as_it_was_written(spool: Spool, blob: str) -> None:
    for one in (WITHDRAWN, HELD):
        spool.decisions.write(blob, one)
    assert spool.decisions.read(blob) == [WITHDRAWN, HELD]
    assert not spool.decisions.tell_rot(blob, 1.0)


def test_lines_of_the_program_before_are_read_and_ours_by_it(spool: Spool, blob: str) -> None:
    path_of(spool, blob).write_bytes(old_line(WITHDRAWN))
    spool.decisions.write(blob, HELD)
    assert spool.decisions.read(blob) == [WITHDRAWN, HELD]
    lines = path_of(spool, blob).read_bytes().split(b"\n")
    assert [old_reading(line) for line in lines if line] == [WITHDRAWN, HELD]


@pytest.mark.parametrize("is_old", [False, True])
def test_half_a_line_is_no_decision_wherever_it_was_cut(
    spool: Spool, blob: str, *, is_old: bool
) -> None:
    spool.decisions.write(blob, WITHDRAWN)
    path = path_of(spool, blob)
    whole = old_line(WITHDRAWN) if is_old else path.read_bytes()
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        found = spool.decisions.read(blob)
        assert found == [], length
        spool.decisions.write(blob, HELD)
        assert spool.decisions.read(blob) == [HELD], length


def test_no_bit_of_a_line_can_rot_and_leave_nothing_in_force(spool: Spool, blob: str) -> None:
    spool.decisions.write(blob, WITHDRAWN)
    path = path_of(spool, blob)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in range(8):
            rot(path, at, bit)
            stops = spool.decisions.in_force(blob)
            assert stops in ({"": "withdraw"}, {"": "decision-unreadable"}), (at, bit)
            path.write_bytes(whole)


def test_no_bit_of_an_earlier_line_can_rot_and_set_a_later_one_free(
    spool: Spool, blob: str
) -> None:
    spool.decisions.write(blob, Decided("cancel", WHO, 1.0, "cloud"))
    spool.decisions.write(blob, Decided("release", WHO, 2.0, "central"))
    path = path_of(spool, blob)
    whole = path.read_bytes()
    for at in range(whole.index(b"\n") + 1):
        rot(path, at, 2)
        stops = spool.decisions.in_force(blob)
        assert stops.get("cloud") == "cancel" or stops[""] == "decision-unreadable", at
        path.write_bytes(whole)


def test_what_rotted_holds_what_was_about_to_go_at_the_next_start(spool: Spool, blob: str) -> None:
    spool.delivering.sent(claimed_delivery(spool, "cloud"))
    spool.decisions.write(blob, WITHDRAWN)
    rot(path_of(spool, blob), 60, 1)
    spool.repair.reconcile([])
    assert delivery_states(spool, 1) == ["held", "sent"]
    (found,) = spool.counting.show("1")
    assert found["deliveries"][0]["error_code"] == "decision-unreadable"


def test_what_rotted_holds_an_instance_whose_database_was_lost(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    arrive(spool)
    path = next((tmp_path / "state" / "spool" / "blobs").glob("*/*.dcm"))
    blob = f"{path.parent.name}/{path.name}"
    spool.decisions.write(blob, WITHDRAWN)
    rot(path_of(spool, blob), 60, 1)
    for one in (tmp_path / "state" / "db").glob("spool.db*"):
        one.unlink()
    rebuilt = opened(tmp_path, clock)
    rebuilt.repair.reconcile([])
    assert state_of(rebuilt, 1) == "held"
    (found,) = rebuilt.counting.show("1")
    assert found["reason"] == "decision-unreadable"
    rebuilt.close()


def test_a_person_who_was_told_of_the_rot_lets_it_go_on_for_good(spool: Spool, blob: str) -> None:
    spool.decisions.write(blob, WITHDRAWN)
    rot(path_of(spool, blob), 60, 1)
    spool.repair.reconcile([])
    assert delivery_states(spool, 1) == ["held", "held"]
    spool.deciding.release(1, WHO)
    for _ in range(2):
        spool.repair.reconcile([])
        assert delivery_states(spool, 1) == ["queued", "queued"]


def test_a_release_from_before_the_rot_does_not_count(spool: Spool, blob: str) -> None:
    spool.decisions.write(blob, Decided("hold", WHO, 1.0))
    spool.decisions.write(blob, Decided("release", WHO, 2.0))
    rot(path_of(spool, blob), 60, 1)
    assert spool.decisions.in_force(blob) == {"": "decision-unreadable"}
    spool.repair.reconcile([])
    assert delivery_states(spool, 1) == ["held", "held"]


def test_each_rotten_line_is_told_of_once(spool: Spool, blob: str) -> None:
    spool.decisions.write(blob, WITHDRAWN)
    spool.decisions.write(blob, HELD)
    rot(path_of(spool, blob), 60, 1)
    assert spool.decisions.tell_rot(blob, 5.0)
    assert not spool.decisions.tell_rot(blob, 6.0)
    text = path_of(spool, blob).read_bytes()
    rot(path_of(spool, blob), text.index(b'"central"'), 1)
    assert spool.decisions.tell_rot(blob, 7.0)
    assert not spool.decisions.tell_rot(blob, 8.0)
    told = re.findall(rb'"hold", "who": "decision-unreadable"', path_of(spool, blob).read_bytes())
    assert len(told) == 2


def test_a_file_that_was_lost_and_begun_anew_leaves_the_order_as_it_was(
    spool: Spool, blob: str
) -> None:
    other = blob.replace(".dcm", "-other.dcm")
    spool.decisions.write(other, Decided("hold", WHO, 1.0, "central"))
    for one in (blob, other):
        spool.decisions.write(one, Decided("release", WHO, 2.0, "central"))
    assert spool.decisions.in_force(blob, other) == {"central": "release"}
    spool.decisions.write(blob, Decided("cancel", WHO, 3.0, "central"))  # then a kill came
    assert spool.decisions.in_force(blob, other) == {"central": "cancel"}


def test_rot_is_carried_over_to_the_file_that_stays(spool: Spool, blob: str) -> None:
    spool.decisions.write(blob, WITHDRAWN)
    rot(path_of(spool, blob), 60, 1)
    other = blob.replace(".dcm", "-other.dcm")
    spool.decisions.carry_over(blob, other)
    assert spool.decisions.in_force(other) == {"": "decision-unreadable"}
    before = path_of(spool, other).read_bytes()
    spool.decisions.carry_over(blob, other)
    assert path_of(spool, other).read_bytes() == before
    assert not spool.decisions.tell_rot(other, 9.0)


def test_prepare_holds_what_it_cannot_read_the_decision_about(spool: Spool) -> None:
    arrive(spool)
    instance = claimed(spool)
    blob = instance.received.blob.name
    spool.decisions.write(blob, Decided("cancel", WHO, 1.0, "central"))
    rot(path_of(spool, blob), 60, 1)
    spool.preparing.give_back()
    make_ready(spool, ["central", "cloud"])
    assert delivery_states(spool, 1) == ["held", "held"]
