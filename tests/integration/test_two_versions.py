"""Two versions: the first schema and its program are kept, and must get on with what came after.

The new program migrates what the first one wrote; the first one still runs on what the new one
made of it; and a migration that is killed at any of its calls is finished by the next start.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.start import start
from spool.database import Database
from tests.fakes import upper_layer as ul
from tests.fakes.appliance import ENVIRONMENT, Gateway, archive
from tests.fakes.first_version import FirstVersion
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, small
from tests.fakes.scripted_archive import ScriptedArchive

FIRST_TABLES = ("instance", "rendition", "delivery", "destination", "history", "tally", "move")
INSTANCES = {"received", "ready", "retired", "held", "withdrawn", "merged"}
DELIVERIES = {"queued", "sent", "confirmed", "held", "cancelled"}
#: Only in memory is a folder with 10,000 synced files quick to make.
MEMORY = Path("/dev/shm")  # noqa: S108  # a folder of pytest's own lies below it

#: What a kill may leave half done.
LEAVES_TRACES = ("fdatasync", "fsync", "ftruncate", "mkdir", "pwrite64", "unlink", "write")

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> FirstVersion:
    return FirstVersion(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def filled(first: FirstVersion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder of the first version with a few items in every state."""
    folder = tmp_path_factory.mktemp("filled") / "state"
    first.fill(folder, 64)
    return folder


@pytest.fixture
def large(first: FirstVersion, tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a state folder of the first version, with 10,000 items in it."""
    folder = MEMORY / f"{tmp_path.parent.name}-{tmp_path.name}"
    if not os.access(MEMORY, os.W_OK):
        folder = tmp_path
    folder.mkdir(exist_ok=True)
    first.fill(folder / "state", 10_000)
    yield folder
    shutil.rmtree(folder)


def copied(filled: Path, state_dir: Path) -> Path:
    """Return a copy whose blobs are the same files: nobody writes to a blob."""
    shutil.copytree(filled / "spool", state_dir / "spool", copy_function=os.link)
    shutil.copytree(filled / "db", state_dir / "db")
    return state_dir


def rows(state_dir: Path) -> Rows:
    """Return every row of the first version's tables."""
    with closing(sqlite3.connect(state_dir / "db" / "spool.db")) as db:
        db.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in db.execute(f"SELECT * FROM {table}")]
            for table in FIRST_TABLES
        }


def must_hold_all_of(before: Rows, after: Rows) -> None:
    """Check that no row is gone and no value of the first schema changed."""
    for table, was in before.items():
        known = was[0].keys() if was else ()
        now = [{key: row[key] for key in known} for row in after[table]]
        if table == "move":
            assert all(row in now for row in was)
        else:
            assert now == was, table


def must_be_filled_in(after: Rows, state_dir: Path) -> None:
    """Check what the new columns say of rows that the first version wrote."""
    doors = {row["id"]: row["door"] for row in after["instance"]}
    assert all(row["door"] == doors[row["instance_id"]] for row in after["delivery"])
    merged = {row["id"] for row in after["instance"] if row["state"] == "merged"}
    for row in after["rendition"]:
        is_there = (state_dir / "spool" / "blobs" / row["blob"]).exists()
        assert is_there is not bool(row["gone_at"])
        assert not is_there or row["instance_id"] not in merged


def must_be_counted(after: Rows) -> None:
    """Check that the tally is what a count of the rows gives."""
    found = Counter(("instance", "", row["state"]) for row in after["instance"])
    found.update(("delivery", row["destination"], row["state"]) for row in after["delivery"])
    told = {
        (row["machine"], row["destination"], row["state"]): row["n"]
        for row in after["tally"]
        if row["n"]
    }
    assert told == found


