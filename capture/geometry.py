"""geometry: crop, masks and square pixels, and where everything went.

Takes      a picture of the device, and what is to become of it
Gives      the picture, and the places and distances of the device's picture in the new one
Holds      nothing

The order is fixed: masks (in the device's picture), crop, resampling to square pixels. A region
that was calibrated on the device's picture follows by `place` and `spacing`: who crops and does not
shift the region measures wrong.

Resampling only ever enlarges: no line that the device measured is thrown away.

References: PS3.3 C.7.6.3.1.7 (0028,0034), C.8.5.5 (regions).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture: pixels from `left` and `top` on."""

    left: int
    top: int
    columns: int
    rows: int

    def meets(self, other: "Box") -> "Box | None":
        """Return what both share; None where that is nothing."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.columns, other.left + other.columns)
        bottom = min(self.top + self.rows, other.top + other.rows)
        return Box(left, top, right - left, bottom - top) if left < right and top < bottom else None


class Outside(Exception):
    """A crop or a mask does not lie in the picture; `args[0]` says which."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What becomes of each picture of one source."""

    columns: int  #: of the device's picture
    rows: int
    crop: Box | None = None
    masks: tuple[Box, ...] = ()  #: made black: burnt-in names
    pixel_aspect: tuple[int, int] = (1, 1)  #: vertical, horizontal, of the device's pixels
    squares: bool = True  #: resample to square pixels

    def __post_init__(self) -> None:
        whole = Box(0, 0, self.columns, self.rows)
        for name, box in [("crop", self.crop), *(("mask", one) for one in self.masks)]:
            if box and box.meets(whole) != box:
                raise Outside(f"{name} {box} of {self.columns} x {self.rows}")

    @property
    def kept(self) -> Box:
        """The part of the device's picture that stays."""
        return self.crop or Box(0, 0, self.columns, self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the new picture."""
        kept, (vertical, horizontal) = self.kept, self.pixel_aspect
        if not self.squares or vertical == horizontal:
            return kept.rows, kept.columns
        if horizontal > vertical:
            return kept.rows, _even(kept.columns * horizontal / vertical)
        return _even(kept.rows * vertical / horizontal), kept.columns

    @property
    def result_aspect(self) -> tuple[int, int]:
        """The pixel aspect of the new picture: vertical, horizontal."""
        return (1, 1) if self.squares else self.pixel_aspect

    def apply(self, picture: Bytes) -> Bytes:
        """Return the new picture; (rows, columns) or (rows, columns, samples), C-contiguous."""
        if self.masks:
            picture = picture.copy()
            for box in self.masks:
                picture[box.top : box.top + box.rows, box.left : box.left + box.columns] = 0
        kept, (rows, columns) = self.kept, self.size
        part = picture[kept.top : kept.top + kept.rows, kept.left : kept.left + kept.columns]
        if columns != kept.columns:
            part = resampled(part, columns, axis=1)
        if rows != kept.rows:
            part = resampled(part, rows, axis=0)
        return np.ascontiguousarray(part)

    def place(self, box: Box) -> Box | None:
        """Return where a box of the device's picture lies in the new one; None: cropped off."""
        inside = box.meets(self.kept)
        if inside is None:
            return None
        across, down = self._scales()
        left, top = (inside.left - self.kept.left) * across, (inside.top - self.kept.top) * down
        right, bottom = left + inside.columns * across, top + inside.rows * down
        near_left, near_top = round(left), round(top)
        return Box(near_left, near_top, round(right) - near_left, round(bottom) - near_top)

    def spacing(self, across: float, down: float) -> tuple[float, float]:
        """Return the distance between pixels of the new picture, from that of the device's."""
        scale_across, scale_down = self._scales()
        return across / scale_across, down / scale_down

    def _scales(self) -> tuple[float, float]:
        rows, columns = self.size
        return columns / self.kept.columns, rows / self.kept.rows


def resampled(picture: Bytes, count: int, *, axis: int) -> Bytes:
    """Return the picture with `count` columns (axis 1) or rows (axis 0), by cubic interpolation.

    A sample's place is its middle; at the borders the outermost samples are repeated.
    """
    places, weights = _taps(picture.shape[axis], count)
    shape = [1] * picture.ndim
    shape[axis] = count
    total = np.zeros(_with(picture.shape, axis, count), np.float32)
    for tap in range(4):
        total += np.take(picture, places[tap], axis=axis) * weights[tap].reshape(shape)
    return np.clip(np.rint(total), 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def _taps(before: int, after: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for each new sample the four old ones it is made of, and their weights (sum 1)."""
    at = (np.arange(after) + 0.5) * before / after - 0.5
    first = np.floor(at).astype(np.intp)
    t = at - first
    # Catmull-Rom: passes through the old samples, and is exact for straight lines.
    weights = np.stack(
        [
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ]
    )
    places = np.clip(np.stack([first - 1, first, first + 1, first + 2]), 0, before - 1)
    return places, weights.astype(np.float32)


def _with(shape: Sequence[int], axis: int, count: int) -> tuple[int, ...]:
    return tuple(count if one == axis else size for one, size in enumerate(shape))


def _even(value: float) -> int:
    """Return the nearest even number: H.264 and 4:2:2 need even sizes."""
    return 2 * round(value / 2)
