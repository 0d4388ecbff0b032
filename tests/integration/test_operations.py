"""What a technician does: decide about many items, back up and restore, look for damage."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from spool.clock import Clock
from spool.store import Spool
from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said
from tests.fakes.objects import several, small
from tests.fakes.scripted_archive import ScriptedArchive
from tests.fakes.spools import arrival, arrive, claimed_delivery, make_ready, opened

EX_OK, EX_USAGE, EX_DATAERR, EX_UNAVAILABLE = 0, 64, 65, 69
EX_SOFTWARE, EX_OSERR, EX_CANTCREAT, EX_TEMPFAIL = 70, 71, 73, 75
FILES = 6


@pytest.fixture
def gateway(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Gateway]:
    """Return a gateway whose archive is away."""
    made = Gateway(tmp_path, destination=[archive(free_port())])
    yield made
    made.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Return the spool of that gateway: ten queued, of two doors, the first refused."""
    found = opened(tmp_path, Clock())
    for number in range(1, 11):
        door = "ae:US1" if number % 2 else "folder:export"
        arrive(found, comes=arrival(uid=f"1.2.{number}", door=door))
        make_ready(found, ["archive", "cloud"])
    found.delivering.hold(claimed_delivery(found, "archive"), "status-A900", "")
    yield found
    found.close()


def answer(gateway: Gateway, *arguments: str) -> dict[str, Any]:
    done = gateway.verb(*arguments, "--json")
    assert done.returncode == EX_OK, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("verb", "arguments", "ids"),
    [
        ("retry", ["--error", "status-A900"], [1]),
        ("hold", ["--source", "ae:US1"], [1, 3, 5, 7, 9]),
        ("hold", ["--source", "export", "--destination", "cloud"], [2, 4, 6, 8, 10]),
        ("cancel", ["--study", "1.2", "--state", "held"], [1]),
        ("withdraw", ["--all"], list(range(1, 11))),
        ("cancel", ["--age", "2h"], []),
        ("release", ["--reason", "conflict"], []),
        ("cancel", ["3", "1.2.4", "--destination", "cloud"], [3, 4]),
    ],
)
@pytest.mark.usefixtures("spool")
def test_a_filter_or_ids_say_what_is_decided_and_a_dry_run_says_it_before(
    gateway: Gateway, verb: str, arguments: list[str], ids: list[int]
) -> None:
    before = gateway.queue()
    tried = answer(gateway, "queue", verb, *arguments, "--dry-run")
    assert (tried[verb], tried["dry_run"]) == (ids, True)
    assert gateway.queue() == before
    assert answer(gateway, "queue", verb, *arguments)[verb] == ids
    assert (gateway.queue() == before) == (not ids)


@pytest.mark.usefixtures("spool")
def test_what_was_withdrawn_is_counted_in_the_trash_and_comes_back(gateway: Gateway) -> None:
    answer(gateway, "queue", "withdraw", "--source", "ae:US1")
    assert gateway.status()["trash"] == {"instances": 5}
    assert "In the trash: 5 images" in gateway.verb("status").stdout
    assert answer(gateway, "queue", "bring-back", "--all") == {
        "bring-back": [1, 3, 5, 7, 9],
        "left_alone": [2, 4, 6, 8, 10],
    }
    assert gateway.status()["instances"]["received"] == 5


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["hold"], "nothing-named"),
        (["release"], "nothing-named"),
        (["withdraw", "--dry-run"], "nothing-named"),
        (["cancel", "--all", "--state", "held"], "nothing-named"),
        (["resend", "1", "--all"], "ids-and-filter"),
        (["bring-back", "1", "--state", "held"], "ids-and-filter"),
    ],
)
@pytest.mark.usefixtures("spool")
def test_who_does_not_say_which_items_are_meant_is_asked_and_nothing_is_changed(
    gateway: Gateway, arguments: list[str], code: str
) -> None:
    before = gateway.queue()
    done = gateway.verb("queue", *arguments)
    assert done.returncode == EX_USAGE
    assert f"[{code}]" in done.stderr
    assert gateway.queue() == before


def test_an_age_without_a_unit_is_wrong_usage(gateway: Gateway) -> None:
    done = gateway.verb("queue", "hold", "--age", "3")
    assert done.returncode == EX_USAGE
    assert "2h" in done.stderr


@pytest.mark.usefixtures("spool")
def test_a_person_reads_which_items_were_met_and_which_were_left(gateway: Gateway) -> None:
    said = gateway.verb("queue", "withdraw", "--source", "ae:US1", "--dry-run").stdout
    assert "5 items (1, 3, 5, 7, 9)" in said
    assert "Nothing was changed" in said
    gateway.verb("queue", "withdraw", "1", "2", "3", "4")
    said = gateway.verb("queue", "withdraw", "--all").stdout
    assert "6 items (5-10)" in said
    assert "in no state for it: 1-4" in said
    assert "Nothing matches" in gateway.verb("queue", "hold", "--reason", "none").stdout


