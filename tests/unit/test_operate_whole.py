"""A whole backup holds what the spool held; a restore believes nothing that it does not prove."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway import copying
from gateway.config.model import Settings
from gateway.stages.retire import TURN_S, Retire
from spool import whole
from spool.counting import Filter
from spool.store import FILES, Spool
from spool.whole import (
    MANIFEST,
    RESTORED,
    RESTORING,
    Copied,
    NotABackup,
    NotEmpty,
    finish_restore,
    restore_whole,
    write_whole,
)
from tests.fakes.spools import arrival, arrive, claimed, history_of, make_ready, opened

WHO = "person:ann"
NOW = 1_772_352_000.0


def nothing(*_: int) -> None:
    """Hear of the progress, and say nothing."""


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Return a spool with: 1 queued, 2 withdrawn, 3 received."""
    found = opened(tmp_path)
    for number in (1, 2):
        arrive(found, b"pixels" * number, arrival(uid=f"1.2.{number}"))
        make_ready(found)
    found.deciding.withdraw(2, WHO)
    arrive(found, b"more pixels", arrival(uid="1.2.3"))
    yield found
    found.close()


@pytest.fixture
def backup(spool: Spool, tmp_path: Path) -> Path:
    write_whole(spool.database, spool.blobs, tmp_path / "backup", nothing)
    return tmp_path / "backup"


def restored(backup: Path, folder: Path) -> Spool:
    """Return the spool in the state folder below `folder`, restored and started."""
    restore_whole(backup, folder / "state", nothing)
    assert finish_restore(folder / "state", NOW)
    return opened(folder)


def blob_in(backup: Path) -> Path:
    return next((backup / "spool" / "blobs").rglob("*.dcm"))


def test_another_box_knows_all_of_it_with_its_history_and_its_decisions(
    spool: Spool, backup: Path, tmp_path: Path
) -> None:
    other = restored(backup, tmp_path / "other")
    assert other.counting.find(Filter()) == spool.counting.find(Filter())
    assert history_of(other, 2) == history_of(spool, 2)
    for name in spool.blobs.names():
        assert other.blobs.path(name).read_bytes() == spool.blobs.path(name).read_bytes()
        assert other.decisions.in_force(name) == spool.decisions.in_force(name)
    assert other.orphans() == []
    assert not (other.state_dir / RESTORED).exists()
    other.close()


def test_what_comes_and_goes_meanwhile_leaves_database_and_files_consistent(
    spool: Spool, tmp_path: Path
) -> None:
    arrive(spool, b"more pixels", arrival(uid="1.2.3"))
    done: list[int] = []

    def meanwhile(count: int, _total: int) -> None:
        done.append(count)
        if len(done) == 1:
            claimed(spool)  # 3
            spool.preparing.merge(claimed(spool), 3)
            arrive(spool, b"late", arrival(uid="1.2.9"))

    copied = write_whole(spool.database, spool.blobs, tmp_path / "backup", meanwhile)
    assert copied.unsound == []
    other = restored(tmp_path / "backup", tmp_path / "other")
    assert other.orphans() == []
    assert all(other.blobs.path(one.blob).exists() for one in other.counting.files())
    other.close()


def test_nothing_is_retired_while_files_are_copied(spool: Spool, tmp_path: Path) -> None:
    stage, waits = Retire(Settings(), spool), []
    copying.back_up(spool, tmp_path / "backup", lambda *_: waits.append(stage.turn()))
    assert waits == [TURN_S] * 3
    assert not spool.is_running(FILES)


@pytest.mark.parametrize("fault", ["damaged", "missing"])
def test_one_damaged_file_does_not_make_the_backup_worthless(
    spool: Spool, tmp_path: Path, fault: str
) -> None:
    name, *others = spool.blobs.names()
    path = spool.blobs.path(name)
    whole_file = path.read_bytes()
    path.unlink()
    if fault == "damaged":
        path.write_bytes(whole_file[:-1] + b"?")
    copied = write_whole(spool.database, spool.blobs, tmp_path / "backup", nothing)
    assert copied == Copied(3, [name])
    other = restored(tmp_path / "backup", tmp_path / "other")
    assert other.blobs.path(name).exists() == (fault == "damaged")
    assert [other.scrubbing.damage_of(one.blob, one.sha256) for one in other.counting.files()] == [
        "data set" if fault == "damaged" else "missing",
        *("" for _ in others),
    ]
    other.close()


def test_a_flipped_bit_in_the_backup_is_found_and_nothing_is_in_force(
    backup: Path, tmp_path: Path
) -> None:
    blob = blob_in(backup)
    for at in (3, 140, blob.stat().st_size - 1):
        sound = bytearray(blob.read_bytes())
        damaged = bytearray(sound)
        damaged[at] ^= 1
        blob.write_bytes(damaged)
        refused(backup, tmp_path / "other")
        blob.write_bytes(sound)


def test_a_file_that_is_missing_in_the_backup_is_found(backup: Path, tmp_path: Path) -> None:
    blob_in(backup).unlink()
    refused(backup, tmp_path / "other")


