"""Each press of the foot is told once, as what it was, by the moment the foot came down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.press import Kind, Meaning, Press, Presses

MS = 1_000_000
ALL = Meaning(has_long=True, has_double=True)


def played(meaning: Meaning, *presses: tuple[int, int], end_ms: int = 120_000) -> list[Press]:
    """Press at (from, for) in ms with the clock running, and return what is told."""
    pedal, told = Presses(meaning), list[Press]()
    for down_ms, held_ms in presses:
        for at_ms, is_down in ((down_ms, True), (down_ms + held_ms, False)):
            while (due := pedal.due_ns()) is not None and due <= at_ms * MS:
                told += pedal.tick(due)
            told += pedal.edge(at_ms * MS, is_down=is_down)
    while (due := pedal.due_ns()) is not None and due <= end_ms * MS:
        told += pedal.tick(due)
    return told


def test_a_press_is_told_at_once_where_it_can_mean_only_one_thing() -> None:
    assert Presses().edge(5 * MS, is_down=True) == [Press(Kind.SHORT, 5 * MS)]


@pytest.mark.parametrize(
    ("presses", "kinds"),
    [
        ([(1000, 100)], [Kind.SHORT]),
        ([(1000, 900)], [Kind.LONG]),
        ([(1000, 100), (1300, 100)], [Kind.DOUBLE]),
        ([(1000, 100), (1500, 100)], [Kind.SHORT, Kind.SHORT]),
        ([(1000, 100), (1300, 100), (1600, 100)], [Kind.DOUBLE, Kind.SHORT]),
        ([(1000, 500)], [Kind.SHORT]),
        ([(1000, 70_000)], [Kind.LONG, Kind.STUCK]),
    ],
)
def test_short_long_and_double_are_told_apart(
    presses: list[tuple[int, int]], kinds: list[Kind]
) -> None:
    told = played(ALL, *presses)
    assert [one.kind for one in told] == kinds
    assert told[0].pressed_at_ns == 1000 * MS


def test_a_stuck_pedal_is_said_once_and_its_press_counts() -> None:
    told = played(Meaning(has_double=True), (1000, 100_000))
    assert [one.kind for one in told] == [Kind.SHORT, Kind.STUCK]


def test_a_pedal_that_is_unplugged_is_released() -> None:
    pedal = Presses(ALL)
    assert pedal.edge(1000 * MS, is_down=True) == []
    assert pedal.gone(1200 * MS) == [Press(Kind.SHORT, 1000 * MS, 200 * MS)]
    assert pedal.gone(1300 * MS) == []
    assert pedal.due_ns() is None


def test_bounces_that_end_elsewhere_are_settled() -> None:
    pedal = Presses(Meaning())
    assert len(pedal.edge(0, is_down=True)) == 1
    assert pedal.edge(5 * MS, is_down=False) == []  # bounce, or a very short press
    assert pedal.settle(30 * MS, is_down=False) == []
    assert len(pedal.edge(80 * MS, is_down=True)) == 1


presses = st.lists(
    st.tuples(
        st.integers(60, 3000), st.integers(40, 2500), st.lists(st.integers(1, 6), max_size=3)
    ),
    max_size=30,
)


@given(presses, st.booleans(), st.booleans())
def test_no_press_is_lost_or_doubled_however_the_contact_bounces(
    given_presses: list[tuple[int, int, list[int]]], has_long: bool, has_double: bool
) -> None:
    meaning = Meaning(has_long=has_long, has_double=has_double)
    pedal, told, now_ms = Presses(meaning), list[Press](), 0
    feet = []
    for gap_ms, held_ms, bounces in given_presses:
        now_ms += gap_ms
        feet.append(now_ms * MS)
        for at_ms, is_down in ((now_ms, True), (now_ms + held_ms, False)):
            told += _until(pedal, at_ms)
            told += pedal.edge(at_ms * MS, is_down=is_down)
            for bounce_ms in bounces:
                told += pedal.edge((at_ms + bounce_ms) * MS, is_down=not is_down)
                told += pedal.edge((at_ms + bounce_ms) * MS + 1, is_down=is_down)
        now_ms += held_ms
    told += _until(pedal, now_ms + 100_000)
    told = [one for one in told if one.kind is not Kind.STUCK]
    starts = [one.pressed_at_ns for one in told]
    seconds = [one.pressed_at_ns + one.held_ns for one in told if one.kind is Kind.DOUBLE]
    assert sorted(starts + seconds) == feet


def _until(pedal: Presses, at_ms: int) -> list[Press]:
    told = list[Press]()
    while (due := pedal.due_ns()) is not None and due <= at_ms * MS:
        told += pedal.tick(due)
    return told
