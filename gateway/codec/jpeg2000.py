"""JPEG 2000 Lossless in and out with OpenJPEG, and the proof that it was lossless.

Takes      the cells of one frame; or one codestream and what its data set says of it
Gives      a codestream whose decoding was compared cell by cell; or the cells
Holds      CodestreamMismatch, UnusedBits, Undecodable, Unencodable

The encoder ends a process when two threads are in it, and holds the interpreter's lock: it is
called only in a codec child, by its one thread.

References: ISO/IEC 15444-1; PS3.5 A.4.4, 8.2.4.
"""

import numpy as np
from openjpeg.utils import decode as openjpeg_decode
from openjpeg.utils import encode_array

from gateway.codec import codestream as j2k
from gateway.codec.cells import Cells, cell_dtype, refuse_unused_bits, shape
from gateway.codec.errors import CodestreamMismatch, Undecodable, Unencodable
from gateway.codec.frames import Geometry

#: The binding always asks for five decompositions, and OpenJPEG refuses them on less than 2**5.
SIDE_LEAST = 32
_UNSPECIFIED, _SRGB = 0, 1


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
    refuse_unused_bits(cells, geometry)
    if min(geometry.rows, geometry.columns) < SIDE_LEAST:
        raise Unencodable(f"a side is shorter than {SIDE_LEAST} pixels")
    encoded = _encode(cells, geometry)
    if not np.array_equal(decode(encoded, geometry), cells):
        raise CodestreamMismatch("the decoded frame differs from the stored one")
    return encoded


def _encode(cells: Cells, geometry: Geometry) -> bytes:
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
    _refuse_disagreement(j2k.read_header(encoded), geometry)
    if not j2k.is_complete(encoded):
        raise Undecodable("the codestream does not end with EOC")
    try:
        cells = openjpeg_decode(encoded, j2k_format=0)
    except RuntimeError as error:
        raise Undecodable(str(error)) from error
    return np.ascontiguousarray(cells.reshape(shape(geometry)), cell_dtype(geometry))


def _refuse_disagreement(header: j2k.Header, geometry: Geometry) -> None:
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
    if not header.reversible:
        raise Undecodable("the codestream is not reversible")
    if geometry.colour_transform not in (None, header.colour_transform):
        raise Undecodable("colour transform and Photometric Interpretation do not agree")
