"""The codec: frames in, frames out, worked on by child processes of the lowest priority.

Takes      where frames lie and what their pixels are
Gives      proved JPEG 2000 Lossless codestreams, or raw frames, in the order asked
Holds      the `CodecError` of the first frame that fails; the next call finds a fresh child
Defers     CodecClosed: the process is going down, nothing is known about the picture

One thread stands beside each child and lives as long (PR_SET_PDEATHSIG ends a child with the
thread that forked it). All calls share one queue, and each has few frames in it: many frames of
one image do not keep another's single frame waiting.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Literal

from gateway.codec.children import Child
from gateway.codec.errors import CodecClosed, CodecDied, OverBudget
from gateway.codec.frames import LOSSLESS, FrameAt, Geometry, Target
from gateway.codec.wire import LIKENESS, Job

#: A child without work for this long gives its memory back.
IDLE_S = 30.0

_Asked = tuple[Job, Future[bytes]]


class Codec:
    """Encodes and decodes in up to `workers` children. For any number of threads.

    Parameters
    ----------
    workers
        Children at most; they start with the first frame and end after half a minute without one.
    memory_bytes
        Address space of one child. The libraries alone need about 150 MiB.
    cpu_s
        Processor time that one frame may take.
    frame_bytes_most
        Pixel budget: no frame larger than this is read or decoded.
    """

    def __init__(
        self, *, workers: int, memory_bytes: int, cpu_s: int, frame_bytes_most: int
    ) -> None:
        self.workers = workers
        self.frame_bytes_most = frame_bytes_most
        self._memory_bytes = memory_bytes
        self._cpu_s = cpu_s
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._under_way = 0
        self._children: dict[int, Child] = {}
        self._threads = [
            threading.Thread(target=self._serve, args=(slot,), name=f"codec-{slot}", daemon=True)
            for slot in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def encode(
        self, frames: Iterable[FrameAt], geometry: Geometry, target: Target | None = None
    ) -> Iterator[bytes]:
        """Return an iterator over one lossless codestream a frame, in order.

        Each was decoded in its child and compared with the stored pixels, cell by cell. At most
        `workers` + 1 frames are on their way at a time; `frames` is read no further ahead.

        Parameters
        ----------
        target
            Lossless; None: JPEG 2000, with the colour transform of `geometry`.

        Raises
        ------
        OverBudget
            At once: a frame of this geometry is larger than `frame_bytes_most`.
        CodestreamMismatch, UnusedBits, Undecodable, Unencodable, NoHtj2k, CodecDied
            From the iterator, at the frame that failed.
        OSError
            The file cannot be read.
        CodecClosed
            `close` was called.

        References
        ----------
        PS3.5 A.4.4, 8.2.4; ISO/IEC 15444-1, 15444-15.
        """
        target = target or Target(colour_transform=bool(geometry.colour_transform))
        return self._run("encode", frames, self._within_budget(geometry), target)

    def encode_lossy(
        self, frames: Iterable[FrameAt], geometry: Geometry, target: Target
    ) -> Iterator[tuple[bytes, float]]:
        """Return an iterator over codestreams that lose content, each with its likeness in dB.

        Likeness is the peak signal-to-noise ratio of the decoded frame to the stored one. Raises
        as `encode` does, and TooLossy.
        """
        if not target.ratio:
            raise ValueError("a ratio is needed")
        for answer in self._run("encode", frames, self._within_budget(geometry), target):
            (likeness_db,) = LIKENESS.unpack_from(answer)
            yield answer[LIKENESS.size :], likeness_db

    def decode(self, frames: Iterable[FrameAt], geometry: Geometry) -> Iterator[bytes]:
        """Return an iterator over the raw frames: little endian, colour-by-pixel, in order.

        Raises as `encode` does; Undecodable also where codestream and `geometry` disagree.
        """
        return self._run("decode", frames, self._within_budget(geometry), LOSSLESS)

    @property
    def is_busy(self) -> bool:
        """Whether a frame asked for now would wait for one asked for before."""
        with self._lock:
            return self._under_way >= self.workers

    def close(self) -> None:
        """End all children; every frame not yet answered raises CodecClosed. May be repeated."""
        with self._lock:
            self._closed = True
            for child in self._children.values():
                child.kill()
        self._give_back()
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()

    def child_pids(self) -> list[int]:
        """The processes that run now."""
        with self._lock:
            return [child.pid for child in self._children.values()]

    def _within_budget(self, geometry: Geometry) -> Geometry:
        if geometry.frame_bytes > self.frame_bytes_most:
            raise OverBudget(
                f"a frame of {geometry.frame_bytes} bytes, {self.frame_bytes_most} most"
            )
        return geometry

    def _run(
        self,
        verb: Literal["encode", "decode"],
        frames: Iterable[FrameAt],
        geometry: Geometry,
        target: Target,
    ) -> Iterator[bytes]:
        waiting: deque[Future[bytes]] = deque()
        try:
            for frame in frames:
                waiting.append(self._ask(Job(verb, frame, geometry, target)))
                if len(waiting) > self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _ask(self, job: Job) -> Future[bytes]:
        future: Future[bytes] = Future()
        with self._lock:
            if self._closed:
                raise CodecClosed
            self._under_way += 1
            self._asked.put((job, future))
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _future: Future[bytes]) -> None:
        with self._lock:
            self._under_way -= 1

    def _give_back(self) -> None:
        """Fail what waits in the queue; nothing is added once `_closed` is set."""
        while not self._asked.empty():
            asked = self._asked.get()
            if asked is not None and asked[1].set_running_or_notify_cancel():
                asked[1].set_exception(CodecClosed())

    def _serve(self, slot: int) -> None:
        """The life of one thread: answer what is asked, with a child while there is work."""
        while (asked := self._next(slot)) is not None:
            job, future = asked
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self._answer(slot, job))
            except Exception as error:
                future.set_exception(error)
        self._end_child(slot)

    def _next(self, slot: int) -> _Asked | None:
        if slot not in self._children:
            return self._asked.get()
        try:
            return self._asked.get(timeout=IDLE_S)
        except queue.Empty:
            self._end_child(slot)
            return self._asked.get()

    def _answer(self, slot: int, job: Job) -> bytes:
        try:
            return self._child(slot).ask(job)
        except CodecDied as error:
            self._end_child(slot)
            if self._closed:
                raise CodecClosed from error
            raise

    def _child(self, slot: int) -> Child:
        with self._lock:
            if self._closed:
                raise CodecClosed
            if slot not in self._children:
                self._children[slot] = Child(memory_bytes=self._memory_bytes, cpu_s=self._cpu_s)
            return self._children[slot]

    def _end_child(self, slot: int) -> None:
        with self._lock:
            child = self._children.pop(slot, None)
        if child is not None:
            child.close()
