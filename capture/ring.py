"""ring: the last seconds of a stream, so that a press can save what was just seen.

Takes      frames, in the order of their moments
Gives      copies of those that are still there, by moment
Holds      at most `bytes_most` of pixels, in one block that is taken whole at the start
Repeats    nothing: a frame that was overwritten is gone, and `oldest_ns` says so

Frames are kept as they came, never compressed with loss. Memory does not grow: a frame that has no
room pushes out the oldest ones. One writer, any number of readers; a reader that takes frames out
holds the lock for one copy at a time, so the camera never waits longer than that.
"""

import mmap
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from capture.frame import Frame


class TooLarge(Exception):
    """One frame is larger than the whole ring; `args` are its bytes and the ring's."""


@dataclass(frozen=True, slots=True)
class _Place:
    frame: Frame  #: its data is empty: the bytes lie in the block
    start: int
    length: int


class Ring:
    """The last `seconds` of a stream, or as many as fit `bytes_most`."""

    def __init__(self, bytes_most: int, seconds: float) -> None:
        self.bytes_most, self._span_ns = bytes_most, int(seconds * 1e9)
        self._block = mmap.mmap(-1, bytes_most)  # pages that were never written cost nothing
        self._places: deque[_Place] = deque()
        self._next, self._lock = 0, threading.Lock()

    def put(self, frame: Frame) -> None:
        """Keep a frame; the oldest ones make room.

        Raises
        ------
        TooLarge
        """
        length = len(frame.data)
        if length > self.bytes_most:
            raise TooLarge(length, self.bytes_most)
        with self._lock:
            start = self._make_room(length)
            self._block[start : start + length] = frame.data
            self._places.append(_Place(replace(frame, data=b""), start, length))
            self._next = start + length
            self._drop_older_than(frame.captured_at_ns - self._span_ns)

    def at(self, moment_ns: int) -> Frame | None:
        """Return the frame whose moment is nearest to `moment_ns`; None while there is none."""
        with self._lock:
            if not self._places:
                return None
            found = min(self._places, key=lambda one: abs(one.frame.captured_at_ns - moment_ns))
            return self._copy(found)

    def between(self, from_ns: int, to_ns: int) -> Iterator[Frame]:
        """Give every frame of that span that is there when its turn comes, oldest first.

        What is overwritten while it is read is left out: compare the sequence numbers.
        """
        after = from_ns - 1
        while (frame := self._next_after(after)) is not None and frame.captured_at_ns <= to_ns:
            yield frame
            after = frame.captured_at_ns

    def clear(self) -> None:
        """Forget all: what follows has another form, or belongs to another patient."""
        with self._lock:
            self._places.clear()
            self._next = 0

    @property
    def oldest_ns(self) -> int | None:
        """The moment of the oldest frame; None while there is none."""
        with self._lock:
            return self._places[0].frame.captured_at_ns if self._places else None

    @property
    def held_bytes(self) -> int:
        """Bytes of the frames that are there."""
        with self._lock:
            return sum(one.length for one in self._places)

    def close(self) -> None:
        with self._lock:
            self._places.clear()
            self._block.close()

    def _next_after(self, moment_ns: int) -> Frame | None:
        with self._lock:
            for one in self._places:
                if one.frame.captured_at_ns > moment_ns:
                    return self._copy(one)
        return None

    def _copy(self, place: _Place) -> Frame:
        return replace(place.frame, data=self._block[place.start : place.start + place.length])

    def _make_room(self, length: int) -> int:
        """Return where `length` bytes may lie, after dropping what lay there."""
        start = self._next
        if start + length > self.bytes_most:
            while self._places and self._places[0].start >= start:
                self._places.popleft()
            start = 0
        while self._places and start <= self._places[0].start < start + length:
            self._places.popleft()
        return start

    def _drop_older_than(self, moment_ns: int) -> None:
        while self._places and self._places[0].frame.captured_at_ns < moment_ns:
            self._places.popleft()
