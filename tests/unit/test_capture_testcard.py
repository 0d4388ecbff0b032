"""The test card says when each of its pictures was made, and keeps its rate."""

import threading
import time

import numpy as np

from capture.convert import to_grey, to_rgb
from capture.frame import Frame
from capture.signal import Look, Signal
from capture.source import Seen
from capture.testcard import TestCard, read


def some(card: TestCard, count: int) -> list[Frame]:
    found = []
    while len(found) < count:
        one = card.next(1)
        if isinstance(one, Frame):
            found.append(one)
    return found


def test_it_says_first_that_there_is_a_picture() -> None:
    card = TestCard()
    first = card.next(0)
    assert isinstance(first, Seen)
    assert (first.signal, first.form) == (Signal.PRESENT, card.form)
    card.close()


def test_each_picture_says_its_number_and_its_moment() -> None:
    card = TestCard(rate=100)
    for frame in some(card, 20):
        for picture in (to_rgb(frame), to_grey(frame)):
            strip = read(picture)
            assert strip
            assert (strip.number, strip.made_at_ns) == (frame.sequence, frame.captured_at_ns)
    card.close()


def test_a_strip_that_was_damaged_is_not_believed() -> None:
    card = TestCard(rate=1000)
    picture = to_rgb(some(card, 1)[0]).copy()
    assert read(255 - picture) is None
    noisy = np.clip(
        picture.astype(int) + np.random.default_rng(1).integers(-60, 60, picture.shape), 0, 255
    )
    assert read(noisy.astype(np.uint8))
    card.close()


def test_pictures_move_and_a_late_reader_meets_a_gap() -> None:
    card = TestCard(rate=50)
    one, two = some(card, 2)
    assert one.data != two.data
    time.sleep(0.2)  # a reader that is busy: what it missed must be counted
    (late,) = some(card, 1)
    assert late.lost_before >= 8
    assert late.sequence == two.sequence + late.lost_before + 1
    card.close()


def test_a_wait_ends_when_it_is_interrupted() -> None:
    card = TestCard(rate=0.01)
    some(card, 1)
    threading.Timer(0.1, card.interrupt).start()
    begin = time.monotonic()
    assert card.next(30) is None
    assert time.monotonic() - begin < 10
    card.close()


def test_a_picture_that_stands_still_is_not_lost_but_an_empty_one_is() -> None:
    card = TestCard(rate=1000)
    (still,) = some(card, 1)
    look = Look()
    assert {look.at(still) for _ in range(50)} == {Signal.PRESENT}
    black = Frame(still.form, bytes(len(still.data)), 0, 0)
    assert [look.at(black) for _ in range(6)][-2:] == [Signal.LOST, Signal.LOST]
    assert look.at(still) is Signal.PRESENT
    card.close()
