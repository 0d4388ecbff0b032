"""What a field measured is kept to the bit; only lines between are made."""

import numpy as np
import pytest

from capture.deinterlace import adaptive, blend, bob, is_top_first, paired, woven
from capture.videodev2 import Field

RANDOM = np.random.default_rng(3)


@pytest.fixture(params=[(8, 6), (9, 6), (576, 16, 3)])
def picture(request: pytest.FixtureRequest) -> np.ndarray:
    return RANDOM.integers(0, 256, request.param, np.uint8)


def test_fields_one_after_the_other_are_mixed() -> None:
    top, bottom = np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)
    assert woven(np.concatenate([top, bottom]), Field.SEQ_TB)[:, 0].tolist() == [0, 1, 0, 1]
    assert woven(np.concatenate([top, bottom]), Field.SEQ_BT)[:, 0].tolist() == [1, 0, 1, 0]
    assert paired(top, bottom)[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("field", [Field.TOP, Field.BOTTOM, Field.ALTERNATE])
def test_one_field_is_no_whole_picture(field: Field) -> None:
    with pytest.raises(ValueError, match="no whole picture"):
        woven(np.zeros((4, 4), np.uint8), field)


@pytest.mark.parametrize(
    ("field", "lines", "top"),
    [
        (Field.INTERLACED, 576, True),
        (Field.INTERLACED, 480, False),
        (Field.INTERLACED_TB, 480, True),
        (Field.INTERLACED_BT, 576, False),
        (Field.SEQ_BT, 576, False),
        (Field.INTERLACED, 1080, True),
    ],
)
def test_which_field_is_older_follows_the_standard(field: Field, lines: int, top: bool) -> None:
    assert is_top_first(field, lines=lines) is top


def test_bob_keeps_the_lines_of_its_field_and_makes_those_between(picture: np.ndarray) -> None:
    top, bottom = bob(picture, top_first=True)
    assert (top[0::2] == picture[0::2]).all()
    assert (bottom[1::2] == picture[1::2]).all()
    wanted = (picture[0:-2:2].astype(int) + picture[2::2] + 1) // 2
    assert (top[1::2][: len(wanted)] == wanted[: len(top[1::2])]).all()
    first, second = bob(picture, top_first=False)
    assert (first == bottom).all()
    assert (second == top).all()


def test_blend_is_one_two_one(picture: np.ndarray) -> None:
    wide = picture.astype(int)
    wanted = (wide[:-2] + 2 * wide[1:-1] + wide[2:] + 2) // 4
    assert (blend(picture)[1:-1] == wanted).all()


def test_a_still_picture_is_woven_and_a_moving_one_is_of_its_later_field(
    picture: np.ndarray,
) -> None:
    assert (adaptive(picture, picture, top_first=True) == picture).all()
    moved = adaptive(picture, 255 - picture, top_first=True)
    assert (moved[1::2] == picture[1::2]).all()
    assert (adaptive(picture, None, top_first=True) == bob(picture, top_first=True)[1]).all()


def test_only_what_moves_is_made_anew() -> None:
    before = np.full((64, 64), 100, np.uint8)
    now = before.copy()
    now[20:40:2, 10:30] = 200  # only the top field has it yet: a comb
    out = adaptive(now, before, top_first=True)
    assert (out[:, 40:] == 100).all()
    assert np.abs(np.diff(out[22:38, 15].astype(int))).max() == 0, "the comb is gone"
