"""A database that is lost, cut or damaged: the gateway runs again within seconds, nothing is lost.

Each test gets a copy of one crashed state folder with items in every state, damages it, and starts
the real program on it.
"""

import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.appliance import Gateway, archive
from tests.fakes.damage import cut, lose_database, zeros
from tests.fakes.dcmtk import Said
from tests.fakes.objects import several
from tests.fakes.running import Running
from tests.fakes.scripted_archive import ScriptedArchive
from tests.fakes.seeded import PAGE_BYTES, Seeded, seed

RUNS_WITHIN_S = 15.0
PAGES = range(256)
#: What a person is asked about, since nobody can tell or the bytes are not what they were.
ASKED = {"unproved", "damaged"}
WAITING = (
    "SELECT (SELECT count(*) FROM instance WHERE state = 'received')"
    " + (SELECT count(*) FROM delivery WHERE state = 'queued')"
)
HELD = (
    "SELECT i.sop_instance_uid, i.reason, coalesce(d.error_code, '') FROM instance i"
    " LEFT JOIN delivery d ON d.instance_id = i.id AND d.state = 'held'"
)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    return seed(tmp_path_factory.mktemp("seeded"))


@pytest.fixture
def lose(
    seeded: Seeded,
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
) -> Callable[[Callable[[Path], None]], "Lost"]:
    """Return a function that damages a copy of the state folder and starts the gateway on it."""

    def make(damage: Callable[[Path], None]) -> Lost:
        peer = make_archive()
        gateway = make_gateway(destination=[archive(peer.port)])
        seeded.copy_to(gateway.state_dir)
        damage(gateway.state_dir)
        return Lost(seeded, gateway, peer)

    return make


class Lost:
    """One damaged state folder, and the gateway that runs on it."""

    def __init__(self, seeded: Seeded, gateway: Gateway, peer: ScriptedArchive) -> None:
        self.seeded, self.gateway, self.peer = seeded, gateway, peer

    def comes_back(self) -> None:
        """Assert that it runs, sends what is owed, asks about the rest, and sends no more."""
        running = self.gateway.begin()
        running.wait_for("receive listening", within_s=RUNS_WITHIN_S)
        self.settle(running)
        sent = {one.sop_instance_uid for one in self.peer.took}
        assert not sent & self.seeded.stopped
        assert self.seeded.owed - sent <= self.asked()
        assert all(one.data == self.seeded.data[one.sop_instance_uid] for one in self.peer.took)

    def settle(self, running: Running) -> None:
        """Return when nothing waits any more; the rows are read again when the log has news."""
        known = -1
        while self._read(WAITING) != [(0,)]:
            count = running.news(known, 30)
            assert count > known, "something waits, and nothing happens"
            known = count

    def asked(self) -> set[str]:
        """Return what waits for one person's one decision."""
        return {uid for uid, *codes in self._read(HELD) if ASKED & set(codes)}

    def incidents(self) -> set[str]:
        return {code for (code,) in self._read("SELECT code FROM incident WHERE seen = 0")}

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        path = database(self.gateway.state_dir)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(query).fetchall()

    def set_aside(self) -> list[str]:
        return sorted(one.name for one in self.gateway.state_dir.glob("set-aside/*/*"))


def database(state_dir: Path) -> Path:
    return state_dir / "db" / "spool.db"


def log(state_dir: Path) -> Path:
    return state_dir / "db" / "spool.db-wal"


def without_backup(state_dir: Path) -> None:
    shutil.rmtree(state_dir / "backup")


def cut_at(page: int) -> Callable[[Path], None]:
    return lambda state_dir: cut(database(state_dir), page * PAGE_BYTES)


@pytest.mark.parametrize("has_backup", [True, False], ids=["with a backup", "without"])
def test_a_deleted_database_is_rebuilt(
    lose: Callable[[Callable[[Path], None]], Lost],
    has_backup: bool,
) -> None:
    def damage(state_dir: Path) -> None:
        lose_database(state_dir)
        if not has_backup:
            without_backup(state_dir)

    lost = lose(damage)
    lost.comes_back()
    said = lost.gateway.status()["incidents"]
    assert {one["code"] for one in said} == lost.incidents()
    assert all(one["text"] for one in said)
    wanted = "database-rebuilt" if has_backup else "database-emptied"
    assert {wanted, "taken-in-again"} <= lost.incidents()


@pytest.mark.parametrize(
    "page",
    [page if page % 16 == 5 else pytest.param(page, marks=pytest.mark.nightly) for page in PAGES],
)
def test_a_database_cut_at_a_page_border_is_set_aside_and_rebuilt(
    lose: Callable[[Callable[[Path], None]], Lost], page: int
) -> None:
    lost = lose(cut_at(page))
    lost.comes_back()
    assert "database-rebuilt" in lost.incidents()
    assert "spool.db-wal" in lost.set_aside() or "spool.db" in lost.set_aside()


