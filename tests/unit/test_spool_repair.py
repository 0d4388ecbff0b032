"""repair, soundness: a lost database is rebuilt from copies and files, nothing goes by mistake."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spool import backups
from spool.blobfile import verify_rendition
from spool.errors import Damaged
from spool.model import Decision, Rendition, Role
from spool.repair import ensure_database
from spool.soundness import fault_of
from spool.store import Spool
from tests.fakes.damage import cut, lose_database, reopened, zeros
from tests.fakes.seeded import Seeded, seed
from tests.fakes.spools import (
    EXPLICIT,
    SOP_CLASS,
    UID,
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


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    return seed(tmp_path_factory.mktemp("seeded"))


@QUICK
@given(place=st.floats(0, 1, exclude_max=True), count=st.integers(1, 20_000))
def test_zeros_anywhere_in_the_database_lose_nothing_and_send_nothing_that_was_stopped(
    seeded: Seeded, tmp_path_factory: pytest.TempPathFactory, place: float, count: int
) -> None:
    folder = tmp_path_factory.mktemp("zeros")
    seeded.copy_to(folder / "state")
    path = folder / "state" / "db" / "spool.db"
    zeros(path, int(place * path.stat().st_size), count)
    spool = reopened(folder)
    try:
        promise_is_kept(spool, seeded)
    finally:
        spool.close()
        shutil.rmtree(folder)


def promise_is_kept(spool: Spool, seeded: Seeded) -> None:
    """Assert that what is owed waits, whole, and that nothing stopped waits to be sent."""
    waiting: set[str] = set()
    while delivery := spool.delivering.claim("archive"):
        waiting |= sound(delivery.rendition)
    while instance := spool.preparing.claim():
        decided = spool.decisions.in_force(instance.received.blob.name)
        # prepare makes the delivery as it was decided, and does not queue it.
        if decided.get("archive", decided.get("", "")) not in ("cancel", "hold"):
            waiting |= sound(instance.received)
    assert not waiting & seeded.stopped
    held = {
        row["sop_instance_uid"]
        for row in spool.database.read(
            "SELECT sop_instance_uid FROM instance WHERE state = 'held' OR EXISTS (SELECT 1 FROM"
            " delivery d WHERE d.instance_id = instance.id AND d.state = 'held')"
        )
    }
    assert seeded.owed <= waiting | held


def sound(rendition: Rendition) -> set[str]:
    """Return the UID under which a stage would send it, none where it would hold it."""
    try:
        verify_rendition(rendition)
    except Damaged:
        return set()
    return {rendition.sop_instance_uid}


@pytest.mark.parametrize("page", range(0, 256, 15))
def test_a_cut_database_is_never_believed(seeded: Seeded, tmp_path: Path, page: int) -> None:
    seeded.copy_to(tmp_path / "state")
    path = tmp_path / "state" / "db" / "spool.db"
    cut(path, page * 4096)
    (incident,) = ensure_database(tmp_path / "state", 1_772_352_000.0)
    assert incident.code == "database-rebuilt"
    assert not fault_of(path)


def test_a_first_start_has_nothing_to_repair(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert ensure_database(tmp_path / "state", 0.0) == []
    spool = opened(tmp_path)
    spool.close()
    assert ensure_database(tmp_path / "state", 0.0) == []


def test_tombstones_come_back_from_the_copy_though_no_file_is_left(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    arrive(spool)
    make_ready(spool)
    backups.daily(spool.database, tmp_path / "state" / "backup", 0.0)
    spool.close()
    lose_database(tmp_path / "state")
    shutil.rmtree(tmp_path / "state" / "spool")
    (incident,) = ensure_database(tmp_path / "state", 0.0)
    assert incident.code == "database-rebuilt"


def test_two_databases_set_aside_in_one_second_are_both_kept(tmp_path: Path) -> None:
    for _ in range(2):
        folder = tmp_path / "state" / "db"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spool.db").write_bytes(b"no database" * 100)
        (incident,) = ensure_database(tmp_path / "state", 0.0)
        assert incident.code == "database-emptied"
    assert len(list((tmp_path / "state" / "set-aside").glob("*/spool.db"))) == 2


def test_a_database_that_another_holds_is_not_set_aside(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_FULL

    def full(*_: object, **__: object) -> None:
        raise Busy("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("sqlite3.connect", full)
        with pytest.raises(sqlite3.OperationalError):
            ensure_database(tmp_path / "state", 0.0)
    assert (tmp_path / "state" / "db" / "spool.db").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rendition SET sha256 = substr(sha256, 1, 9) || char(0) || substr(sha256, 11)",
        "UPDATE delivery SET rendition_id = 2 WHERE id = 1",
        "UPDATE delivery SET rendition_id = 99 WHERE id = 1",
    ],
)
def test_what_sqlite_does_not_see_is_seen(spool: Spool, tmp_path: Path, statement: str) -> None:
    for number in (1, 2):
        arrive(spool, comes=arrival(f"1.2.{number}"))
        make_ready(spool)
    path = tmp_path / "state" / "db" / "spool.db"
    assert not fault_of(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    assert fault_of(path)


def test_counts_are_counted_anew(spool: Spool) -> None:
    arrive(spool)
    make_ready(spool)
    spool.database.write(lambda db: db.execute("UPDATE tally SET n = 7"))
    spool.repair.reconcile([])
    assert spool.counting.instances()["ready"] == 1
    assert spool.counting.deliveries()["central"]["queued"] == 1


def compressed(spool: Spool, source: Rendition) -> Rendition:
    """Return a durable rendition made of `source`, without a row."""
    about = {
        "role": Role.COMPRESSED,
        "sop_class_uid": SOP_CLASS,
        "sop_instance_uid": source.sop_instance_uid,
        "transfer_syntax_uid": EXPLICIT,
        "made_from": source.blob.sha256,
    }
    incoming = spool.blobs.begin(about)
    incoming.write(b"small")
    blob = incoming.keep()
    return Rendition(Role.COMPRESSED, UID, SOP_CLASS, EXPLICIT, blob, source.id, proved=True)


def ready_compressed(spool: Spool, destinations: tuple[str, ...]) -> int:
    instance = claimed(spool)
    made = compressed(spool, instance.received)
    all_of_it = tuple((one, 0) for one in destinations)
    decision = Decision("1.2", "1.3", renditions=(made,), deliveries=all_of_it)
    spool.preparing.ready(instance, decision)
    return instance.id


def test_a_decision_outlives_the_received_bytes_that_were_trimmed(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    instance_id = arrive(spool)
    ready_compressed(spool, ("a", "b"))
    spool.deciding.cancel(instance_id, "person:ann", destination="b")
    assert spool.retiring.trim() == 1
    spool.close()
    lose_database(tmp_path / "state")
    spool = reopened(tmp_path)
    make_ready(spool, ("a", "b"))
    assert delivery_states(spool, 1) == ["queued", "cancelled"]
    spool.close()


def test_a_decision_from_before_the_compression_is_carried_over(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    instance_id = arrive(spool)
    spool.deciding.hold(instance_id, "person:ann")
    spool.deciding.release(instance_id, "person:ann")
    ready_compressed(spool, ("a",))
    spool.deciding.hold(instance_id, "person:ann", destination="a")
    assert spool.retiring.trim() == 1
    spool.close()
    lose_database(tmp_path / "state")
    spool = reopened(tmp_path)
    make_ready(spool, ("a",))
    assert delivery_states(spool, 1) == ["held"]
    spool.close()


def test_a_compressed_file_is_given_back_to_its_instance(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    arrive(spool)
    ready_compressed(spool, ("a",))
    spool.close()
    lose_database(tmp_path / "state")
    spool = reopened(tmp_path)
    (found,) = spool.counting.show("1")
    assert [one["role"] for one in found["renditions"]] == ["received", "compressed"]
    assert found["renditions"][1]["proved"]
    spool.close()


def made(spool: Spool, source: Rendition, role: Role, uid: str) -> Rendition:
    """Return a durable rendition of another kind, made of `source`."""
    about = {
        "role": role,
        "sop_class_uid": SOP_CLASS,
        "sop_instance_uid": uid,
        "transfer_syntax_uid": EXPLICIT,
        "made_from": source.blob.sha256,
        "made_from_blob": source.blob.name,
        "made_from_uid": source.sop_instance_uid,
    }
    incoming = spool.blobs.begin(about)
    incoming.write(f"{role} {uid}".encode())
    blob = incoming.keep()
    return Rendition(role, uid, SOP_CLASS, EXPLICIT, blob, source.id, proved=True)


def test_what_was_made_for_each_destination_is_given_back_and_becomes_no_image_of_its_own(
    tmp_path: Path,
) -> None:
    spool = opened(tmp_path)
    arrive(spool)
    instance = claimed(spool)
    renditions = tuple(
        made(spool, instance.received, role, uid)
        for role, uid in ((Role.HTJ2K, UID), (Role.LOSSY, "1.9.1"), (Role.LOSSY, "1.9.2"))
    )
    all_of_it = (("a", 0), ("b", 1), ("c", 2))
    spool.preparing.ready(
        instance, Decision("1.2", "1.3", renditions=renditions, deliveries=all_of_it)
    )
    spool.close()
    lose_database(tmp_path / "state")
    spool = reopened(tmp_path)
    assert sum(spool.counting.instances().values()) == 1
    (found,) = spool.counting.show("1")
    assert sorted((one["role"], one["sop_instance_uid"]) for one in found["renditions"]) == [
        ("htj2k", UID),
        ("lossy", "1.9.1"),
        ("lossy", "1.9.2"),
        ("received", UID),
    ]
    again = claimed(spool)
    assert {one.blob.sha256 for one in again.kept} >= {one.blob.sha256 for one in renditions}
    spool.close()


def test_a_settled_time_alone_retires_nothing(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool)
    spool.ageing.tick()
    spool.database.write(lambda db: db.execute("UPDATE instance SET settled_at = 1e-9"))
    assert spool.retiring.retire(0) == 0
    assert state_of(spool, instance_id) == "ready"


def test_a_daily_copy_that_is_not_sound_tells_of_the_damage_and_keeps_the_older(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backup"
    assert backups.daily(spool.database, folder, 0.0)
    monkeypatch.setattr("spool.backups.is_sound", lambda _: False)
    assert backups.daily(spool.database, folder, 86400.0) is None
    assert spool.database.damaged.is_set()
    assert [one.name for one in backups.copies(folder)] == ["spool-19700101.db"]
