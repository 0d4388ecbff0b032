"""deinterlace: one picture out of two fields that were taken at two moments.

Takes      (rows, columns) or (rows, columns, samples) uint8 pixels, lines as the device gave them
Gives      pictures of the same shape
Holds      nothing

    weave     both fields as they are: no line is invented, what moves has combs
    bob       two pictures, each from one field: its lines are kept, those between are interpolated
    blend     each line with its neighbours, 1:2:1: no combs, what moves shows twice
    adaptive  weave where nothing moved since the picture before, one field's lines elsewhere

What is kept of a field is kept to the bit; only lines between are made.

References: linux documentation, userspace-api/media/v4l/field-order.rst; ITU-R BT.601-7.
"""

import enum

import numpy as np
from numpy.typing import NDArray

from capture.videodev2 import Field

Bytes = NDArray[np.uint8]

#: A line that differs by more between two pictures has moved: noise of a grabber stays below it.
MOVED_LEVELS = 12


class Deinterlace(enum.StrEnum):
    """How pictures are made of fields."""

    WEAVE = "weave"
    BOB = "bob"
    BLEND = "blend"
    ADAPTIVE = "adaptive"


def woven(pixels: Bytes, field: Field) -> Bytes:
    """Return the lines in the order of the picture; those of one field after the other are mixed.

    Raises
    ------
    ValueError
        The buffer holds one field only: see `paired`.
    """
    if field in (Field.NONE, Field.INTERLACED, Field.INTERLACED_TB, Field.INTERLACED_BT):
        return pixels
    if field not in (Field.SEQ_TB, Field.SEQ_BT):
        raise ValueError(f"{field.name} is no whole picture")
    half = len(pixels) // 2
    top, bottom = pixels[:half], pixels[half : 2 * half]
    return paired(top, bottom) if field is Field.SEQ_TB else paired(bottom, top)


def paired(top: Bytes, bottom: Bytes) -> Bytes:
    """Return the picture of two fields: the top one has its first line."""
    out = np.empty((len(top) + len(bottom), *top.shape[1:]), top.dtype)
    out[0::2], out[1::2] = top, bottom
    return out


def is_top_first(field: Field, *, lines: int) -> bool:
    """Tell which field is the older one; INTERLACED is bottom first for 525 lines, else top."""
    if field in (Field.INTERLACED_BT, Field.SEQ_BT):
        return False
    return not (field in (Field.INTERLACED, Field.ALTERNATE) and lines in (480, 486))


def bob(picture: Bytes, *, top_first: bool) -> tuple[Bytes, Bytes]:
    """Return the two moments, the older first."""
    top, bottom = _between(picture, keeps=0), _between(picture, keeps=1)
    return (top, bottom) if top_first else (bottom, top)


def blend(picture: Bytes) -> Bytes:
    """Return each line with its neighbours, 1:2:1; the outermost ones have one neighbour twice."""
    wide = picture.astype(np.uint16)
    above = np.concatenate([wide[1:2], wide[:-1]])
    below = np.concatenate([wide[1:], wide[-2:-1]])
    mean: Bytes = ((above + 2 * wide + below + 2) >> 2).astype(np.uint8)
    return mean


def adaptive(picture: Bytes, before: Bytes | None, *, top_first: bool) -> Bytes:
    """Return the picture at the moment of its later field: still parts woven, moving ones made.

    Parameters
    ----------
    before
        The woven picture before this one, of the same shape; None: everything counts as moved.
    """
    keeps = 1 if top_first else 0
    made = _between(picture, keeps=keeps)
    if before is None or before.shape != picture.shape:
        return made
    moved = _moved(picture, before)
    out = picture.copy()
    lines = slice(1 - keeps, None, 2)
    out[lines] = np.where(moved[lines], made[lines], picture[lines])
    return out


def _moved(picture: Bytes, before: Bytes) -> NDArray[np.bool_]:
    """Tell for each pixel whether it or a line beside it differs from the picture before."""
    apart = np.abs(picture.astype(np.int16) - before)
    if apart.ndim == 3:
        apart = apart.max(axis=2)
    moved: NDArray[np.bool_] = apart > MOVED_LEVELS
    near = moved.copy()
    near[1:] |= moved[:-1]
    near[:-1] |= moved[1:]
    return near if picture.ndim == 2 else near[..., None]


def _between(picture: Bytes, *, keeps: int) -> Bytes:
    """Return the picture whose lines beside those from `keeps` on are made of their neighbours."""
    out = picture.copy()
    kept = picture[keeps::2].astype(np.uint16)
    mean = ((kept[:-1] + kept[1:] + 1) >> 1).astype(np.uint8)
    first = 1 - keeps
    if keeps == 0:
        out[1 : 1 + 2 * len(mean) : 2] = mean
        if len(picture) % 2 == 0:
            out[-1] = picture[-2]
    else:
        out[first] = picture[1]
        out[2 : 2 + 2 * len(mean) : 2] = mean
        if len(picture) % 2 == 1:
            out[-1] = picture[-2]
    return out