def test_decisions_reach_a_gateway_that_runs(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port)])
    running = gateway.start()
    assert store(gateway.port, several(sample("CT_small.dcm"), tmp_path / "in", FILES)).code == 0
    running.wait_for("forward@archive sent", FILES)
    assert len(answer(gateway, "queue", "resend", "--state", "sent")["resend"]) == FILES
    running.wait_for("forward@archive sent", 2 * FILES)
    for first, again in received_by_uid(peer).values():
        assert first == again


def received_by_uid(peer: ScriptedArchive) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for one in peer.took:
        found.setdefault(one.sop_instance_uid, []).append(one.data)
    return found


def test_a_backup_of_a_running_gateway_is_restored_on_another_box_and_what_waits_is_sent(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
    free_port: Callable[[], int],
) -> None:
    gateway = make_gateway(destination=[archive(free_port())])
    running = gateway.start()
    files = several(sample("CT_small.dcm"), tmp_path / "in", FILES)
    assert store(gateway.port, files).code == 0
    running.wait_for("prepare ready", FILES)
    withdrawn = gateway.queue()[0]
    gateway.verb("queue", "withdraw", str(withdrawn["id"]))
    folder = tmp_path / "backup"
    assert answer(gateway, "backup", str(folder))["unsound"] == []
    before = gateway.queue()

    peer = make_archive()
    other = Gateway(made(tmp_path / "other"), destination=[archive(peer.port)])
    assert answer(other, "restore", str(folder))["files"] == 2 * FILES
    assert [one["id"] for one in other.queue()] == [one["id"] for one in before]
    assert [one["code"] for one in other.status()["incidents"]] == ["restored"]
    anew = other.start()
    anew.wait_for("forward@archive sent", FILES - 1)
    other.close()
    kept = {one["sop_instance_uid"] for one in before} - {withdrawn["sop_instance_uid"]}
    assert set(received_by_uid(peer)) == kept


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_nothing_is_restored_while_the_gateway_runs_or_over_images(
    make_gateway: Callable[..., Gateway], tmp_path: Path, free_port: Callable[[], int]
) -> None:
    gateway = make_gateway(destination=[archive(free_port())])
    spool = opened(tmp_path, Clock())
    arrive(spool)
    spool.close()
    folder = str(tmp_path / "backup")
    answer(gateway, "backup", folder)
    done = gateway.verb("restore", folder)
    assert done.returncode == EX_CANTCREAT
    assert "[state-folder-not-empty]" in done.stderr
    gateway.start()
    done = gateway.verb("restore", folder)
    assert done.returncode == EX_TEMPFAIL
    assert "[state-folder-in-use]" in done.stderr


def test_a_folder_that_is_no_backup_is_65_and_nothing_is_in_force(
    gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "letters").mkdir()
    done = gateway.verb("restore", str(tmp_path / "letters"))
    assert done.returncode == EX_DATAERR
    assert "[not-a-backup]" in done.stderr
    assert sum(gateway.status()["instances"].values()) == 0


