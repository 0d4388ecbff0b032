"""A camera that hangs, goes or is busy is opened anew, and disturbs no other."""

import queue as queues
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from capture.frame import Frame
from capture.signal import Signal
from capture.source import DeviceBusy, FrameSource, Seen
from capture.testcard import TestCard
from capture.watch import Watch


class Hanging(TestCard):
    """A driver that never returns, from its fifth frame on, until the test lets it."""

    __test__ = False

    def __init__(self, free: threading.Event) -> None:
        super().__init__(rate=100)
        self._free, self._given = free, 0

    def next(self, timeout_s: float) -> Frame | Seen | None:
        self._given += 1
        if self._given > 5:
            self._free.wait()
        return super().next(timeout_s)


@contextmanager
def watched(
    opener: Callable[[], FrameSource], hang_s: float = 0.5
) -> Iterator[tuple[Watch, queues.Queue[Frame | Seen]]]:
    heard: queues.Queue[Frame | Seen] = queues.Queue()
    watch = Watch("scope", opener, heard.put, hang_s)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch, heard
    finally:
        watch.stop()
        thread.join()


def until(heard: queues.Queue[Frame | Seen], right: Callable[[Frame | Seen], bool]) -> Frame | Seen:
    while not right(one := heard.get(timeout=30)):
        pass
    return one


def test_a_source_that_hangs_is_left_behind_and_opened_anew() -> None:
    free, opened = threading.Event(), [0]

    def opener() -> FrameSource:
        opened[0] += 1
        return Hanging(free) if opened[0] == 1 else TestCard(rate=100)

    with watched(opener) as (watch, heard):
        gone = until(heard, lambda one: isinstance(one, Seen) and one.signal is Signal.DEVICE_GONE)
        assert isinstance(gone, Seen)
        assert gone.detail == "hangs"
        watch.look_again()
        until(heard, lambda one: isinstance(one, Seen) and one.signal is Signal.PRESENT)
        until(heard, lambda one: isinstance(one, Frame))
        assert watch.left_behind == 1
        free.set()  # the life that was left behind wakes up: nobody listens to it
        sequences = [
            one.sequence
            for one in (heard.get(timeout=5) for _ in range(60))
            if isinstance(one, Frame)
        ]
        assert sequences == sorted(sequences)


def test_a_device_that_is_busy_is_said_once_and_tried_again() -> None:
    busy = [True]

    def opener() -> FrameSource:
        if busy[0]:
            raise DeviceBusy("/dev/video7")
        return TestCard(rate=100)

    with watched(opener) as (watch, heard):
        first = heard.get(timeout=10)
        assert isinstance(first, Seen)
        assert "video7" in first.detail
        for _ in range(3):
            watch.look_again()
            time.sleep(0.05)  # let it try: there is no event where nothing is said
        assert heard.empty()
        busy[0] = False
        watch.look_again()
        assert isinstance(until(heard, lambda one: isinstance(one, Frame)), Frame)


def test_a_device_that_goes_is_found_again() -> None:
    class Leaving(TestCard):
        __test__ = False

        def next(self, timeout_s: float) -> Frame | Seen | None:
            got = super().next(timeout_s)
            if isinstance(got, Frame) and got.sequence > 3:
                return Seen(Signal.DEVICE_GONE, time.monotonic_ns(), None, "ENODEV")
            return got

    opened = [0]

    def opener() -> FrameSource:
        opened[0] += 1
        return Leaving(rate=100) if opened[0] == 1 else TestCard(rate=100)

    with watched(opener, hang_s=5) as (watch, heard):
        until(heard, lambda one: isinstance(one, Seen) and one.signal is Signal.DEVICE_GONE)
        watch.look_again()
        until(heard, lambda one: isinstance(one, Seen) and one.signal is Signal.PRESENT)
    assert opened[0] == 2
