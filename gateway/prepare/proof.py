"""proof: a rendition read back from where it was written, its pixels compared.

Takes      the data set that came and the rendition made of it, both as they lie on disk
Gives      nothing: silence is the proof
Holds      AsReceived("pixels-differ"), and what `open_data_set` holds

Both sides are decoded anew, frame by frame, from their files: what was damaged while it was
decoded, written or stored is found. Native pixels on both sides are compared as values, in every
depth and number of bits.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from gateway.codec.frames import Geometry
from gateway.codec.pool import Codec
from gateway.dicom.vr import PIXEL_DATA, WORD_BYTES
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSet, DataSetAt, open_data_set
from gateway.prepare.pixels import (
    DOUBLE_FLOAT_PIXEL_DATA,
    FLOAT_PIXEL_DATA,
    YBR_RCT,
    Pixels,
)

PIXEL_TAGS = (PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_FLOAT_PIXEL_DATA)
CHUNK_BYTES = 1 << 16  #: a multiple of every word


def prove(received: DataSetAt, rendition: DataSetAt, codec: Codec) -> None:
    """Compare every pixel of `rendition` with `received`.

    Raises
    ------
    AsReceived
        pixels-differ: one pixel, a dimension, a number of bits or a colour model is another.
    Malformed, OSError, CodecClosed
        As `open_data_set` and `Codec.decode`.
    """
    with open_data_set(received) as before, open_data_set(rendition) as after:
        if not (before.syntax.encapsulated or after.syntax.encapsulated):
            _compare_values(before, after)
        elif before.attributes.has(PIXEL_DATA) or after.attributes.has(PIXEL_DATA):
            _compare_frames(before.pixels(), after.pixels(), codec)


def _compare_frames(before: Pixels, after: Pixels, codec: Codec) -> None:
    if meaning_of(before) != meaning_of(after):
        raise AsReceived("pixels-differ", "other dimensions, bits or colour model")
    decoded = zip(
        codec.decode(before.frames(), before.geometry),
        codec.decode(after.frames(), after.geometry),
        strict=True,
    )
    for number, (was, now) in enumerate(decoded, 1):
        if was != now:
            raise AsReceived("pixels-differ", f"frame {number}")


def meaning_of(pixels: Pixels) -> tuple[Geometry, str, int]:
    """Return what must stay the same: not the order in which a frame lies in its file.

    YBR_RCT is RGB that the decoder gives back (PS3.3 C.7.6.3.1.2).
    """
    decoded = dataclasses.replace(
        pixels.geometry, planar=False, swapped=False, colour_transform=False
    )
    photometric = pixels.photometric_interpretation
    return decoded, "RGB" if photometric == YBR_RCT else photometric, len(pixels.places)


def _compare_values(before: DataSet, after: DataSet) -> None:
    for tag in PIXEL_TAGS:
        values = itertools.zip_longest(_value(before, tag), _value(after, tag))
        if any(was != now for was, now in values):
            raise AsReceived("pixels-differ", f"{tag:08X}")


def _value(data_set: DataSet, tag: int) -> Iterator[bytes]:
    """Yield a native value in little endian, in chunks; nothing where there is none."""
    if not data_set.attributes.has(tag):
        return
    element = data_set.attributes.elements[tag]
    word_bytes = 1 if data_set.syntax.little else WORD_BYTES.get(element.vr, 1)
    for at in range(0, element.length, CHUNK_BYTES):
        chunk = data_set.source.read(element.value + at, min(CHUNK_BYTES, element.length - at))
        yield np.frombuffer(chunk, f">u{word_bytes}").astype(f"<u{word_bytes}").tobytes()
