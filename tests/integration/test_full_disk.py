"""A full disk, on a real small file system: new images are refused, kept ones go on their way.

The state folder is a tmpfs of 64 MB, or one with few inodes; `Filler` is the other program that
takes the rest of it.
"""

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from spool.room import RESERVE_BYTES
from tests.fakes.appliance import Gateway, archive
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, small
from tests.fakes.scripted_archive import ScriptedArchive
from tests.fakes.upper_layer import US_IMAGE

MB = 1 << 20
DISK_BYTES, FEW_INODES = 64 * MB, 300
OUT_OF_RESOURCES = 0xA700
ROOM = {"reserve_bytes": 8 * MB, "trim_bytes": 20 * MB, "warn_bytes": 36 * MB}
#: A rung is left when a quarter more than its bound is free.
LEFT = 1.25
SIDE = 1000


class Filler:
    """Somebody else's file on the same disk."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "somebody-else"

    def leave(self, usable_bytes: float) -> None:
        """Grow or shrink until so much is free; the reserve that was let go is not counted."""
        let_go = 0 if (self._folder / "db" / "reserve").exists() else RESERVE_BYTES
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT)
        try:
            size = os.fstat(fd).st_size + self.free_bytes() - int(usable_bytes) - let_go
            os.ftruncate(fd, min(size, os.fstat(fd).st_size))
            os.posix_fallocate(fd, 0, size)
        finally:
            os.close(fd)

    def take_all(self) -> None:
        """Take the last byte."""
        with self._path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)):
                pass
        assert not self.free_bytes()

    def take_all_inodes(self) -> None:
        with contextlib.suppress(OSError):
            for number in range(FEW_INODES):
                (self._folder / f"empty-{number}").touch()
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (self._folder / "one-more").touch()

    def give_back_inodes(self) -> None:
        for one in self._folder.glob("empty-*"):
            one.unlink()

    def free_bytes(self) -> int:
        facts = os.statvfs(self._folder)
        return facts.f_bavail * facts.f_frsize


class Site:
    """A gateway on a small disk, a modality, and an archive that is away at first."""

    def __init__(self, gateway: Gateway, come_back: Callable[[], ScriptedArchive]) -> None:
        self.gateway, self.come_back = gateway, come_back
        self.filler = Filler(gateway.state_dir)
        self.acknowledged: dict[str, bytes] = {}
        self.running = gateway.start()
        self.running.wait_for("tend backed-up")  # what is free changes no more by itself

    def store(self, side: int = SIDE) -> int:
        """Send one image and return the status of its answer."""
        uid = new_uid()
        data = small(uid, side=side)
        with Modality(self.gateway.port) as modality:
            status = modality.store(US_IMAGE, uid, data)
            modality.release()
        if status == 0:
            self.acknowledged[uid] = data
        return status

    def store_until_refused(self, side: int = SIDE) -> None:
        while (status := self.store(side)) == 0:
            assert len(self.acknowledged) < 1000, "the disk has no end"
        assert status == OUT_OF_RESOURCES

    def level(self) -> str:
        level: str = self.gateway.status()["disk"]["level"]
        return level

    def everything_arrives(self) -> None:
        """Let the archive come back; assert that it gets all that was acknowledged."""
        peer = self.come_back()
        peer.wait_for(lambda: {one.sop_instance_uid for one in peer.took} >= {*self.acknowledged})
        self.gateway.settle(self.running)
        assert all(one.data == self.acknowledged[one.sop_instance_uid] for one in peer.took)


@pytest.fixture
def mounted(tmp_path: Path, ending: ExitStack) -> Callable[[str], None]:
    """Return a function from the options of a tmpfs to nothing: the state folder lies on it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")

    def mount(options: str) -> None:
        folder = tmp_path / "state"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        subprocess.run(command, check=True, timeout=20)
        ending.callback(subprocess.run, ["umount", str(folder)], check=True, timeout=20)

    return mount


@pytest.fixture
def make_site(
    mounted: Callable[[str], None],
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
) -> Callable[..., Site]:
    """Return a function from mount options and sections to a site."""

    def make(options: str, **sections: object) -> Site:
        mounted(options)
        port = free_port()
        given = {"room": ROOM, "compress": {"transfer_syntax": "none"}} | sections
        gateway = make_gateway(destination=[archive(port)], **given)
        return Site(gateway, lambda: make_archive(None, port))

    return make


@pytest.fixture
def small_disk(make_site: Callable[..., Site]) -> Site:
    return make_site(f"size={DISK_BYTES}")


