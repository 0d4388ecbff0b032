"""Bit rot: a flipped bit anywhere in a blob is found, by the scrub or before it would be sent."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spool.blobfile import MARK, PREAMBLE_BYTES, describe, verify, verify_rendition
from spool.errors import Damaged
from spool.store import Spool
from tests.fakes.damage import flip, lose_database, reopened
from tests.fakes.spools import (
    FakeClock,
    arrival,
    arrive,
    claimed,
    delivery_states,
    make_ready,
    opened,
    state_of,
)

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path)
    yield found
    found.close()


def blob_of(spool: Spool, instance_id: int) -> Path:
    (found,) = spool.counting.show(str(instance_id))
    return spool.blobs.path(found["renditions"][0]["blob"])


def test_a_blob_of_the_first_version_is_believed_and_its_damage_found(
    spool: Spool, tmp_path: Path
) -> None:
    path = blob_of(spool, arrive(spool))
    said = describe(path)
    first = MARK + path.read_bytes()[len(MARK) : 64]
    path.write_bytes(first.ljust(PREAMBLE_BYTES, b"\0") + path.read_bytes()[PREAMBLE_BYTES:])
    assert describe(path) == said
    verify(path, said.sha256)
    flip(path, path.stat().st_size - 1)
    with pytest.raises(Damaged, match="data set"):
        verify(path, said.sha256)


@QUICK
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_every_flipped_bit_of_a_blob_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("rot")
    spool = opened(folder)
    path = blob_of(spool, arrive(spool, bytes(range(256)) * 3))
    flip(path, int(place * path.stat().st_size), bit)
    checked = spool.scrubbing.check_next(0)
    assert checked
    assert checked.damage in ("preamble", "file meta", "data set", "length")
    assert state_of(spool, checked.instance_id) == "held"
    spool.close()


@QUICK
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_of_a_blob_without_a_row_is_held_or_named(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("rot")
    spool = opened(folder)
    whole, rotten = arrive(spool, comes=arrival("1.2.3")), arrive(spool, b"\1" * 500)
    path = blob_of(spool, rotten)
    kept_uid = blob_of(spool, whole).name
    flip(path, int(place * path.stat().st_size), bit)
    spool.close()
    lose_database(folder / "state")
    spool = reopened(folder)
    instance = claimed(spool)
    assert instance.received.blob.path.name in (kept_uid, path.name)
    second = spool.preparing.claim()
    found = [one for one in (instance, second) if one and one.received.blob.path.name == path.name]
    for one in found:  # its data set is another: whoever looks before sending holds it
        with pytest.raises(Damaged):
            verify_rendition(one.received)
    incidents = {one.detail for one in spool.incidents.unseen()}
    named = any(path.name in detail for detail in incidents)
    assert found or named
    spool.close()


def test_a_row_that_speaks_of_another_file_is_not_sent(spool: Spool) -> None:
    arrive(spool)
    received = claimed(spool).received
    verify_rendition(received)
    for wrong in (
        replace(received, sop_instance_uid="1.2.9"),
        replace(received, transfer_syntax_uid="1.2.840.10008.1.2"),
        replace(received, blob=replace(received.blob, dataset_offset=4)),
    ):
        with pytest.raises(Damaged, match="row"):
            verify_rendition(wrong)


def test_the_scrub_is_not_stopped_by_a_clock_that_is_set_back(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = opened(tmp_path, clock)
    arrive(spool)
    spool.ageing.tick()
    assert spool.scrubbing.check_next(100)
    assert spool.scrubbing.check_next(100) is None
    clock.step_s(-365 * 86400)
    clock.pass_s(101)
    assert spool.scrubbing.check_next(100)
    spool.close()


def test_a_file_that_was_retired_under_the_scrub_is_no_damage(spool: Spool) -> None:
    arrive(spool)
    make_ready(spool)
    (row,) = spool.database.read("SELECT * FROM rendition")
    spool.database.write(lambda db: db.execute("UPDATE rendition SET gone_at = 1"))
    assert not spool.scrubbing.hold(row["id"], row["instance_id"], "missing")
    assert delivery_states(spool, row["instance_id"]) == ["queued"]
