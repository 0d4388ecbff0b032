"""room: the ladder of the disk, its hysteresis, and the reserve that is let go in need."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.room import LEAVE, RESERVE_BYTES, Bounds, Room
from spool.store import Spool
from tests.fakes.spools import opened

PLENTY = 10**9
BOUNDS = Bounds(warn_bytes=4000, trim_bytes=2000, refuse_bytes=1000)


class Disk:
    """What statvfs says; a test sets it."""

    def __init__(self) -> None:
        self.free_bytes, self.inodes, self.free_inodes = 10_000, PLENTY, PLENTY

    def statvfs(self, _: object) -> os.statvfs_result:
        # bsize, frsize, blocks, bfree, bavail, files, ffree, favail, flag, namemax
        free, nodes = self.free_bytes, self.free_inodes
        return os.statvfs_result((1, 1, PLENTY, free, free, self.inodes, nodes, nodes, 0, 255))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    found = Disk()
    monkeypatch.setattr("os.statvfs", found.statvfs)
    return found


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path)
    yield found
    found.close()


@pytest.fixture
def room(spool: Spool) -> Room:
    (spool.state_dir / "db" / "reserve").touch()
    return Room(spool.state_dir, spool.database, BOUNDS)


@pytest.mark.parametrize(
    ("free_bytes", "rung"),
    [
        (4000, "ok"),
        (3999, "warn"),
        (2000, "warn"),
        (1999, "trim"),
        (1000, "trim"),
        (999, "refuse"),
        (0, "refuse"),
    ],
)
def test_a_rung_is_reached_where_less_than_its_bound_is_free(
    room: Room, disk: Disk, free_bytes: int, rung: str
) -> None:
    disk.free_bytes = free_bytes
    measured = room.measure()
    assert (measured.free_bytes, measured.level) == (free_bytes, rung)


def test_free_inodes_count_as_much_as_free_bytes(room: Room, disk: Disk) -> None:
    disk.free_inodes = 63
    assert room.measure().level == "refuse"


def test_a_file_system_that_counts_no_inodes_has_enough(room: Room, disk: Disk) -> None:
    disk.inodes = disk.free_inodes = 0
    assert room.measure().level == "ok"


def test_a_small_file_system_with_few_inodes_in_all_is_not_full_from_the_start(
    room: Room, disk: Disk
) -> None:
    disk.inodes, disk.free_inodes = 200, 190
    assert room.measure().level == "ok"


def test_a_rung_is_left_only_when_more_than_its_bound_is_free(room: Room, disk: Disk) -> None:
    disk.free_bytes = 999
    assert room.measure().level == "refuse"
    let_go = RESERVE_BYTES  # which is taken back, and therefore no room
    disk.free_bytes = let_go + int(1000 * LEAVE) - 1
    assert room.measure().level == "refuse"
    disk.free_bytes = let_go + int(1000 * LEAVE)
    assert room.measure().level == "trim"
    disk.free_bytes = let_go + 100_000
    assert room.measure().level == "ok"


def test_the_rung_is_known_to_other_processes_and_after_a_restart(
    room: Room, disk: Disk, spool: Spool
) -> None:
    disk.free_bytes = 999
    room.measure()
    disk.free_bytes = RESERVE_BYTES + 1100
    assert Room(spool.state_dir, spool.database, BOUNDS).measure().level == "refuse"


def test_the_reserve_is_let_go_when_the_disk_is_full_and_made_again_after(
    room: Room, disk: Disk, spool: Spool
) -> None:
    reserve = spool.state_dir / "db" / "reserve"
    reserve.unlink()
    disk.free_bytes = 2 * RESERVE_BYTES
    room.keep_reserve()
    assert reserve.stat().st_size == RESERVE_BYTES
    disk.free_bytes = 0
    room.keep_reserve()
    assert not reserve.exists()
    disk.free_bytes = 2 * RESERVE_BYTES
    room.keep_reserve()
    assert reserve.exists()
