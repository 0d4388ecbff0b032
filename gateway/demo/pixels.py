"""The pixels of a data set, for comparison and for the eye.

Takes      a pydicom data set: uncompressed, RLE or JPEG 2000
Gives      its frames as one array; a small PNG or the JPEG itself as a `data:` address
Holds      `NoDecoder` for every other transfer syntax
"""

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

THUMBNAIL_COLUMNS = 200

Pixels = NDArray[np.generic]


class NoDecoder(Exception):
    """This program holds no decoder for the transfer syntax of the data set."""


def pixels(dataset: Dataset) -> Pixels:
    """Return every frame of `dataset` as stored, without any colour or grey-scale transform.

    The array is (frames, rows, columns, samples), colour-by-pixel. JPEG 2000 gives back the
    colours that went into its component transform, so YBR_RCT reads as RGB (PS3.5 8.2.4).

    Raises
    ------
    NoDecoder
        The transfer syntax is neither uncompressed, RLE Lossless nor JPEG 2000.
    ValueError, RuntimeError
        The pixel data cannot be decoded.
    """
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if syntax in (JPEG2000, JPEG2000Lossless):
        coded = generate_frames(dataset.PixelData, number_of_frames=frames)
        plain: Pixels = np.stack([decode(frame) for frame in coded])
    elif syntax == RLELossless or not syntax.is_compressed:
        plain = np.asarray(pixel_array(dataset, raw=True))
    else:
        raise NoDecoder(syntax.name)
    return plain.reshape(frames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)


def thumbnail(dataset: Dataset) -> str:
    """Return a small picture of the first frame as a `data:` address, "" where none can be made.

    JPEG Baseline goes out as it is: a browser decodes it, and this program does not.
    """
    if dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))
        return _data_address("image/jpeg", frame)
    try:
        return _data_address("image/png", png(_visible(dataset)))
    except NoDecoder:
        return ""


def png(picture: NDArray[np.uint8]) -> bytes:
    """Return `picture`, (rows, columns, 3) uint8 RGB, as a PNG file.

    References
    ----------
    PNG (ISO/IEC 15948) 5.3, 11.2: one IHDR, one IDAT with filter 0 on each row, one IEND.
    """
    rows, columns, _samples = picture.shape
    lines = b"".join(b"\0" + row.tobytes() for row in picture)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _data_address(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"


def _visible(dataset: Dataset) -> NDArray[np.uint8]:
    """Return the first frame as RGB, thinned to at most `THUMBNAIL_COLUMNS` columns."""
    frame = pixels(dataset)[0]
    step = -(-frame.shape[1] // THUMBNAIL_COLUMNS)
    frame = frame[::step, ::step]
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        frame = apply_color_lut(frame[..., 0], dataset)
    shown = _stretched(frame)
    return np.ascontiguousarray(np.broadcast_to(shown, (*shown.shape[:2], 3)))


def _stretched(frame: Pixels) -> NDArray[np.uint8]:
    """Return `frame` as bytes; more than 8 bits are stretched between least and greatest."""
    if frame.dtype == np.uint8:
        return frame.astype(np.uint8)
    wide = frame.astype(np.float64)
    span = float(np.ptp(wide)) or 1.0
    return np.asarray((wide - wide.min()) * (255.0 / span), dtype=np.uint8)
