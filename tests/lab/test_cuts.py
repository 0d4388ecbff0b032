"""The drive of the laboratory keeps its word on flush and FUA, and gives no other."""

import random
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab import nbd
from tests.lab.cuts import Replay
from tests.lab.drive import Drive, Flush, Write

OLD, NEW, LATER = b"o" * 4096, b"n" * 4096, b"l" * 4096


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(OLD * 16)
    return path


def left(image: Path, log: Sequence[Write | Flush], kept: float, seed: int = 0) -> list[bytes]:
    """Return the blocks after a cut at the end of `log`."""
    replay = Replay(image, log, image.parent)
    chance = random.Random(seed)  # noqa: S311 - nothing secret: it must be repeatable
    replay.cut(len(log), image.parent / "cut", chance, kept)
    whole = (image.parent / "cut").read_bytes()
    return [whole[at : at + 4096] for at in range(0, len(whole), 4096)]


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
def test_what_was_flushed_is_there_after_every_cut(image: Path, kept: float) -> None:
    assert left(image, [Write(4096, NEW * 2), Flush()], kept)[:4] == [OLD, NEW, NEW, OLD]


def test_what_was_not_flushed_is_lost_or_kept_by_chance_block_by_block(image: Path) -> None:
    found = {tuple(left(image, [Write(0, NEW * 16)], 0.5, seed)) for seed in range(9)}
    assert len(found) == 9
    assert {block for blocks in found for block in blocks} == {OLD, NEW}
    assert left(image, [Write(0, NEW)], 0.0)[0] == OLD


def test_a_forced_write_is_safe_alone_and_nothing_older_comes_back_over_it(image: Path) -> None:
    log = [Write(0, NEW * 2), Write(0, LATER, firm=True)]
    assert left(image, log, 0.0)[:2] == [LATER, OLD]
    assert left(image, log, 1.0)[:2] == [LATER, NEW]


def test_a_cut_knows_nothing_of_what_came_after_it(image: Path, tmp_path: Path) -> None:
    replay = Replay(image, [Write(0, NEW), Flush(), Write(0, LATER), Flush()], tmp_path)
    chance = random.Random(0)  # noqa: S311 - nothing secret: it must be repeatable
    found = []
    for position in range(5):
        replay.cut(position, tmp_path / "cut", chance, 0.0)
        found.append((tmp_path / "cut").read_bytes()[:1])
    assert found == [b"o", b"o", b"n", b"n", b"l"]


@pytest.fixture
def peer(image: Path) -> Iterator[tuple[Drive, socket.socket]]:
    """A drive, and a connection to it that has ended its negotiation."""
    drive = Drive(image, image.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(drive.address))
        name = struct.pack(">IQII", 0, 0x49484156454F5054, nbd.EXPORT_NAME, 0)
        one.sendall(name)
        one.recv(18 + 10 + 124, socket.MSG_WAITALL)
        yield drive, one
    drive.close()


def ask(peer: socket.socket, command: int, flags: int, data: bytes, length: int) -> bytes:
    """Send one request for the start of the drive, and return what was read."""
    peer.sendall(struct.pack(">IHHQQI", 0x25609513, flags, command, 7, 0, length) + data)
    answer = peer.recv(16, socket.MSG_WAITALL)
    assert answer == struct.pack(">IIQ", 0x67446698, 0, 7)
    return peer.recv(length, socket.MSG_WAITALL) if command == nbd.Command.READ else b""


def test_a_drive_reads_back_what_it_took_and_remembers_each_request(
    peer: tuple[Drive, socket.socket], image: Path
) -> None:
    drive, one = peer
    ask(one, nbd.Command.WRITE, 0, NEW, 4096)
    ask(one, nbd.Command.WRITE, nbd.FUA, b"f" * 512, 512)
    ask(one, nbd.Command.FLUSH, 0, b"", 0)
    assert ask(one, nbd.Command.READ, 0, b"", 1024) == b"f" * 512 + b"n" * 512
    assert drive.log == [Write(0, NEW), Write(0, b"f" * 512, firm=True), Flush()]
    assert image.read_bytes() == OLD * 16  # the image is what was there before
