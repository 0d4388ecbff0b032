"""cuts: what a loss of power leaves of a drive, at any moment of its log.

What was flushed is there. Of what was written since, each sector is there or not by chance: so
writes are lost, come in another order, and are torn.

References: man 2 fsync; kernel documentation, block/writeback_cache_control.rst.
"""

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.lab.drive import Flush, Write

SECTOR_BYTES = 512  #: what every drive writes whole or not at all


class Replay:
    """The log of a drive that began as `image`; `cut` goes forward only."""

    def __init__(self, image: Path, log: Sequence[Write | Flush], folder: Path) -> None:
        self._log, self._position = log, 0
        self._medium = folder / "drive.medium"
        shutil.copyfile(image, self._medium)
        self._pending: list[Write] = []

    def cut(self, position: int, image: Path, chance: random.Random, kept: float) -> None:
        """Write to `image` what is left when power goes after `position` requests.

        `kept`, 0 to 1, is the share of the unflushed sectors that the drive saved.
        """
        self._forward(position)
        shutil.copyfile(self._medium, image)
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
    starts = range(0, len(write.data), SECTOR_BYTES)
    return [
        Write(write.offset + at, write.data[at : at + SECTOR_BYTES])
        for at in starts
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
