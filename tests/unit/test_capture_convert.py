"""Pixels are what the standard's matrix says, to one grey level, whatever the device's form."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from capture.convert import Misshapen, coefficients, to_grey, to_rgb
from capture.frame import Form, Frame, Matrix, PixelFormat

RANDOM = np.random.default_rng(7)
PACKED = {PixelFormat.YUYV: (0, 1, 2, 3), PixelFormat.UYVY: (1, 0, 3, 2)}


def frame_of(kind: PixelFormat, data: bytes, columns: int, rows: int, **form: object) -> Frame:
    width = {PixelFormat.NV12: 1, PixelFormat.GREY: 1, PixelFormat.RGB24: 3, PixelFormat.BGR24: 3}
    stride = form.pop("bytes_per_line", columns * width.get(kind, 2))
    return Frame(Form(kind, columns, rows, stride, **form), data, 0, 0)  # type: ignore[arg-type]


def exact(y: int, cb: int, cr: int, matrix: Matrix, *, full_range: bool) -> tuple[int, int, int]:
    """Return R, G, B in exact integers, rounded half up and clipped."""
    by = coefficients(matrix, full_range=full_range)
    luma = by.y * (y - by.black)
    u, v = cb - 128, cr - 128
    values = (luma + by.cr_r * v, luma + by.cb_g * u + by.cr_g * v, luma + by.cb_b * u)
    red, green, blue = (min(255, max(0, int((one + Fraction(1, 2)) // 1))) for one in values)
    return red, green, blue


def packed(kind: PixelFormat, y: NDArray[np.uint8], cb: int, cr: int) -> bytes:
    """Return one line of pairs that share Cb and Cr."""
    first, blue, second, red = PACKED[kind]
    line = np.empty((len(y) // 2, 4), np.uint8)
    line[:, first], line[:, second] = y[::2], y[1::2]
    line[:, blue], line[:, red] = cb, cr
    return line.tobytes()


@pytest.mark.parametrize("matrix", [Matrix.BT601, Matrix.BT709])
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("kind", PACKED)
def test_each_value_is_within_one_grey_level_of_exact_arithmetic(
    kind: PixelFormat, matrix: Matrix, full_range: bool
) -> None:
    every_y = np.arange(256, dtype=np.uint8)
    chroma = [(int(b), int(r)) for b, r in RANDOM.integers(0, 256, (60, 2))]
    chroma += [(16, 240), (240, 16), (128, 128), (0, 0), (255, 255)]
    data = b"".join(packed(kind, every_y, cb, cr) for cb, cr in chroma)
    frame = frame_of(kind, data, 256, len(chroma), matrix=matrix, full_range=full_range)
    found = to_rgb(frame).astype(int)
    wanted = np.array(
        [[exact(y, cb, cr, matrix, full_range=full_range) for y in range(256)] for cb, cr in chroma]
    )
    assert np.abs(found - wanted).max() <= 1
    assert (found == wanted).mean() > 0.99


def test_legal_black_and_white_are_black_and_white() -> None:
    data = packed(PixelFormat.UYVY, np.array([16, 235], np.uint8), 128, 128)
    frame = frame_of(PixelFormat.UYVY, data, 2, 1, matrix=Matrix.BT601)
    assert to_rgb(frame).tolist() == [[[0, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("rgb", "matrix", "ycbcr"),
    [  # 75% colour bars of BT.601, and pure red by BT.709
        ((191, 0, 0), Matrix.BT601, (65, 100, 212)),
        ((0, 191, 0), Matrix.BT601, (112, 72, 58)),
        ((0, 0, 191), Matrix.BT601, (35, 212, 114)),
        ((255, 0, 0), Matrix.BT709, (63, 102, 240)),
    ],
)
def test_known_colours_come_back(
    rgb: tuple[int, ...], matrix: Matrix, ycbcr: tuple[int, int, int]
) -> None:
    y, cb, cr = ycbcr
    data = packed(PixelFormat.YUYV, np.array([y, y], np.uint8), cb, cr)
    found = to_rgb(frame_of(PixelFormat.YUYV, data, 2, 1, matrix=matrix))[0, 0].astype(int)
    assert np.abs(found - np.array(rgb)).max() <= 2  # the rounding to 8 bits of Y, Cb and Cr


def test_the_padding_of_lines_is_left_out() -> None:
    pixels = RANDOM.integers(0, 256, (5, 6), np.uint8)
    padded = np.pad(pixels, ((0, 0), (0, 10)), constant_values=99)
    frame = frame_of(PixelFormat.GREY, padded.tobytes(), 6, 5, bytes_per_line=16)
    assert (to_grey(frame) == pixels).all()
    assert to_rgb(frame).flags.c_contiguous


@pytest.mark.parametrize("rows", [4, 5, 300])
def test_nv12_shares_its_chroma_among_four_pixels(rows: int) -> None:
    columns, stride = 256, 272
    luma = RANDOM.integers(0, 256, (rows, stride), np.uint8)
    chroma = RANDOM.integers(0, 256, ((rows + 1) // 2, stride), np.uint8)
    data = luma.tobytes() + chroma.tobytes()
    frame = frame_of(
        PixelFormat.NV12, data, columns, rows, bytes_per_line=stride, matrix=Matrix.BT709
    )
    found = to_rgb(frame).astype(int)
    for row, column in [(0, 0), (1, 1), (rows - 1, columns - 1), (rows // 2, 7)]:
        cb, cr = chroma[row // 2, column // 2 * 2 : column // 2 * 2 + 2]
        wanted = exact(int(luma[row, column]), int(cb), int(cr), Matrix.BT709, full_range=False)
        assert np.abs(found[row, column] - np.array(wanted)).max() <= 1


def test_rgb_and_bgr_are_only_ordered() -> None:
    pixels = RANDOM.integers(0, 256, (3, 4, 3), np.uint8)
    assert (to_rgb(frame_of(PixelFormat.RGB24, pixels.tobytes(), 4, 3)) == pixels).all()
    turned = frame_of(PixelFormat.BGR24, pixels[..., ::-1].tobytes(), 4, 3)
    assert (to_rgb(turned) == pixels).all()


def test_sixteen_bits_stay_sixteen_bits() -> None:
    pixels = RANDOM.integers(0, 65536, (3, 4), np.uint16)
    found = to_grey(frame_of(PixelFormat.Y16, pixels.astype("<u2").tobytes(), 4, 3))
    assert found.dtype == np.uint16
    assert (found == pixels).all()


@pytest.mark.parametrize("kind", [PixelFormat.UYVY, PixelFormat.NV12, PixelFormat.GREY])
def test_a_frame_cut_short_is_no_picture(kind: PixelFormat) -> None:
    with pytest.raises(Misshapen, match="expected"):
        to_rgb(frame_of(kind, bytes(7), 4, 4, matrix=Matrix.BT601))