def test_a_backup_that_was_cut_off_is_none(backup: Path, tmp_path: Path) -> None:
    (backup / MANIFEST).unlink()
    refused(backup, tmp_path / "other")


def test_a_backup_whose_manifest_is_cut_is_none(backup: Path, tmp_path: Path) -> None:
    os.truncate(backup / MANIFEST, 5)
    refused(backup, tmp_path / "other")


@pytest.mark.parametrize("at", [0, 5000])
def test_a_backup_whose_database_is_damaged_is_none(backup: Path, tmp_path: Path, at: int) -> None:
    with (backup / "db" / "spool.db").open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 4096)
    refused(backup, tmp_path / "other")


def test_a_file_that_is_no_database_of_ours_is_none(backup: Path, tmp_path: Path) -> None:
    path = backup / "db" / "spool.db"
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE letter (text)")
    refused(backup, tmp_path / "other")


def test_a_link_in_place_of_a_file_is_refused(backup: Path, tmp_path: Path) -> None:
    blob = blob_in(backup)
    shutil.move(blob, tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    refused(backup, tmp_path / "other")


def test_a_link_in_place_of_a_folder_is_refused(backup: Path, tmp_path: Path) -> None:
    day = blob_in(backup).parent
    shutil.move(day, tmp_path / "elsewhere")
    day.symlink_to(tmp_path / "elsewhere")
    refused(backup, tmp_path / "other")


@pytest.mark.parametrize("name", ["../../db/spool.db", "/etc/passwd", "20260301/../x.dcm", "a/b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(
    backup: Path, tmp_path: Path, name: str
) -> None:
    with closing(sqlite3.connect(backup / "db" / "spool.db")) as db, db:
        db.execute("UPDATE rendition SET blob = ? WHERE id = 1", (name,))
    refused(backup, tmp_path / "other")


def refused(backup: Path, folder: Path) -> None:
    """Assert that nothing of the backup comes into force."""
    with pytest.raises(NotABackup):
        restore_whole(backup, folder / "state", nothing)
    assert not finish_restore(folder / "state", NOW)
    assert not [one for one in folder.rglob("*") if one.is_file()]


def test_a_state_folder_that_knows_images_is_left_as_it_is(
    spool: Spool, backup: Path, tmp_path: Path
) -> None:
    before = spool.counting.find(Filter())
    with pytest.raises(NotEmpty):
        restore_whole(backup, spool.state_dir, nothing)
    assert spool.counting.find(Filter()) == before
    assert not (spool.state_dir / RESTORING).exists()


def test_a_state_folder_that_only_ran_once_is_empty_and_its_database_is_set_aside(
    backup: Path, tmp_path: Path
) -> None:
    opened(tmp_path / "other").close()
    other = restored(backup, tmp_path / "other")
    assert other.counting.instances()["ready"] == 1
    assert list((other.state_dir / "set-aside").rglob("spool.db"))
    other.close()


class Cut(Exception):
    """Stands for the loss of power."""


@pytest.mark.parametrize("after", range(1, 4))
def test_a_restore_that_is_cut_off_while_it_copies_leaves_nothing_in_force(
    backup: Path, tmp_path: Path, after: int
) -> None:
    pid = os.fork()
    if not pid:
        restore_whole(
            backup,
            tmp_path / "other" / "state",
            lambda count, _: os._exit(7) if count == after else None,
        )
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    state_dir = tmp_path / "other" / "state"
    assert not finish_restore(state_dir, NOW)
    assert not (state_dir / RESTORING).exists()
    other = restored(backup, tmp_path / "other")
    assert other.counting.instances()["ready"] == 1
    other.close()


@pytest.mark.parametrize("after", range(6))
def test_a_restore_that_is_cut_off_at_its_end_is_finished_by_the_next_start(
    spool: Spool,
    backup: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
) -> None:
    state_dir = tmp_path / "other" / "state"
    opened(tmp_path / "other").close()
    restore_whole(backup, state_dir, nothing)
    calls, rename = iter(range(100)), Path.rename

    def cut(self: Path, target: Path) -> Path:
        if next(calls) == after:
            raise Cut
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", cut)
        try:
            finish_restore(state_dir, NOW)
        except Cut:
            assert (state_dir / RESTORED).exists()
    finish_restore(state_dir, NOW + 1)
    other = opened(tmp_path / "other")
    assert other.counting.find(Filter()) == spool.counting.find(Filter())
    assert not (state_dir / RESTORED).exists()
    other.close()


def test_the_manifest_stands_only_when_all_the_rest_does(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(whole, "_sync_tree", lost)
    with pytest.raises(OSError, match="Input/output error"):
        write_whole(spool.database, spool.blobs, tmp_path / "backup", nothing)
    assert not (tmp_path / "backup" / MANIFEST).exists()


def test_a_backup_says_how_many_files_it_holds(backup: Path) -> None:
    assert json.loads((backup / MANIFEST).read_text()) == {"blobs": 3, "unsound": []}