@pytest.mark.parametrize(
    ("at", "count"),
    [
        (0, 100),
        (PAGE_BYTES, PAGE_BYTES),
        (100 * PAGE_BYTES, PAGE_BYTES),
        (100 * PAGE_BYTES + 1777, 64),
        (200 * PAGE_BYTES - 501, 5_000),
        (3 * PAGE_BYTES + 3000, 700),
    ],
)
def test_zeros_in_the_middle_of_the_database_lose_nothing(
    lose: Callable[[Callable[[Path], None]], Lost], at: int, count: int
) -> None:
    lost = lose(lambda state_dir: zeros(database(state_dir), at, count))
    lost.comes_back()
    if count >= PAGE_BYTES:
        assert "database-rebuilt" in lost.incidents()
        assert "spool.db" in lost.set_aside()


def test_without_its_log_the_database_is_believed_as_far_as_it_goes(
    lose: Callable[[Callable[[Path], None]], Lost],
) -> None:
    lost = lose(lambda state_dir: log(state_dir).unlink())
    lost.comes_back()
    assert "taken-in-again" in lost.incidents()


def test_zeros_in_the_log_end_it_there(
    lose: Callable[[Callable[[Path], None]], Lost],
) -> None:
    lost = lose(lambda state_dir: zeros(log(state_dir), 2 * PAGE_BYTES, 300))
    lost.comes_back()
    assert "taken-in-again" in lost.incidents()


def test_a_damaged_backup_is_passed_over(
    lose: Callable[[Callable[[Path], None]], Lost],
) -> None:
    def damage(state_dir: Path) -> None:
        lose_database(state_dir)
        (copy,) = (state_dir / "backup").glob("*.db")
        zeros(copy, copy.stat().st_size // 2, 3 * PAGE_BYTES)

    lost = lose(damage)
    lost.comes_back()
    assert "database-emptied" in lost.incidents()


def test_an_older_backup_takes_the_place_of_a_damaged_one(
    lose: Callable[[Callable[[Path], None]], Lost],
) -> None:
    def damage(state_dir: Path) -> None:
        lose_database(state_dir)
        (copy,) = (state_dir / "backup").glob("*.db")
        newer = copy.with_name("spool-29991231.db")
        shutil.copyfile(copy, newer)
        zeros(newer, 0, 512)

    lost = lose(damage)
    lost.comes_back()
    assert "database-rebuilt" in lost.incidents()


def test_what_may_have_been_delivered_since_the_backup_waits_for_a_person(
    lose: Callable[[Callable[[Path], None]], Lost],
) -> None:
    lost = lose(lose_database)
    lost.comes_back()
    assert {"files-missing"} <= lost.incidents()
    assert lost.asked()
    assert lost.asked() <= lost.seeded.at_archive


@pytest.mark.parametrize("processes", [(), ("intake", "work")], ids=["supervised", "by units"])
def test_a_database_that_is_damaged_while_it_is_used_is_repaired_by_a_new_start(
    lose: Callable[[Callable[[Path], None]], Lost], processes: tuple[str, ...]
) -> None:
    lost = lose(lambda _: None)
    gateway = lost.gateway
    started = [gateway.begin(name) for name in processes] or [gateway.begin()]
    lost_at = started[-1]
    started[0].wait_for("receive listening")
    lost.settle(lost_at)
    for page in range(2, 200):
        zeros(database(gateway.state_dir), page * PAGE_BYTES, PAGE_BYTES)
    if processes:
        codes = [one.wait(60) for one in started]
        assert 65 in codes, "one has found the damage"
        started = [gateway.begin(name) for name in processes]
    else:
        lost_at.wait_for("run starts-anew", within_s=60)
    started[0].wait_for("receive listening", 1 if processes else 2, within_s=60)
    assert "database-rebuilt" in lost.incidents()
    lost.settle(started[-1])
    assert not {one.sop_instance_uid for one in lost.peer.took} & lost.seeded.stopped


def test_a_database_that_is_deleted_while_it_is_used_is_missed(
    lose: Callable[[Callable[[Path], None]], Lost],
) -> None:
    lost = lose(lambda _: None)
    running = lost.gateway.begin()
    running.wait_for("receive listening")
    running.wait_for("tend backed-up")  # the other process has opened it as well
    lose_database(lost.gateway.state_dir)
    running.wait_for("run starts-anew", within_s=60)
    running.wait_for("receive listening", 2)
    lost.settle(running)
    assert "database-rebuilt" in lost.incidents()
    sent = {one.sop_instance_uid for one in lost.peer.took}
    assert not sent & lost.seeded.stopped
    assert lost.seeded.owed <= sent


def test_the_same_compressed_bytes_are_sent_again_after_a_rebuild(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    port = free_port()
    gateway = make_gateway(destination=[archive(port)])
    running = gateway.start()
    files = several(sample("CT_small.dcm"), tmp_path / "sent", 3)
    assert store(gateway.port, files).acknowledged == tuple(files)
    running.wait_for("prepare ready", 3)
    made = {one["sop_instance_uid"]: gateway.data_set(one, "compressed") for one in gateway.queue()}
    crash(running)
    lose_database(gateway.state_dir)
    peer = make_archive(None, port)
    gateway.settle(gateway.start())
    assert {one.sop_instance_uid: one.data for one in peer.took} == made
    assert [len(one["renditions"]) for one in gateway.queue()] == [2, 2, 2]


def crash(running: Running) -> None:
    running.kill()
    assert running.wait(10) == -signal.SIGKILL
