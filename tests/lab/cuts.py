"""cuts: what a loss of power leaves of a drive, at any moment of its log.

What was flushed is there. Of what was written since, each block is there or not by chance: so
writes are lost, come in another order, and are torn between blocks. Not within: ext4 itself needs
its journal's commit block whole, or e2fsck and the kernel refuse the journal.

References: man 2 fsync; kernel documentation, block/writeback_cache_control.rst.
"""

import os
import random
from collections.abc import Sequence
from pathlib import Path

from tests.lab.drive import Flush, Write, copy

BLOCK_BYTES = 4096  #: the physical sector of today's drives: written whole or not at all


class Replay:
    """The log of a drive that began as `image`; `cut` goes forward only."""

    def __init__(self, image: Path, log: Sequence[Write | Flush], folder: Path) -> None:
        self._log, self._position = log, 0
        self._medium = folder / "drive.medium"
        copy(image, self._medium)
        self._pending: list[Write] = []

    def cut(self, position: int, image: Path, chance: random.Random, kept: float) -> None:
        """Write to `image` what is left when power goes after `position` requests.

        `kept`, 0 to 1, is the share of the unflushed blocks that the drive saved.
        """
        self._forward(position)
        copy(self._medium, image)
        lucky = [one for write in self._pending for one in _survivors(write, chance, kept)]
        _put(image, lucky)

    def _forward(self, position: int) -> None:
        assert position >= self._position
        firm: list[Write] = []
        for request in self._log[self._position : position]:
            if isinstance(request, Flush):
                firm += self._pending
                self._pending = []
            elif request.firm:
                # Older bytes of the same place must not come back on top of it.
                firm += [one for one in self._pending if _overlap(one, request)]
                firm.append(request)
                self._pending = [one for one in self._pending if not _overlap(one, request)]
            else:
                self._pending.append(request)
        _put(self._medium, firm)
        self._position = position


def flushes(log: Sequence[Write | Flush], first: int) -> list[int]:
    """Return the positions right before each flush, from `first` on: there most is at risk."""
    return [at for at in range(first, len(log)) if isinstance(log[at], Flush)]


def _survivors(write: Write, chance: random.Random, kept: float) -> list[Write]:
    end = write.offset + len(write.data)
    first = write.offset - write.offset % BLOCK_BYTES
    blocks = [max(at, write.offset) for at in range(first, end, BLOCK_BYTES)]
    return [
        Write(at, write.data[at - write.offset : until - write.offset])
        for at, until in zip(blocks, [*blocks[1:], end], strict=True)
        if chance.random() < kept
    ]


def _overlap(one: Write, other: Write) -> bool:
    return (
        one.offset < other.offset + len(other.data) and other.offset < one.offset + len(one.data)
    )


def _put(image: Path, writes: Sequence[Write]) -> None:
    with image.open("r+b") as file:
        for one in writes:
            os.pwrite(file.fileno(), one.data, one.offset)
