"""Raw frames to arrays and back: byte order, planes, and what lies above Bits Stored.

Takes      the bytes of one raw frame and its `Geometry`
Gives      an array (rows, columns) or (rows, columns, samples), little endian, C-contiguous
Holds      Undecodable: not the length of the geometry. UnusedBits: more than Bits Stored is used

References: PS3.5 8.1.1 (pixel cells), 8.2 and Annex A (byte order); PS3.3 C.7.6.3.1.3 (planes).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.codec.errors import Undecodable, UnusedBits
from gateway.codec.frames import Geometry

Cells = NDArray[np.integer[Any]]


def cell_dtype(geometry: Geometry) -> np.dtype[Any]:
    """The little endian type of one pixel cell."""
    return np.dtype(f"<{'i' if geometry.signed else 'u'}{geometry.cell_bytes}")


def shape(geometry: Geometry) -> tuple[int, ...]:
    """(rows, columns), with samples when there are several."""
    whole = (geometry.rows, geometry.columns, geometry.samples)
    return whole if geometry.samples > 1 else whole[:2]


def from_raw(frame: bytes, geometry: Geometry) -> Cells:
    """Return the pixel cells of a raw frame, in little endian and colour-by-pixel.

    Raises
    ------
    Undecodable
        The frame has not the length that its geometry says.
    """
    # An odd number of 8-bit pixels in 16-bit words ends with half a word of padding.
    padding = geometry.frame_bytes % 2 if geometry.swapped else 0
    if len(frame) != geometry.frame_bytes + padding:
        raise Undecodable(f"{len(frame)} bytes for a frame of {geometry.frame_bytes}")
    if geometry.swapped:
        frame = np.frombuffer(frame, ">u2").astype("<u2").tobytes()[: geometry.frame_bytes]
    cells = np.frombuffer(frame, cell_dtype(geometry))
    if geometry.planar and geometry.samples > 1:
        planes = cells.reshape(geometry.samples, geometry.rows, geometry.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return cells.reshape(shape(geometry))


def refuse_unused_bits(cells: Cells, geometry: Geometry) -> None:
    """Check that every cell is a number of Bits Stored bits, sign-extended when signed.

    Raises
    ------
    UnusedBits
        Something else lies in the bits above: an overlay, a marker, a sign that was not extended.
    """
    if geometry.bits_stored == geometry.bits_allocated:
        return
    span = 1 << geometry.bits_stored
    lowest = -span // 2 if geometry.signed else 0
    if int(cells.min()) < lowest or int(cells.max()) >= lowest + span:
        raise UnusedBits(f"the pixel cells use more than {geometry.bits_stored} bits")
