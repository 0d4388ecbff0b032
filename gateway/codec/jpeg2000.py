"""JPEG 2000 in and out with OpenJPEG, and the proof that lossless was lossless.

Takes      the cells of one frame; or one reversible codestream and what its data set says of it
Gives      a codestream whose decoding was compared cell by cell, or measured where content was to
           be lost; or the cells. High-Throughput codestreams are decoded as well
Holds      CodestreamMismatch, UnusedBits, Undecodable, Unencodable, TooLossy

The encoder ends a process when two threads are in it, and holds the interpreter's lock: it is
called only in a codec child, by its one thread.

References: ISO/IEC 15444-1, 15444-15; PS3.5 A.4.4, 8.2.4.
"""

import math

import numpy as np
from openjpeg.utils import decode as openjpeg_decode
from openjpeg.utils import encode_array

from gateway.codec import codestream as j2k
from gateway.codec.cells import Cells, cell_dtype, refuse_unused_bits, shape
from gateway.codec.errors import CodestreamMismatch, TooLossy, Undecodable, Unencodable
from gateway.codec.frames import Geometry

#: The binding always asks for five decompositions, and OpenJPEG refuses them on less than 2**5.
SIDE_LEAST = 32
_UNSPECIFIED, _SRGB = 0, 1
#: Less like the frame than this, and what was seen may be gone: no such image leaves the box.
LIKENESS_LEAST_DB = 30.0
LIKENESS_MOST_DB = 999.0  #: of equal frames; infinity is no number for a report
_ROWS = 64  #: measured at once


def encode(cells: Cells, geometry: Geometry) -> bytes:
    """Return one frame as a reversible codestream, without JP2 boxes, proved by decoding it.

    Parameters
    ----------
    cells
        As `cells.from_raw` gives them: C-contiguous, (rows, columns[, samples]).

    Raises
    ------
    CodestreamMismatch
        Decoding does not give back `cells`.
    UnusedBits
        A cell holds more than Bits Stored.
    Unencodable
        A side is shorter than 32 pixels, or the encoder failed.
    """
    encoded = _encode(cells, geometry, None)
    if not np.array_equal(decode(encoded, geometry), cells):
        raise CodestreamMismatch("the decoded frame differs from the stored one")
    return encoded


def encode_lossy(cells: Cells, geometry: Geometry, ratio: float) -> tuple[bytes, float]:
    """Return one frame as an irreversible codestream, and its likeness in dB once decoded.

    Raises as `encode`, and TooLossy below `LIKENESS_LEAST_DB`.
    """
    encoded = _encode(cells, geometry, [ratio])
    decoded = _decoded(encoded, geometry, reversible=False)
    likeness = likeness_db(cells, decoded)
    if likeness < LIKENESS_LEAST_DB:
        raise TooLossy(f"{likeness:.1f} dB at ratio {ratio:g}, {LIKENESS_LEAST_DB:g} least")
    return encoded, likeness


def likeness_db(one: Cells, other: Cells) -> float:
    """Return the peak signal-to-noise ratio of two frames, by the range that `one` makes use of.

    Bits Stored would flatter a picture of 12 bits in 16.
    """
    total = 0.0
    for at in range(0, len(one), _ROWS):
        part, like = one[at : at + _ROWS].astype("f8"), other[at : at + _ROWS]
        total += float(np.square(part - like).sum())
    if not total:
        return LIKENESS_MOST_DB
    peak = max(1, int(one.max()) - int(one.min()))
    return min(LIKENESS_MOST_DB, 10 * math.log10(peak * peak * one.size / total))


def _encode(cells: Cells, geometry: Geometry, ratios: list[float] | None) -> bytes:
    refuse_unused_bits(cells, geometry)
    if min(geometry.rows, geometry.columns) < SIDE_LEAST:
        raise Unencodable(f"a side is shorter than {SIDE_LEAST} pixels")
    # Without bits_stored the binding takes the fewest bits that hold this frame's values: a dark
    # frame would become a 6-bit codestream.  The transform needs colour space 1 to be looked at.
    transform = bool(geometry.colour_transform)
    try:
        return bytes(
            encode_array(
                cells,
                bits_stored=geometry.bits_stored,
                photometric_interpretation=_SRGB if transform else _UNSPECIFIED,
                use_mct=transform,
                compression_ratios=ratios,
                codec_format=0,
            )
        )
    except RuntimeError as error:
        raise Unencodable(str(error)) from error


def decode(encoded: bytes, geometry: Geometry) -> Cells:
    """Return the cells of one codestream, in the cell size of `geometry`.

    Raises
    ------
    Undecodable
        The codestream is broken, not reversible, or does not agree with `geometry`.
    """
    return _decoded(encoded, geometry, reversible=True)


def _decoded(encoded: bytes, geometry: Geometry, *, reversible: bool) -> Cells:
    _refuse_disagreement(j2k.read_header(encoded), geometry, reversible=reversible)
    if not j2k.is_complete(encoded):
        raise Undecodable("the codestream does not end with EOC")
    try:
        cells = openjpeg_decode(encoded, j2k_format=0)
    except RuntimeError as error:
        raise Undecodable(str(error)) from error
    return np.ascontiguousarray(cells.reshape(shape(geometry)), cell_dtype(geometry))


def _refuse_disagreement(header: j2k.Header, geometry: Geometry, *, reversible: bool) -> None:
    said = (header.rows, header.columns, header.samples, header.bits, header.signed)
    asked = (
        geometry.rows,
        geometry.columns,
        geometry.samples,
        geometry.bits_stored,
        geometry.signed,
    )
    if said != asked:
        raise Undecodable(f"the codestream says {said}, the data set {asked}")
    if header.reversible is not reversible:
        raise Undecodable(f"the codestream is {'not ' if reversible else ''}reversible")
    if geometry.colour_transform not in (None, header.colour_transform):
        raise Undecodable("colour transform and Photometric Interpretation do not agree")
