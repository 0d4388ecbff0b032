"""The main header of a JPEG 2000 codestream, read without any decoder.

Takes      one codestream as it lies in a DICOM fragment: no JP2 boxes
Gives      its size, precision, sign and transforms, so that they can be compared with the data set
Holds      Undecodable: not a codestream, a header that runs past its end, sub-sampled components

A few bytes here may ask for gigabytes there: this is read before a decoder sees the data.

References: ISO/IEC 15444-1 Annex A (A.4.1 SOC, A.5.1 SIZ, A.6.1 COD, A.6.2 COC); PS3.5 A.4.4.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.codec.errors import Undecodable

SOC_SIZ = b"\xff\x4f\xff\x51"
EOC = b"\xff\xd9"
SIZ, COD, COC, SOT = 0xFF51, 0xFF52, 0xFF53, 0xFF90

#: Transformation of SPcod and SPcoc, ISO/IEC 15444-1 Table A.20
REVERSIBLE_5_3 = 1

Segments = list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Header:
    """What a codestream says of itself."""

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool
    reversible: bool
    colour_transform: bool


def read_header(codestream: bytes) -> Header:
    """Return what the main header says.

    Raises
    ------
    Undecodable
        The bytes are no codestream, end within the header, or their components differ in shape.
    """
    if not codestream.startswith(SOC_SIZ):
        raise Undecodable("the frame does not begin with SOC and SIZ")
    try:
        return _header(list(_segments(codestream)))
    except (struct.error, IndexError) as error:
        raise Undecodable("the codestream ends within its main header") from error


def is_complete(codestream: bytes) -> bool:
    """True when the codestream ends with EOC, one byte of padding at most behind it.

    The padding is zero by PS3.5 A.4, and 0xFF from some encoders.
    """
    return EOC in (codestream[-2:], codestream[-3:-1])


def _header(segments: Segments) -> Header:
    columns, rows, samples, depth = _size(segments[0][1])
    coding = next((body for marker, body in segments if marker == COD), None)
    if coding is None:
        raise Undecodable("the codestream has no COD")
    return Header(
        rows=rows,
        columns=columns,
        samples=samples,
        bits=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        reversible=all(kind == REVERSIBLE_5_3 for kind in _wavelets(segments, samples)),
        colour_transform=coding[4] != 0,
    )


def _segments(codestream: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, body) of the main header, up to the first tile-part."""
    at = len(SOC_SIZ) - 2
    while True:
        marker, length = struct.unpack_from(">HH", codestream, at)
        if marker == SOT:
            return
        if marker < 0xFF00 or length < 2:
            raise Undecodable(f"no marker segment at {at}")
        yield marker, codestream[at + 4 : at + 2 + length]
        at += 2 + length


def _size(siz: bytes) -> tuple[int, int, int, int]:
    """Return columns, rows, components and the one depth that all components share."""
    _, right, bottom, left, top = struct.unpack_from(">HIIII", siz)
    (samples,) = struct.unpack_from(">H", siz, 34)
    if (left, top) != (0, 0):
        raise Undecodable("the image does not begin at the grid's origin")
    components = {siz[at : at + 3] for at in range(36, 36 + 3 * samples, 3)}
    if samples == 0 or len(siz) != 36 + 3 * samples:
        raise Undecodable("SIZ has not the length of its components")
    if len(components) != 1:
        raise Undecodable("the components differ in depth or sampling")
    depth, across, down = components.pop()
    if (across, down) != (1, 1):
        raise Undecodable("the components are sub-sampled")
    return right, bottom, samples, depth


def _wavelets(segments: Segments, samples: int) -> Iterator[int]:
    """Yield the transformation that each COD and COC names."""
    for marker, body in segments:
        if marker == COD:
            yield body[9]
        elif marker == COC:
            yield body[(1 if samples < 257 else 2) + 5]
