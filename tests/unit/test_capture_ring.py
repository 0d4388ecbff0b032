"""The ring holds the last seconds, whole frames only, in the memory that was promised."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.frame import Form, Frame, PixelFormat
from capture.ring import Ring, TooLarge

SECOND = 1_000_000_000


def frame(number: int, length: int = 1000, *, step_ns: int = SECOND // 25) -> Frame:
    form = Form(PixelFormat.GREY, length, 1, length)
    return Frame(form, bytes([number % 251]) * length, number, number * step_ns)


def sequence(ring: Ring, *, from_ns: int = 0, to_ns: int = 10**18) -> list[int]:
    return [one.sequence for one in ring.between(from_ns, to_ns)]


def test_the_last_seconds_are_there_and_nothing_older() -> None:
    ring = Ring(1 << 20, seconds=2)
    for number in range(200):
        ring.put(frame(number))
    assert sequence(ring) == list(range(149, 200))


def test_memory_is_what_was_promised_however_long_it_runs() -> None:
    ring = Ring(10_500, seconds=60)
    for number in range(1000):
        ring.put(frame(number))
        assert ring.held_bytes <= 10_500
    assert sequence(ring) == list(range(990, 1000))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=200), st.integers(400, 2000))
def test_frames_of_any_size_come_out_as_they_went_in(lengths: list[int], bytes_most: int) -> None:
    ring = Ring(bytes_most, seconds=1e6)
    for number, length in enumerate(lengths):
        ring.put(frame(number, length))
        found = list(ring.between(0, 10**18))
        assert [one.sequence for one in found] == list(range(number + 1 - len(found), number + 1))
        assert all(one == frame(one.sequence, lengths[one.sequence]) for one in found)
        assert sum(len(one.data) for one in found) <= bytes_most
    last = sum(lengths[-2:]) <= bytes_most // 2
    assert len(list(ring.between(0, 10**18))) >= (2 if last and len(lengths) > 1 else 1)


@pytest.mark.parametrize(("moment_ns", "found"), [(0, 10), (12 * 40_000_000 + 1, 12), (10**15, 19)])
def test_a_moment_has_the_frame_nearest_to_it(moment_ns: int, found: int) -> None:
    ring = Ring(10_000, seconds=60)
    for number in range(20):
        ring.put(frame(number))
    nearest = ring.at(moment_ns)
    assert nearest
    assert nearest.sequence == found


def test_an_empty_ring_has_no_frame() -> None:
    ring = Ring(1000, seconds=1)
    assert ring.at(5) is None
    assert ring.oldest_ns is None
    ring.put(frame(1, 500))
    ring.clear()
    assert sequence(ring) == []


def test_a_frame_larger_than_the_ring_is_refused_by_name() -> None:
    with pytest.raises(TooLarge):
        Ring(100, seconds=1).put(frame(0, 101))


def test_reading_while_the_camera_writes_gives_whole_frames_in_order() -> None:
    ring, stop, torn = Ring(50_000, seconds=60), threading.Event(), list[Frame]()

    def read() -> None:
        while not stop.is_set():
            last = -1
            for one in ring.between(0, 10**18):
                if (
                    len(set(one.data)) != 1
                    or one.data[0] != one.sequence % 251
                    or one.sequence <= last
                ):
                    torn.append(one)
                last = one.sequence

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20_000):
        ring.put(frame(number))
    stop.set()
    reader.join()
    assert not torn
