"""Crop, masks and square pixels: and a region stays where its pixels went."""

import numpy as np
import pytest

from capture.geometry import Box, Geometry, Outside, resampled

RANDOM = np.random.default_rng(5)
PAL, NTSC = (54, 59), (11, 10)


def test_what_is_square_and_whole_is_not_touched() -> None:
    picture = RANDOM.integers(0, 256, (48, 64, 3), np.uint8)
    assert (Geometry(64, 48).apply(picture) == picture).all()


@pytest.mark.parametrize(
    ("aspect", "size"), [(PAL, (576, 786)), (NTSC, (634, 720)), ((1, 1), (576, 720))]
)
def test_pixels_become_square_by_enlarging_only(
    aspect: tuple[int, int], size: tuple[int, int]
) -> None:
    geometry = Geometry(720, 576, pixel_aspect=aspect)
    assert geometry.size == size
    assert geometry.apply(np.zeros((576, 720), np.uint8)).shape == size
    assert geometry.result_aspect == (1, 1)
    raw = Geometry(720, 576, pixel_aspect=aspect, squares=False)
    assert raw.size == (576, 720)
    assert raw.result_aspect == aspect


def test_resampling_keeps_flat_pictures_flat_and_straight_lines_straight() -> None:
    assert (resampled(np.full((4, 720), 77, np.uint8), 786, axis=1) == 77).all()
    ramp = np.tile(np.arange(0, 240, dtype=np.uint8), (3, 1))
    found = resampled(ramp, 480, axis=1).astype(int)
    wanted = (np.arange(480) + 0.5) / 2 - 0.5
    assert np.abs(found[0, 8:-8] - wanted[8:-8]).max() <= 0.51


def test_a_mask_is_black_and_nothing_else_is_changed() -> None:
    picture = RANDOM.integers(1, 256, (48, 64), np.uint8)
    out = Geometry(64, 48, masks=(Box(8, 0, 20, 5), Box(0, 40, 64, 8))).apply(picture)
    black = np.zeros((48, 64), bool)
    black[0:5, 8:28] = black[40:48] = True
    assert (out[black] == 0).all()
    assert (out[~black] == picture[~black]).all()
    assert picture.min() > 0, "the device's picture stays as it was"


@pytest.mark.parametrize("aspect", [PAL, NTSC, (1, 1)])
def test_a_region_follows_its_pixels(aspect: tuple[int, int]) -> None:
    picture = np.zeros((576, 720), np.uint8)
    region = Box(200, 100, 150, 80)
    picture[100:180, 200:350] = 250
    geometry = Geometry(720, 576, crop=Box(100, 50, 500, 400), pixel_aspect=aspect)
    placed = geometry.place(region)
    assert placed
    bright = geometry.apply(picture) > 125
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    found = Box(columns[0], rows[0], len(columns), len(rows))
    for name in ("left", "top", "columns", "rows"):
        assert abs(getattr(found, name) - getattr(placed, name)) <= 1


def test_a_distance_is_as_long_after_as_before() -> None:
    geometry = Geometry(720, 576, pixel_aspect=PAL, crop=Box(0, 0, 360, 288))
    across, down = geometry.spacing(0.1, 0.2)
    rows, columns = geometry.size
    assert across * columns == pytest.approx(0.1 * 360)
    assert down * rows == pytest.approx(0.2 * 288)


def test_what_is_cropped_off_has_no_place() -> None:
    assert Geometry(100, 100, crop=Box(0, 0, 50, 50)).place(Box(60, 60, 10, 10)) is None


@pytest.mark.parametrize(
    "wrong",
    [{"crop": Box(0, 0, 65, 48)}, {"masks": (Box(60, 40, 10, 2),)}, {"crop": Box(-1, 0, 4, 4)}],
)
def test_a_box_outside_the_picture_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Outside, match="64 x 48"):
        Geometry(64, 48, **wrong)  # type: ignore[arg-type]