@pytest.mark.usefixtures("spool")
def test_a_backup_into_a_folder_that_is_not_fit_for_it_says_why(
    gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("Dear colleague")
    (tmp_path / "file").write_text("no folder")
    for folder, code in {
        gateway.state_dir / "copy": "folder-inside",
        tmp_path / "full": "folder-not-empty",
        tmp_path / "file" / "copy": "folder-unusable",
    }.items():
        done = gateway.verb("backup", str(folder))
        assert done.returncode == EX_CANTCREAT
        assert f"[{code}]" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path, program: Callable[[str], str]) -> Iterator[Path]:
    """Return a folder on a file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    folder = made(tmp_path / "disk")
    mount = [program("mount"), "-t", "tmpfs", "-o", "size=64k", "none", folder]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run([program("umount"), folder], check=True)


@pytest.mark.usefixtures("spool")
def test_a_backup_that_finds_no_room_says_so_and_leaves_nothing(
    gateway: Gateway, small_disk: Path
) -> None:
    done = gateway.verb("backup", str(small_disk / "copy"))
    assert done.returncode == EX_CANTCREAT
    assert "[folder-full]" in done.stderr
    assert not list((small_disk / "copy").iterdir())


@pytest.mark.usefixtures("spool")
def test_a_restore_that_finds_no_room_says_so_and_leaves_nothing_in_force(
    gateway: Gateway, small_disk: Path, tmp_path: Path
) -> None:
    answer(gateway, "backup", str(tmp_path / "backup"))
    other = Gateway(made(tmp_path / "other"), gateway={"state_dir": str(small_disk / "state")})
    done = other.verb("restore", str(tmp_path / "backup"))
    assert done.returncode == EX_CANTCREAT
    assert "[folder-full]" in done.stderr
    assert not list((small_disk / "state").rglob("*.dcm"))


def test_check_reads_every_file_and_names_what_is_damaged_missing_or_unknown(
    gateway: Gateway, spool: Spool
) -> None:
    assert answer(gateway, "check", "--spool")["spool"]["files"] == 10
    assert "10 files" in gateway.verb("check", "--spool").stdout
    first, second, *_ = names = list(spool.blobs.names())
    with spool.blobs.path(first).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    spool.blobs.path(second).unlink()
    unknown = f"{names[2]}.copy.dcm"
    shutil.copy(spool.blobs.path(names[2]), spool.blobs.path(unknown))
    made(gateway.state_dir / "set-aside").joinpath("spool.db").write_text("was damaged")
    done = gateway.verb("check", "--spool", "--json")
    assert done.returncode == EX_UNAVAILABLE
    found = json.loads(done.stdout)
    assert [one["code"] for one in found["faults"]] == ["blob-damaged", "row-without-blob"]
    assert found["spool"]["damaged"] == [
        {"instance": 1, "blob": first, "damage": "data set"},
        {"instance": 2, "blob": second, "damage": "missing"},
    ]
    assert found["spool"]["blobs_without_row"] == [unknown]
    assert found["spool"]["set_aside"] == ["set-aside/spool.db"]
    said = gateway.verb("check", "--spool").stdout
    assert all(name in said for name in (first, second, unknown, "set-aside/spool.db"))
    assert "\x1b" not in said


def test_what_happened_is_shown_until_a_person_has_seen_it(gateway: Gateway, spool: Spool) -> None:
    spool.incidents.write_down("database-rebuilt", "spool-20260301.db set-aside/x")
    (one,) = gateway.status()["incidents"]
    assert one["code"] == "database-rebuilt"
    assert "spool-20260301.db" in one["text"]
    assert one["at"].endswith("Z")
    for verb in ("status", "check"):
        assert "[database-rebuilt]" in gateway.verb(verb).stdout
    assert "[database-rebuilt]" in gateway.verb("check", "--seen").stdout
    assert gateway.status()["incidents"] == []


VERBS: Sequence[Sequence[str]] = (
    ["status"],
    ["queue", "list"],
    ["queue", "retry", "1"],
    ["backup", "copy"],
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.parametrize("state", ["missing", "empty"])
def test_no_verb_makes_a_new_database_where_files_miss_theirs(
    gateway: Gateway, tmp_path: Path, verb: Sequence[str], state: str
) -> None:
    spool = opened(tmp_path, Clock())
    arrive(spool)
    spool.close()
    database = gateway.state_dir / "db" / "spool.db"
    for one in database.parent.glob("spool.db*"):
        one.unlink()
    if state == "empty":
        database.touch()
    done = gateway.verb(*verb)
    assert done.returncode == EX_OSERR
    assert "[database-missing]" in done.stderr
    assert "gateway migrate" in done.stderr
    assert not database.exists() or not database.stat().st_size


def test_migrate_repairs_what_no_verb_touches_and_status_says_what_happened(
    gateway: Gateway, tmp_path: Path
) -> None:
    spool = opened(tmp_path, Clock())
    for number in range(3):
        uid = f"1.2.{number + 1}"
        arrive(spool, small(uid), arrival(uid=uid, syntax="1.2.840.10008.1.2.1"))
    spool.close()
    database = gateway.state_dir / "db" / "spool.db"
    database.write_bytes(b"this was a database" * 1000)
    for verb in (*VERBS, ["check"]):
        done = gateway.verb(*verb)
        assert "[database-damaged]" in done.stdout + done.stderr
        assert done.returncode == EX_SOFTWARE
    assert gateway.verb("migrate").returncode == EX_OK
    codes = [one["code"] for one in gateway.status()["incidents"]]
    assert codes == ["database-emptied", "taken-in-again"]
    assert gateway.status()["instances"]["received"] == 3
    assert answer(gateway, "check", "--spool")["spool"]["set_aside"]


def test_an_older_database_is_not_touched_by_a_verb(gateway: Gateway, tmp_path: Path) -> None:
    spool = opened(tmp_path, Clock())
    spool.database.write(
        lambda db: db.execute("DELETE FROM _sqlite_migrations WHERE name = '0002'")
    )
    spool.close()
    done = gateway.verb("status")
    assert done.returncode == EX_TEMPFAIL
    assert "[not-migrated]" in done.stderr


def test_files_are_imported_while_the_gateway_starts_and_none_is_taken_twice(
    make_gateway: Callable[..., Gateway], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    gateway = make_gateway()
    files = several(sample("CT_small.dcm"), tmp_path / "in", 40)
    importing = subprocess.Popen(
        gateway.command("import", *map(str, files)),
        env=os.environ | {"LANGUAGE": "en"},
        stdout=subprocess.PIPE,
    )
    running = gateway.start()
    running.ask_to_end()
    running.wait(30)
    gateway.start()
    assert importing.communicate(timeout=60)[0].startswith(b"Saved: 40.")
    assert [one["state"] for one in gateway.queue()].count("merged") == 0
    assert len(gateway.queue()) == 40
