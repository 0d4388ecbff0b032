"""migrations: once each, whole or not at all, forward only, and nobody beside them."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spool import migrations
from spool.database import Database
from spool.store import NotMigrated, Spool
from tests.fakes.spools import (
    EXPLICIT,
    SOP_CLASS,
    UID,
    FakeClock,
    claimed_delivery,
    make_ready,
    opened,
)

ROOT = Path(__file__).parents[2]
NAMES = [script.stem for script in migrations.SCRIPTS]

MIGRATE = """
import sys
from pathlib import Path
from spool.store import Spool
Spool(Path(sys.argv[1]), Path(sys.argv[2])).migrate()
"""


def schema(database: Database) -> list[tuple[str, str, str]]:
    rows = database.read(
        "SELECT type, name, coalesce(sql, '') AS sql FROM sqlite_master"
        " WHERE name NOT LIKE '%sqlite%' ORDER BY type, name"
    )
    return [tuple(row) for row in rows]


def test_every_script_runs_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path, tmp_path / "run", clock=FakeClock())
    assert spool.migrate() == NAMES
    before = schema(spool.database)
    assert spool.migrate() == []
    assert schema(spool.database) == before
    spool.close()


def test_a_spool_that_is_not_migrated_says_what_is_missing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, tmp_path / "run", clock=FakeClock())
    with pytest.raises(NotMigrated, match=NAMES[0]):
        spool.must_be_migrated()
    spool.migrate()
    spool.must_be_migrated()
    spool.close()


def test_a_script_that_fails_in_its_middle_leaves_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "0999.sql"
    broken.write_text("CREATE TABLE half (n);\nINSERT INTO move VALUES ('half', 'a', 'b');\nBAD;\n")
    spool = opened(tmp_path)
    before = schema(spool.database)
    monkeypatch.setattr(migrations, "SCRIPTS", [*migrations.SCRIPTS, broken])
    with pytest.raises(sqlite3.OperationalError):
        spool.migrate()
    assert schema(spool.database) == before
    assert not spool.database.read("SELECT * FROM move WHERE machine = 'half'")
    assert migrations.pending(spool.database) == ["0999"]
    broken.write_text("CREATE TABLE whole (n);\n")
    assert spool.migrate() == ["0999"]
    spool.close()


def test_a_kill_in_the_middle_of_a_migration_is_a_restart(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "queue")}
    command = [sys.executable, "-c", MIGRATE, str(tmp_path / "state"), str(tmp_path / "run")]
    inject = "inject=pwrite64:signal=SIGKILL:when={}"
    for nth in (2, 5, 9, 14, 20):
        killed = [program("strace"), "-f", "-qq", "-o", os.devnull, "-e", inject.format(nth)]
        subprocess.run([*killed, *command], env=environment, capture_output=True)
    subprocess.run(command, env=environment, check=True)
    spool = Spool(tmp_path / "state", tmp_path / "run", clock=FakeClock())
    fresh = opened(tmp_path / "fresh")
    assert schema(spool.database) == schema(fresh.database)
    assert spool.counting.integrity() == "ok"
    spool.close()
    fresh.close()


def test_two_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "queue")}
    command = [sys.executable, "-c", MIGRATE, str(tmp_path / "state"), str(tmp_path / "run")]
    children = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    spool = Spool(tmp_path / "state", tmp_path / "run", clock=FakeClock())
    spool.must_be_migrated()
    ran = spool.database.read("SELECT name FROM _sqlite_migrations ORDER BY id")
    assert [row["name"] for row in ran] == NAMES
    spool.close()


def arrive_in_the_first_schema(spool: Spool) -> None:
    """Write a blob and its rows as the first version did."""
    about = {"sop_class_uid": SOP_CLASS, "sop_instance_uid": UID, "transfer_syntax_uid": EXPLICIT}
    incoming = spool.blobs.begin(about | {"role": "received", "door": "ae:US1"})
    incoming.write(b"pixels")
    blob = incoming.keep()

    def work(db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO instance (sop_instance_uid, sop_class_uid, door, received_at)"
            " VALUES (?, ?, 'ae:US1', 0)",
            (UID, SOP_CLASS),
        )
        db.execute(
            "INSERT INTO rendition (instance_id, role, sop_instance_uid, sop_class_uid,"
            " transfer_syntax_uid, blob, dataset_offset, bytes, sha256, made_at)"
            " VALUES (1, 'received', ?, ?, ?, ?, ?, ?, ?, 0)",
            (UID, SOP_CLASS, EXPLICIT, blob.name, blob.dataset_offset, 6, blob.sha256),
        )

    spool.database.write(work)


def test_a_spool_with_items_in_it_is_migrated_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "SCRIPTS", migrations.SCRIPTS[:1])
    spool = Spool(tmp_path / "state", tmp_path / "run", clock=FakeClock())
    spool.migrate()
    arrive_in_the_first_schema(spool)
    spool.close()
    monkeypatch.undo()
    spool = opened(tmp_path)
    assert spool.counting.instances()["received"] == 1
    make_ready(spool)
    spool.delivering.sent(claimed_delivery(spool))
    assert spool.counting.deliveries()["central"]["sent"] == 1
    spool.close()


def test_a_script_is_cut_into_statements_and_a_trigger_is_one() -> None:
    script = (
        "-- words; with a semicolon\n"
        "CREATE TABLE one (n);\n"
        "CREATE TRIGGER two AFTER INSERT ON one BEGIN\n"
        "  SELECT 1; SELECT 2; END;\n"
        "-- the end\n"
    )
    first, second = migrations.statements(script)
    assert first.strip().endswith("CREATE TABLE one (n);")
    assert second.startswith("CREATE TRIGGER")
    assert second.strip().endswith("END;")


def test_every_script_is_whole_statements() -> None:
    for script in migrations.SCRIPTS:
        text = script.read_text(encoding="utf-8")
        rest = text.replace("".join(migrations.statements(text)), "")
        assert all(not line or line.startswith("--") for line in rest.splitlines()), script


def test_the_verbs_that_look_do_not_load_what_only_migrations_need(tmp_path: Path) -> None:
    opened(tmp_path).close()
    looks = (
        "import sys\nfrom pathlib import Path\nfrom spool.store import Spool\n"
        "spool = Spool(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert spool.migrate() == []\n"
        "assert 'sqlite_utils' not in sys.modules\nspool.close()\n"
    )
    command = [sys.executable, "-c", looks, str(tmp_path / "state"), str(tmp_path / "run")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "queue")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