def test_ten_thousand_items_in_every_state_are_migrated_and_none_of_their_rows_changes(
    large: Path,
) -> None:
    before = rows(large / "state")
    assert {row["state"] for row in before["instance"]} == INSTANCES
    assert {row["state"] for row in before["delivery"]} == DELIVERIES
    assert len(before["instance"]) >= 10_000
    done = Gateway(large).verb("migrate")
    assert done.returncode == 0, done.stderr
    after = rows(large / "state")
    must_hold_all_of(before, after)
    must_be_filled_in(after, large / "state")
    must_be_counted(after)


def test_what_the_first_version_took_in_is_delivered_by_the_next(
    filled: Path,
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    tmp_path: Path,
) -> None:
    state_dir = copied(filled, tmp_path / "state")
    before = rows(state_dir)
    peers = {name: make_archive() for name in ("archive", "cloud")}
    gateway = make_gateway(
        destination=[archive(peer.port, name) for name, peer in peers.items()],
        scrub={"bytes_per_s": 1 << 30},
    )
    running = gateway.start()
    deferred = [row["id"] for row in before["instance"] if row["reason"] == "no-room"]
    assert gateway.verb("queue", "retry", *map(str, deferred)).returncode == 0
    gateway.settle(running)
    assert not running.found("damaged"), "the next version must believe the first one's files"
    for name, peer in peers.items():
        wanted = uids_to_send(before, name)
        assert {one.sop_instance_uid for one in peer.took} == wanted
        assert all(one.data == small(one.sop_instance_uid) for one in peer.took)


def uids_to_send(before: Rows, destination: str) -> set[str]:
    """Return what the archive must get: queued there, or not decided yet."""
    uids = {row["id"]: row["sop_instance_uid"] for row in before["instance"]}
    queued = {
        uids[row["instance_id"]]
        for row in before["delivery"]
        if (row["destination"], row["state"]) == (destination, "queued")
    }
    return queued | {
        row["sop_instance_uid"] for row in before["instance"] if row["state"] == "received"
    }


def test_the_first_version_still_works_on_the_new_schema_and_the_next_goes_on_after_it(
    first: FirstVersion,
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    tmp_path: Path,
    ending: ExitStack,
) -> None:
    peer = make_archive()
    sections: dict[str, Any] = {"destination": [archive(peer.port)]}
    new = make_gateway(**sections)
    ran = new.start()
    taken = [store(new), store(new)]
    new.settle(ran)
    ran.ask_to_end()
    assert ran.wait(30) == 0
    make_old_in_trusted_time(new.state_dir)

    old = first.gateway(tmp_path, **sections)
    ending.callback(old.close)
    ran = old.start()
    taken += [store(old), store(old)]
    again = store(old, taken[0])
    old.settle(ran)
    assert again == taken[0]
    assert {one.sop_instance_uid for one in peer.took} == set(taken)
    ran.ask_to_end()
    assert ran.wait(30) == 0
    leave_queued(new.state_dir)

    ran = new.start()
    taken.append(store(new))
    new.settle(ran)
    assert {one.sop_instance_uid for one in peer.took} == set(taken)
    counts = new.status()
    assert counts["deliveries"]["archive"]["held"] == 0, "given up, or held as damaged"
    after = rows(new.state_dir)
    must_be_filled_in(after, new.state_dir)
    must_be_counted(after)


def store(gateway: Gateway, uid: str = "") -> str:
    """Return the UID of an object that was acknowledged."""
    uid = uid or new_uid()
    with Modality(gateway.port) as modality:
        assert modality.store(ul.US_IMAGE, uid, small(uid)) == 0
        modality.release()
    return uid


def make_old_in_trusted_time(state_dir: Path) -> None:
    """Let the box have run for a year: what is queued at 0 would be given up."""
    with closing(sqlite3.connect(state_dir / "db" / "spool.db")) as db, db:
        db.execute("UPDATE trusted_time SET seconds = 31536000")