def test_each_rung_is_reached_said_and_left_again_when_a_quarter_more_is_free(
    small_disk: Site,
) -> None:
    bounds = {"warn": "warn_bytes", "trim": "trim_bytes", "refuse": "reserve_bytes"}
    assert small_disk.level() == "ok"
    for rung, bound in bounds.items():
        small_disk.filler.leave(ROOM[bound] - MB)
        assert small_disk.level() == rung
    below = {"refuse": "trim", "trim": "warn", "warn": "ok"}
    for rung, lower in below.items():
        small_disk.filler.leave(ROOM[bounds[rung]] * LEFT - MB)
        assert small_disk.level() == rung
        small_disk.filler.leave(ROOM[bounds[rung]] * LEFT + MB)
        assert small_disk.level() == lower


def test_what_is_refused_is_refused_until_the_rung_is_left(small_disk: Site) -> None:
    small_disk.filler.leave(ROOM["reserve_bytes"] - MB)
    assert small_disk.store() == OUT_OF_RESOURCES
    small_disk.filler.leave(ROOM["reserve_bytes"] * LEFT - MB)
    assert small_disk.store() == OUT_OF_RESOURCES
    small_disk.filler.leave(ROOM["reserve_bytes"] * LEFT + 4 * MB)
    assert small_disk.store() == 0


def test_a_disk_filled_with_images_delivers_them_and_takes_new_ones_after(
    small_disk: Site,
) -> None:
    small_disk.store_until_refused()
    status = small_disk.gateway.status()
    assert status["disk"]["level"] == "refuse"
    assert status["disk"]["hours_left"] is not None
    small_disk.everything_arrives()
    small_disk.running.wait_for("retire trimmed")
    small_disk.running.wait_for("tend room level=(trim|warn|ok)")
    assert small_disk.store() == 0


def test_images_that_were_not_compressed_for_want_of_room_go_as_they_came(
    make_site: Callable[..., Site],
) -> None:
    # With the reserve let go there is less than the bound free still.
    room = ROOM | {"reserve_bytes": RESERVE_BYTES + 2 * MB}
    site = make_site(f"size={DISK_BYTES}", compress={"workers": 1}, room=room)
    site.running.kill()
    site.running = site.gateway.start("intake")
    for _ in range(5):
        assert site.store() == 0
    site.running.kill()
    site.filler.take_all()
    site.running = site.gateway.start()
    site.running.wait_for("prepare ready", 5)
    roles = {made["role"] for one in site.gateway.queue() for made in one["renditions"]}
    assert roles == {"received"}
    site.everything_arrives()


def test_what_was_received_is_trimmed_where_a_proved_rendition_stays(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(f"size={DISK_BYTES}", compress={"workers": 1})
    for _ in range(5):
        assert site.store() == 0
    site.running.wait_for("prepare ready", 5)
    site.filler.leave(ROOM["trim_bytes"] - MB)
    site.running.wait_for("retire trimmed")
    uids = {*site.acknowledged}
    site.acknowledged.clear()
    peer = site.come_back()
    peer.wait_for(lambda: {one.sop_instance_uid for one in peer.took} == uids)


def test_with_not_a_byte_left_the_database_writes_and_delivery_goes_on(small_disk: Site) -> None:
    for _ in range(10):
        assert small_disk.store() == 0
    small_disk.running.wait_for("prepare ready", 10)
    small_disk.filler.take_all()
    assert small_disk.store() == OUT_OF_RESOURCES
    assert small_disk.level() == "refuse"
    small_disk.everything_arrives()
    states = {one["state"] for one in small_disk.gateway.deliveries().values()}
    assert states == {"sent"}


def test_on_a_disk_that_is_full_to_the_last_byte_the_gateway_starts(small_disk: Site) -> None:
    for _ in range(5):
        assert small_disk.store() == 0
    small_disk.running.kill()
    small_disk.filler.take_all()
    small_disk.running = small_disk.gateway.start()
    assert small_disk.gateway.status()["incidents"] == []
    assert small_disk.store() == OUT_OF_RESOURCES
    small_disk.everything_arrives()


def test_with_no_inode_left_images_are_refused_and_kept_ones_delivered(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(f"size={DISK_BYTES},nr_inodes={FEW_INODES}")
    for _ in range(5):
        assert site.store(side=64) == 0
    site.running.wait_for("prepare ready", 5)
    site.filler.take_all_inodes()
    assert site.store(side=64) == OUT_OF_RESOURCES
    disk = site.gateway.status()["disk"]
    assert disk["level"] == "refuse"
    assert disk["free_inodes"] <= 1, "that of the reserve, which was let go"
    site.everything_arrives()
    site.filler.give_back_inodes()
    assert site.level() == "ok"
    assert site.store(side=64) == 0


def test_a_disk_whose_inodes_images_take_up_refuses_before_the_last(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(f"size={DISK_BYTES},nr_inodes={FEW_INODES}")
    site.store_until_refused(side=32)
    disk = site.gateway.status()["disk"]
    assert disk["level"] == "refuse"
    assert disk["free_inodes"] > 0
    site.everything_arrives()
