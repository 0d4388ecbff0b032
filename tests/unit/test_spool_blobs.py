"""blobs: durable, self-describing, never overwritten, and nothing is left of what was not kept."""

import errno
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.blobfile import describe, verify
from spool.blobs import Blobs, Incoming
from spool.errors import Damaged, SpoolFull
from spool.model import Blob
from tests.fakes.data_sets import EXPLICIT, Value, encoded
from tests.fakes.spools import SOP_CLASS, UID, arrival, arrive, opened

ABOUT = {
    "sop_class_uid": SOP_CLASS,
    "sop_instance_uid": UID,
    "transfer_syntax_uid": "1.2.840.10008.1.2.1",
    "door": "ae:US1",
}
DATA_SET = encoded(
    (
        Value(0x00080016, "UI", SOP_CLASS.encode() + b"\0"),
        Value(0x00080018, "UI", UID.encode()),
        Value(0x00080060, "CS", b"US"),
    ),
    EXPLICIT,
)


@pytest.fixture
def small_disk(tmp_path: Path, program: Callable[[str], str]) -> Iterator[Path]:
    """Return a file system of 1 MiB with nothing else on it."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = [program("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this container may not mount: {done.stderr.strip()}")
    yield folder
    subprocess.run([program("umount"), str(folder)], check=True)


def kept(blobs: Blobs, *pieces: bytes) -> Blob:
    incoming = blobs.begin(ABOUT)
    for piece in pieces:
        incoming.write(piece)
    return incoming.keep()


def everything(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def without_tmpfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system know no O_TMPFILE, as some network and old ones do."""
    real = os.open

    def refusing(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr("os.open", refusing)


def test_the_data_set_lies_in_the_blob_exactly_as_it_came(tmp_path: Path) -> None:
    blob = kept(Blobs(tmp_path), b"one", b"", b"two")
    content = blob.path.read_bytes()
    assert content[blob.dataset_offset :] == b"onetwo"
    assert (blob.dataset_bytes, blob.sha256) == (6, hashlib.sha256(b"onetwo").hexdigest())


def test_the_preamble_says_where_the_data_set_lies_and_what_it_hashes_to(tmp_path: Path) -> None:
    blob = kept(Blobs(tmp_path), b"onetwo")
    said = describe(blob.path)
    assert blob.path.read_bytes()[:16] == b"GATEWAY SPOOL 1\0"
    assert said.dataset_offset == blob.dataset_offset
    assert (said.dataset_bytes, said.sha256) == (6, blob.sha256)


def test_private_information_holds_who_brought_the_object_and_when(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    arrive(spool, DATA_SET)
    (name,) = spool.blobs.names()
    meta = pydicom.dcmread(spool.blobs.path(name)).file_meta
    about = json.loads(bytes(meta[0x00020102].value).rstrip(b"\0"))
    assert (about["door"], about["peer_address"]) == ("ae:US1", "192.0.2.7")
    assert about["received_at"] == spool.clock.utc()
    assert describe(spool.blobs.path(name)).about == about
    spool.close()


@pytest.mark.parametrize("command", [["dcmftest"], ["dcmdump", "-q"]])
def test_a_blob_is_a_part_10_file_to_every_tool(
    command: list[str], tmp_path: Path, program: Callable[[str], str]
) -> None:
    blob = kept(Blobs(tmp_path), DATA_SET)
    done = subprocess.run(
        [program(command[0]), *command[1:], str(blob.path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout.startswith("no: ")


def test_a_blob_is_a_part_10_file_to_pydicom(tmp_path: Path) -> None:
    blob = kept(Blobs(tmp_path), DATA_SET)
    found = pydicom.dcmread(blob.path)
    assert found.file_meta.MediaStorageSOPInstanceUID == UID
    assert (found.SOPInstanceUID, found.Modality) == (UID, "US")


@settings(deadline=None)  # it waits for the disk
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_of_a_blob_can_change_unnoticed(
    place: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    blob = kept(Blobs(tmp_path_factory.mktemp("bit")), DATA_SET)
    content = bytearray(blob.path.read_bytes())
    verify(blob.path, blob.sha256)
    content[place % len(content)] ^= 1 << bit
    blob.path.write_bytes(content)
    with pytest.raises(Damaged):
        verify(blob.path, blob.sha256)


def test_a_dropped_object_leaves_no_file(tmp_path: Path) -> None:
    incoming = Blobs(tmp_path).begin(ABOUT)
    incoming.write(b"half of it")
    incoming.drop()
    assert not everything(tmp_path)


@pytest.mark.usefixtures("without_tmpfile")
def test_without_nameless_files_a_named_one_serves_and_is_gone_after(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    incoming = blobs.begin(ABOUT)
    incoming.write(b"onetwo")
    assert len(everything(blobs.incoming)) == 1
    blob = incoming.keep()
    assert everything(tmp_path) == [blob.path]
    assert blob.path.read_bytes()[blob.dataset_offset :] == b"onetwo"
    verify(blob.path, blob.sha256)


@pytest.mark.usefixtures("without_tmpfile")
def test_the_sweep_spares_scratch_whose_writer_lives(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    (blobs.incoming / "left-by-a-crash").write_bytes(b"half")
    incoming = blobs.begin(ABOUT)
    incoming.write(b"onetwo")
    assert blobs.sweep() == 1
    blob = incoming.keep()
    assert blob.path.read_bytes().endswith(b"onetwo")
    assert blobs.sweep() == 0


def test_a_name_that_exists_is_refused_and_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_772_352_000_000_000_000)
    monkeypatch.setattr("secrets.token_hex", lambda count: "0" * 2 * count)
    blobs = Blobs(tmp_path)
    first = kept(blobs, b"first")
    with pytest.raises(FileExistsError):
        kept(blobs, b"second")
    assert everything(tmp_path) == [first.path]
    assert first.path.read_bytes().endswith(b"first")


def test_names_come_from_us_and_never_from_the_wire(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    arrive(spool, comes=arrival(uid="1.2.3.99", door="ae:../../etc"))
    (name,) = spool.blobs.names()
    assert "1.2.3.99" not in name
    assert Path(name).name.endswith(".dcm")
    assert spool.blobs.path(name).resolve().is_relative_to(tmp_path / "state/spool/blobs")
    spool.close()


def synced_folders(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the list into which the path of every synced descriptor goes from now on."""
    found: list[Path] = []
    real = os.fsync

    def telling(fd: int) -> None:
        found.append(Path(f"/proc/self/fd/{fd}").readlink())
        real(fd)

    monkeypatch.setattr("os.fsync", telling)
    return found


def test_file_then_folder_are_synced_and_a_new_day_in_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(tmp_path)
    synced = synced_folders(monkeypatch)
    first = kept(blobs, b"one")
    assert synced[1:] == [blobs.folder, first.path.parent]
    assert "deleted" in synced[0].name  # the file, while it has no name yet
    synced.clear()
    kept(blobs, b"two")
    assert synced[1:] == [first.path.parent]


def test_a_day_folder_that_a_crash_left_unsynced_is_synced_before_the_next_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = kept(Blobs(tmp_path), b"made by a process that is gone").path.parent
    again = Blobs(tmp_path)
    synced = synced_folders(monkeypatch)
    kept(again, b"one")
    assert synced[1:] == [again.folder, day]


def test_a_folder_that_cannot_be_synced_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(tmp_path)
    first = kept(blobs, b"first")
    real = os.fsync

    def failing(fd: int) -> None:
        if Path(f"/proc/self/fd/{fd}").readlink() == first.path.parent:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(fd)

    monkeypatch.setattr("os.fsync", failing)
    with pytest.raises(OSError, match="Input/output"):
        kept(blobs, b"second")
    assert everything(tmp_path) == [first.path]


def test_a_descriptor_is_not_lost_on_what_no_file_meta_can_hold(tmp_path: Path) -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    with pytest.raises(UnicodeEncodeError):
        Blobs(tmp_path).begin(ABOUT | {"transfer_syntax_uid": "1.2.图"})
    assert len(list(descriptors.iterdir())) == before


def test_below_the_reserve_nothing_new_is_begun(tmp_path: Path) -> None:
    with pytest.raises(SpoolFull):
        Blobs(tmp_path, reserve_bytes=1 << 62).begin(ABOUT)
    assert not everything(tmp_path)


def test_a_long_object_does_not_eat_the_reserve_on_its_way(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    incoming = blobs.begin(ABOUT)
    blobs.reserve_bytes = 1 << 62  # as if others had filled the disk meanwhile
    with pytest.raises(SpoolFull):
        for _ in range(16):
            incoming.write(bytes(1 << 20))
    assert not everything(tmp_path)


def test_a_full_disk_leaves_nothing_of_the_object_and_harms_none_before(small_disk: Path) -> None:
    blobs = Blobs(small_disk)
    first = kept(blobs, bytes(1 << 17))
    incoming = blobs.begin(ABOUT)
    with pytest.raises(SpoolFull):
        for _ in range(32):
            incoming.write(bytes(1 << 16))
    incoming.drop()
    assert everything(small_disk) == [first.path]
    verify(first.path, first.sha256)
    kept(blobs, b"there is room again")


def test_a_full_disk_refuses_at_the_row_and_keeps_no_blob(small_disk: Path) -> None:
    spool = opened(small_disk)
    arrive(spool, b"first")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(64 << 10))
    with pytest.raises(SpoolFull):
        for _ in range(4096):
            arrive(spool, b"another")
    counted = spool.counting.instances()["received"]
    assert len(list(spool.blobs.names())) == counted
    assert not spool.orphans()
    filler.unlink()
    arrive(spool, b"there is room again")
    assert spool.counting.integrity() == "ok"
    spool.close()


def test_many_threads_keep_many_blobs_side_by_side(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    found: list[Blob] = []

    def work(number: int) -> None:
        found.extend(kept(blobs, f"{number}/{count}".encode()) for count in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({blob.name for blob in found}) == 80
    assert sorted(blobs.names()) == sorted(blob.name for blob in found)


def test_incoming_is_harmless_when_it_is_dropped_after_it_was_kept(tmp_path: Path) -> None:
    incoming: Incoming = Blobs(tmp_path).begin(ABOUT)
    blob = incoming.keep()
    incoming.drop()
    assert blob.path.exists()