def leave_queued(state_dir: Path) -> None:
    """Put what the first version sent back into the queue, as if it had not come to it."""
    with closing(sqlite3.connect(state_dir / "db" / "spool.db")) as db, db:
        db.execute("INSERT INTO move VALUES ('delivery', 'sent', 'queued')")
        db.execute("UPDATE delivery SET state = 'queued' WHERE settled_at = 0")


# A migration that is killed at any of its calls


def counted(strace: str, command: list[str], folder: Path) -> Counter[str]:
    """Return how often the program makes each system call."""
    log = folder / "calls"
    run_traced([strace, "-f", "-qq", "-o", str(log)], command)
    names = re.findall(r"^\d+ +(\w+)\(", log.read_text("utf-8", "replace"), re.MULTILINE)
    return Counter(names)


def run_traced(strace: list[str], command: list[str]) -> int:
    done = subprocess.run([*strace, *command], env=os.environ | ENVIRONMENT, capture_output=True)
    return done.returncode


def points(calls: Counter[str], few: int) -> list[tuple[str, int]]:
    """Return (call, number) pairs: of each call the first, the last, and some spread between.

    `few` of each, and eight times as many of those that leave something on the disk.
    """
    found = []
    for name, count in sorted(calls.items()):
        wanted = few * 8 if name in LEAVES_TRACES else few
        spread = {1 + place * (count - 1) // (wanted - 1) for place in range(wanted)}
        found += [(name, number) for number in sorted(spread)]
    return found


class Killed:
    """A migration of the first schema that is killed, and what the next start makes of it."""

    def __init__(self, filled: Path, folder: Path, strace: str) -> None:
        self._filled, self._folder, self._strace = filled, folder, strace
        self._before, self._whole = rows(filled), self._migrated()

    def count(self) -> Counter[str]:
        gateway = self._fresh()
        return counted(self._strace, gateway.command("migrate"), self._folder)

    def kill_at(self, call: str, number: int) -> bool:
        """Kill it there and start anew; return whether it had not ended before."""
        gateway = self._fresh()
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        strace = [self._strace, "-f", "-qq", "-o", os.devnull, "-e", inject]
        code = run_traced(strace, gateway.command("migrate"))
        with start(load(gateway.config)) as spool:
            assert spool.counting.integrity() == "ok", (call, number)
            assert schema(spool.database) == self._whole, (call, number)
        after = rows(gateway.state_dir)
        must_hold_all_of(self._before, after)
        must_be_filled_in(after, gateway.state_dir)
        must_be_counted(after)
        return code in (-signal.SIGKILL, 128 + signal.SIGKILL)

    def _fresh(self) -> Gateway:
        shutil.rmtree(self._folder / "state", ignore_errors=True)
        copied(self._filled, self._folder / "state")
        return Gateway(self._folder)

    def _migrated(self) -> list[tuple[str, ...]]:
        gateway = self._fresh()
        assert gateway.verb("migrate").returncode == 0
        database = Database(gateway.state_dir / "db" / "spool.db")
        try:
            return schema(database)
        finally:
            database.close()


def schema(database: Database) -> list[tuple[str, ...]]:
    found = database.read("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY 1, 2")
    return [tuple(row) for row in found]


@pytest.mark.parametrize(
    "few", [pytest.param(3, id="some"), pytest.param(0, id="all", marks=pytest.mark.nightly)]
)
@pytest.mark.timeout(4 * 3600)
def test_a_migration_that_is_killed_at_any_call_is_finished_by_the_next_start(
    few: int, filled: Path, tmp_path: Path, program: Callable[[str], str]
) -> None:
    trial = Killed(filled, tmp_path, program("strace"))
    calls = trial.count()
    tried = points(calls, few or max(calls.values()))
    met = sum(trial.kill_at(*point) for point in tried)
    print(f"{calls.total()} calls of {len(calls)} names; killed at {met} of {len(tried)}: {calls}")
    assert {name for name, _ in tried} == calls.keys()
    assert met > 0.9 * len(tried), "the calls must be the same each time"
