"""cuts: what a loss of power leaves of a drive, at any moment of its log.

What was flushed is there. Of what was written since, each block is there or not by chance: so
writes are lost, come in another order, and are torn between blocks. Not within: ext4 itself needs
its journal's commit block whole, or e2fsck and the kernel refuse the journal.

References: man 2 fsync; kernel documentation, block/writeback_cache_control.rst.
"""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.drive import Flush, Write, copy

BLOCK_BYTES = 4096  #: the physical sector of today's drives: written whole or not at all


class Replay:
    """The log of a drive that began as `image`; `cut` goes forward only."""

    def __init__(self, image: Path, log: Sequence[Write | Flush], folder: Path) -> None:
        self._log, self._position = log, 0
        self._medium = folder / "drive.medium"
        copy(image, self._medium)
        self._cache: list[Write] = []  # what was not flushed, oldest first, each within one block

    def cut(self, position: int, image: Path, chance: random.Random, kept: float) -> None:
        """Write to `image` what is left when power goes after `position` requests.

        `kept`, 0 to 1, is the share of the unflushed blocks that the drive saved.
        """
        assert position >= self._position
        _put(self._medium, [one for at in range(self._position, position) for one in self._do(at)])
        self._position = position
        copy(self._medium, image)
        _put(image, [one for one in self._cache if chance.random() < kept])

    def _do(self, at: int) -> list[Write]:
        """Do one request; return what it has put on the medium."""
        request = self._log[at]
        if isinstance(request, Flush):
            firm, self._cache = self._cache, []
        elif request.firm:
            # What the cache had of these blocks goes with it: a block is written whole.
            firm = [*(one for one in self._cache if _touches(one, request)), request]
            self._cache = [one for one in self._cache if not _touches(one, request)]
        else:
            firm = []
            self._cache += _blocks(request)
        return firm


def flushes(log: Sequence[Write | Flush], first: int) -> list[int]:
    """Return the positions right before each flush, from `first` on: there most is at risk."""
    return [at for at in range(first, len(log)) if isinstance(log[at], Flush)]


def _blocks(write: Write) -> Iterator[Write]:
    """Give `write` in pieces that each lie within one block."""
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, at - at % BLOCK_BYTES + BLOCK_BYTES)
        yield Write(at, write.data[at - write.offset : until - write.offset])
        at = until


def _touches(piece: Write, request: Write) -> bool:
    """Tell whether `piece` lies in a block of which `request` has a part."""
    block, end = piece.offset // BLOCK_BYTES, request.offset + len(request.data)
    return request.offset // BLOCK_BYTES <= block <= (end - 1) // BLOCK_BYTES


def _put(image: Path, writes: Sequence[Write]) -> None:
    with image.open("r+b") as file:
        for one in writes:
            os.pwrite(file.fileno(), one.data, one.offset)
