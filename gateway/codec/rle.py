"""RLE Lossless frames: byte planes of PackBits.

Takes      one frame as it lies in its fragment
Gives      the frame as an array, as `cells.from_raw` would
Holds      Undecodable: wrong number of segments, a run past the end, too few or too many bytes

Nothing is produced beyond the size of the geometry, whatever the runs say.

References: PS3.5 Annex G (G.3 algorithm, G.4 byte planes, G.5 header).
"""

import itertools
import struct

import numpy as np

from gateway.codec.cells import Cells, cell_dtype, shape
from gateway.codec.errors import Undecodable
from gateway.codec.frames import Geometry

HEADER = struct.Struct("<16I")


def decode(frame: bytes, geometry: Geometry) -> Cells:
    """Return the pixel cells of one RLE frame, little endian, colour-by-pixel.

    Raises
    ------
    Undecodable
        The frame is not exactly what its geometry asks for.
    """
    pixels = geometry.rows * geometry.columns
    planes = [np.frombuffer(unpack(part, pixels), np.uint8) for part in _segments(frame, geometry)]
    cells = np.empty((pixels, geometry.samples, geometry.cell_bytes), np.uint8)
    for number, plane in enumerate(planes):
        sample, significance = divmod(number, geometry.cell_bytes)
        # The most significant plane comes first (G.2); a little endian cell ends with it.
        cells[:, sample, geometry.cell_bytes - 1 - significance] = plane
    return cells.reshape(-1).view(cell_dtype(geometry)).reshape(shape(geometry))


def unpack(segment: bytes, expected: int) -> bytes:
    """Return `expected` bytes unpacked from one PackBits segment (PS3.5 G.3.2).

    Raises
    ------
    Undecodable
        The segment ends early, a run goes beyond `expected`, or more than padding follows.
    """
    plane = bytearray()
    at = 0
    while len(plane) < expected:
        at += _unpack_run(segment, at, plane)
    if len(plane) != expected:
        raise Undecodable("an RLE run goes beyond the frame")
    if segment[at:].strip(b"\0\x80"):
        raise Undecodable("an RLE segment goes on behind the frame")
    return bytes(plane)


def _unpack_run(segment: bytes, at: int, plane: bytearray) -> int:
    """Append the run at `at` to `plane` and return how many bytes of the segment it took."""
    control = segment[at] if at < len(segment) else 128
    if control == 128:
        if at >= len(segment):
            raise Undecodable("an RLE segment ends before the frame does")
        return 1
    taken = control + 2 if control < 128 else 2
    if at + taken > len(segment):
        raise Undecodable("an RLE segment ends within a run")
    run = segment[at + 1 : at + taken]
    plane += run if control < 128 else run * (257 - control)
    return taken


def _segments(frame: bytes, geometry: Geometry) -> list[bytes]:
    """Return the segments that the header names, which must be as many as there are planes."""
    if len(frame) < HEADER.size:
        raise Undecodable("an RLE frame shorter than its header")
    count, *offsets = HEADER.unpack_from(frame)
    if count != geometry.samples * geometry.cell_bytes:
        raise Undecodable(
            f"{count} RLE segments for {geometry.samples * geometry.cell_bytes} planes"
        )
    edges = list(itertools.pairwise([*offsets[:count], len(frame)]))
    if offsets[0] != HEADER.size or any(begin > end for begin, end in edges):
        raise Undecodable("the offsets of the RLE segments do not ascend within the frame")
    return [frame[begin:end] for begin, end in edges]
