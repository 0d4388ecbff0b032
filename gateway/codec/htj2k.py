"""High-Throughput JPEG 2000 Lossless with OpenJPH, proved with OpenJPEG.

Takes      the cells of one frame
Gives      a reversible codestream whose decoding, by another library, was compared cell by cell
Holds      NoHtj2k: the extra `htj2k` is not installed; CodestreamMismatch, UnusedBits, Unencodable

The binding knows no number of bits but that of a cell's type, and DICOM wants Bits Stored in the
codestream. A reversible codestream with fewer bits differs in two things only, the precision that
SIZ names and the level shift of unsigned samples (ISO/IEC 15444-1 A.5.1, G.1.2): so they are
shifted here, encoded as signed, and SIZ is written anew. What a decoder makes of it is compared.

References: ISO/IEC 15444-1, 15444-15; PS3.5 A.4.11.
"""

import numpy as np

from gateway.codec import jpeg2000
from gateway.codec.cells import Cells, refuse_unused_bits
from gateway.codec.errors import CodestreamMismatch, NoHtj2k, Unencodable
from gateway.codec.frames import Geometry

#: Ssiz of the first component, from the first byte of the codestream: SOC, then 38 bytes of SIZ
_FIRST_SSIZ = 42
_COMPONENT_BYTES = 3


def encode(cells: Cells, geometry: Geometry) -> bytes:
    """Return one frame as a reversible High-Throughput codestream, proved by decoding it.

    Raises
    ------
    NoHtj2k, CodestreamMismatch, UnusedBits, Unencodable
    """
    refuse_unused_bits(cells, geometry)
    encoded = _with_bits_stored(_encode(_shifted(cells, geometry), geometry), geometry)
    if not np.array_equal(jpeg2000.decode(encoded, geometry), cells):
        raise CodestreamMismatch("the decoded frame differs from the stored one")
    return encoded


def _is_full(geometry: Geometry) -> bool:
    return geometry.bits_stored == geometry.bits_allocated


def _shifted(cells: Cells, geometry: Geometry) -> Cells:
    if _is_full(geometry) or geometry.signed:
        return cells
    half = 1 << (geometry.bits_stored - 1)
    return (cells.astype("<i4") - half).astype(f"<i{geometry.cell_bytes}")


def _encode(cells: Cells, geometry: Geometry) -> bytes:
    try:
        from imagecodecs import Htj2kError, htj2k_encode
    except ImportError as error:
        raise NoHtj2k("extra htj2k") from error
    try:
        transform = bool(geometry.colour_transform)
        return bytes(htj2k_encode(cells, reversible=True, rgb=transform, planar=False))
    except (Htj2kError, ValueError) as error:
        raise Unencodable(type(error).__name__) from error


def _with_bits_stored(encoded: bytes, geometry: Geometry) -> bytes:
    if _is_full(geometry):
        return encoded
    written = bytearray(encoded)
    for component in range(geometry.samples):
        depth = (geometry.bits_stored - 1) | (0x80 if geometry.signed else 0)
        written[_FIRST_SSIZ + _COMPONENT_BYTES * component] = depth
    return bytes(written)
