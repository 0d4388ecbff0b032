"""convert: a frame's bytes as pixels, exact to the standard's matrix.

Takes      a `Frame` whose bytes are not compressed
Gives      (rows, columns, 3) RGB or (rows, columns) grey, C-contiguous; nothing is scaled
Raises     `Misshapen`: fewer bytes than the form says

R, G and B are within 1 grey level of exact arithmetic (16 fractional bits; only what lies on a
rounding border differs). Chroma of 4:2:2 and 4:2:0 is repeated, not interpolated: what the device
did not measure is not invented. Values beyond the legal range are clipped after the matrix.

A block of rows at a time: what is worked on stays in the processor's cache.

References: ITU-R BT.601-7 2.5, BT.709-6 3; linux documentation, userspace-api/media/v4l/pixfmt-*.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from capture.frame import Form, Frame, Matrix, PixelFormat

Bytes = NDArray[np.uint8]
Numbers = NDArray[np.int32]

#: Kr and Kb of ITU-R BT.601-7 2.5.1 and BT.709-6 3.2.
WEIGHTS = {
    Matrix.BT601: (Fraction(299, 1000), Fraction(114, 1000)),
    Matrix.BT709: (Fraction(2126, 10000), Fraction(722, 10000)),
}
FRACTION_BITS = 16
#: So many pixels are worked on at a time: 32 bits of each fit a second-level cache.
BLOCK_PIXELS = 1 << 15


class Misshapen(Exception):
    """The frame has not as many bytes as its form says."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """One matrix and range, exact: R = y * (Y - black) + cr_r * (Cr - 128) and so on."""

    black: int  #: the Y of black
    y: Fraction
    cr_r: Fraction
    cb_g: Fraction
    cr_g: Fraction
    cb_b: Fraction


@cache
def coefficients(matrix: Matrix, *, full_range: bool) -> Coefficients:
    """Return what turns Y, Cb, Cr into R, G, B from 0 to 255."""
    red, blue = WEIGHTS[matrix]
    green = 1 - red - blue
    black, luma, chroma = (0, 255, 255) if full_range else (16, 219, 224)
    spread = Fraction(255, chroma)
    return Coefficients(
        black,
        Fraction(255, luma),
        2 * (1 - red) * spread,
        -2 * blue * (1 - blue) / green * spread,
        -2 * red * (1 - red) / green * spread,
        2 * (1 - blue) * spread,
    )


def to_rgb(frame: Frame) -> Bytes:
    """Return (rows, columns, 3) uint8 of a colour frame; grey is repeated in all three.

    Raises
    ------
    Misshapen, ValueError (a format that is not pixels)
    """
    form, kind = frame.form, frame.form.pixel_format
    if kind in (PixelFormat.RGB24, PixelFormat.BGR24):
        pixels = lines(frame, form.columns * 3).reshape(form.rows, form.columns, 3)
        return np.ascontiguousarray(pixels if kind is PixelFormat.RGB24 else pixels[..., ::-1])
    if kind is PixelFormat.GREY:
        return np.repeat(lines(frame, form.columns)[..., None], 3, axis=2)
    out = np.empty((form.rows, form.columns, 3), np.uint8)
    for start, luma, cb, cr in _components(frame):
        _transform(luma, cb, cr, form, out[start : start + len(luma)])
    return out


def to_grey(frame: Frame) -> Bytes | NDArray[np.uint16]:
    """Return (rows, columns) uint8 or, of Y16, uint16: the samples as they came.

    Of a colour frame it is Y, in the range of the device: for looking, not for keeping.
    """
    form, kind = frame.form, frame.form.pixel_format
    if kind is PixelFormat.Y16:
        return np.ascontiguousarray(lines(frame, form.columns * 2)).view("<u2")
    if kind is PixelFormat.GREY:
        return np.ascontiguousarray(lines(frame, form.columns))
    if kind in (PixelFormat.RGB24, PixelFormat.BGR24):
        return np.ascontiguousarray(to_rgb(frame)[..., 1])  # green carries most of it
    return np.concatenate([luma for _, luma, _, _ in _components(frame)])


def lines(frame: Frame, line_bytes: int) -> Bytes:
    """Return the frame's first plane as (rows, line_bytes), without the padding of its lines."""
    form = frame.form
    stride = max(form.bytes_per_line, line_bytes)
    needed = stride * (form.rows - 1) + line_bytes
    if len(frame.data) < needed:
        raise Misshapen(f"{len(frame.data)} bytes, {needed} expected")
    flat = np.frombuffer(frame.data, np.uint8)
    return np.lib.stride_tricks.as_strided(flat, (form.rows, line_bytes), (stride, 1))


def _components(frame: Frame) -> Iterator[tuple[int, Bytes, Bytes, Bytes]]:
    """Give blocks of rows as (first row, Y, Cb, Cr); Cb and Cr once for two columns."""
    form = frame.form
    step = max(2, BLOCK_PIXELS // form.columns & ~1)
    if form.pixel_format is PixelFormat.NV12:
        luma, chroma = lines(frame, form.columns), _second_plane(frame)
        for start in range(0, form.rows, step):
            rows = luma[start : start + step]
            half = np.repeat(chroma[start // 2 : (start + step + 1) // 2], 2, axis=0)[: len(rows)]
            yield start, rows, half[..., 0], half[..., 1]
        return
    first, places = _PACKED[form.pixel_format]
    pairs = lines(frame, form.columns * 2).reshape(form.rows, form.columns // 2, 4)
    for start in range(0, form.rows, step):
        block = pairs[start : start + step]
        luma = block[..., first::2].reshape(len(block), form.columns)
        yield start, luma, block[..., places[0]], block[..., places[1]]


#: Where a pair of pixels has its first Y, and its Cb and Cr.
_PACKED = {PixelFormat.YUYV: (0, (1, 3)), PixelFormat.UYVY: (1, (0, 2))}


def _second_plane(frame: Frame) -> Bytes:
    """Return the Cb and Cr of NV12 as (rows / 2, columns / 2, 2)."""
    form = frame.form
    stride, half = max(form.bytes_per_line, form.columns), (form.rows + 1) // 2
    needed = stride * form.rows + stride * (half - 1) + form.columns
    if len(frame.data) < needed:
        raise Misshapen(f"{len(frame.data)} bytes, {needed} expected")
    flat = np.frombuffer(frame.data, np.uint8, offset=stride * form.rows)
    plane = np.lib.stride_tricks.as_strided(flat, (half, form.columns), (stride, 1))
    return plane.reshape(half, form.columns // 2, 2)


def _transform(luma: Bytes, cb: Bytes, cr: Bytes, form: Form, out: Bytes) -> None:
    """Write R, G, B of a block to `out`."""
    by = coefficients(form.matrix, full_range=form.full_range)
    y = luma.astype(np.int32)
    y -= by.black
    y *= _fixed(by.y)
    y += 1 << FRACTION_BITS - 1
    u, v = cb.astype(np.int32) - 128, cr.astype(np.int32) - 128
    shifts = (v * _fixed(by.cr_r), u * _fixed(by.cb_g) + v * _fixed(by.cr_g), u * _fixed(by.cb_b))
    pairs = y.reshape(len(y), -1, 2)
    for sample, shift in enumerate(shifts):
        value = pairs + shift[..., None]
        value >>= FRACTION_BITS
        np.clip(value, 0, 255, out=value)
        out[..., sample] = value.reshape(y.shape)


def _fixed(value: Fraction) -> np.int32:
    return np.int32(round(value * (1 << FRACTION_BITS)))
