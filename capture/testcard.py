"""testcard: a picture source without a camera, whose pictures say when they were made.

Takes      a size and a rate
Gives      RGB frames at that rate: colour bars, a grey ramp, something that moves, and a strip in
           which number and moment stand as black and white cells, for `read`
Holds      nothing
Repeats    a reader that comes late meets a gap in the sequence, as with a grabber

The strip: 128 cells, 32 bits of number, 64 of CLOCK_MONOTONIC ns, 32 of CRC-32 over both, most
significant bit first, each cell as wide as 128 fit and 16 lines high.
"""

import os
import select
import struct
import time
import zlib
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.frame import Form, Frame, PixelFormat
from capture.signal import Signal
from capture.source import Seen

Bytes = NDArray[np.uint8]

CELLS, CELL_ROWS = 128, 16
COLUMNS, ROWS, RATE = 768, 576, 25.0
#: 75% colour bars, ITU-R BT.471: white, yellow, cyan, green, magenta, red, blue, black.
BARS = (
    *((191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0)),
    *((191, 0, 191), (191, 0, 0), (0, 0, 191), (0, 0, 0)),
)


@dataclass(frozen=True, slots=True)
class Card:
    """What stands in the strip of one picture."""

    number: int
    made_at_ns: int


class TestCard:
    """A source that needs no device; PRESENT from the first moment to the last."""

    __test__ = False  # no test of pytest's

    def __init__(self, columns: int = COLUMNS, rows: int = ROWS, rate: float = RATE) -> None:
        interval_ns = round(1e9 / rate)
        self.form = Form(
            PixelFormat.RGB24, columns, rows, columns * 3, full_range=True,
            frame_interval_ns=interval_ns,
        )  # fmt: skip
        self._interval_ns, self._picture = interval_ns, _still(columns, rows)
        self._started_at_ns, self._next = time.monotonic_ns(), 0
        self._waker, self._wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        seen = Seen(Signal.PRESENT, self._started_at_ns, self.form, f"{columns}x{rows}")
        self._told = deque([seen])
        self._is_closed = False

    def next(self, timeout_s: float) -> Frame | Seen | None:
        if self._told:
            return self._told.popleft()
        due_ns = self._started_at_ns + self._next * self._interval_ns
        wait_s = (due_ns - time.monotonic_ns()) / 1e9
        if (wait_s > 0 and self._interrupted(min(wait_s, timeout_s))) or wait_s > timeout_s:
            return None
        now_ns = time.monotonic_ns()
        number = (now_ns - self._started_at_ns) // self._interval_ns
        lost, self._next = number - self._next, number + 1
        return Frame(
            self.form, self._drawn(number, now_ns), number, now_ns, lost_before=max(0, lost)
        )

    def interrupt(self) -> None:
        os.write(self._wakes, b"!")

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            os.close(self._waker)
            os.close(self._wakes)

    def _interrupted(self, wait_s: float) -> bool:
        if not select.select([self._waker], [], [], wait_s)[0]:
            return False
        os.read(self._waker, 64)
        return True

    def _drawn(self, number: int, at_ns: int) -> bytes:
        picture = self._picture.copy()
        rows, columns, _ = picture.shape
        left = number * 4 % max(1, columns - 16)
        picture[rows * 3 // 4 :, left : left + 16] = 255
        _write(picture, Card(number, at_ns))
        return picture.tobytes()


def read(picture: Bytes) -> Card | None:
    """Return what the strip of a picture, (rows, columns[, samples]), says; None: nothing whole.

    It may have been cropped below, made lossy or grey, but not scaled or moved.
    """
    grey = picture[CELL_ROWS // 2] if picture.ndim == 2 else picture[CELL_ROWS // 2, :, 1]
    width = len(grey) // CELLS
    if not width:
        return None
    cells = grey[: width * CELLS].reshape(CELLS, width)[:, width // 2] > 127
    raw = np.packbits(cells).tobytes()
    number, at_ns, digest = struct.unpack(">IQI", raw)
    return Card(number, at_ns) if zlib.crc32(raw[:12]) == digest else None


def _write(picture: Bytes, card: Card) -> None:
    raw = struct.pack(">IQ", card.number & 0xFFFFFFFF, card.made_at_ns)
    raw += struct.pack(">I", zlib.crc32(raw))
    width = picture.shape[1] // CELLS
    cells = np.unpackbits(np.frombuffer(raw, np.uint8)) * np.uint8(255)
    picture[:CELL_ROWS, : width * CELLS] = np.repeat(cells, width)[None, :, None]


def _still(columns: int, rows: int) -> Bytes:
    picture = np.zeros((rows, columns, 3), np.uint8)
    bars = np.array(BARS, np.uint8)[np.arange(columns) * len(BARS) // columns]
    picture[CELL_ROWS : rows * 2 // 3] = bars
    ramp = (np.arange(columns) * 256 // columns).astype(np.uint8)
    picture[rows * 2 // 3 : rows * 3 // 4] = ramp[:, None]
    return picture
