"""renditions: a data set in another transfer syntax, with the same pixels.

Takes      where a data set lies, and the codec
Gives      `compress`: JPEG 2000 Lossless; `fallback`: Explicit or Implicit VR Little Endian
Holds      AsReceived, with the reason for history: the object goes as it came
Defers     OSError (no room, no file), CodecClosed (going down)

What changes, and nothing else: Pixel Data, Photometric Interpretation where the colour transform
is applied or undone, Planar Configuration of three samples to 0, the Extended Offset Table, group
lengths. Lossy Image Compression and its history stay: nothing is lost here.

Memory holds the frames on their way, never all of them: codestreams wait in a scratch file.

References: PS3.5 8.2.4, A.4, A.4.4; PS3.3 C.7.6.3.1.2, C.7.6.3.1.3, C.7.6.3.1.8.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from gateway.codec.pool import Codec
from gateway.dicom.rewrite import PixelData, rewrite
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    syntax_of,
)
from gateway.dicom.vr import PIXEL_DATA
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSet, DataSetAt, open_data_set
from gateway.prepare.encapsulation import NO_TABLES, Changes, items, offset_tables
from gateway.prepare.obstacles import (
    refuse_colour_of_class,
    refuse_embedded_overlay,
    refuse_encapsulated_icon,
)
from gateway.prepare.pixels import (
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    YBR_RCT,
    Pixels,
    coding_of,
)

Out = Callable[[bytes], object]

#: A defined length of 32 bits is even and not the undefined one (PS3.5 7.1.1)
LENGTH_MOST = 0xFFFFFFFE
FALLBACKS = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What made a rendition, for its row and for history."""

    transfer_syntax_uid: str
    frames: int = 0  #: 0: the pixels were copied as they are
    raw_bytes: int = 0  #: pixels, decoded
    coded_bytes: int = 0  #: pixels, as written

    def __str__(self) -> str:
        codec = f"pylibjpeg-openjpeg/{version('pylibjpeg-openjpeg')}" if self.frames else "none"
        sizes = f"raw_bytes={self.raw_bytes} coded_bytes={self.coded_bytes}"
        return f"codec={codec} frames={self.frames} {sizes}"


def compress(
    received: DataSetAt, codec: Codec, *, scratch_dir: str | os.PathLike[str], out: Out
) -> Recipe:
    """Write the data set as JPEG 2000 Lossless, 1.2.840.10008.1.2.4.90, to `out`.

    Every codestream was decoded in its child and compared with the stored pixels before the first
    byte goes to `out`; `proof.prove` reads back what lies on disk in the end.

    Parameters
    ----------
    scratch_dir
        Where the codestreams wait, in a file without a name: room for the compressed pixels.

    Raises
    ------
    AsReceived
        The pixels are none of ours to compress, the proof failed, a child died; `out` was given
        nothing.
    Malformed, OSError, EOFError, CodecClosed
    """
    with open_data_set(received) as data_set, tempfile.TemporaryFile(dir=scratch_dir) as scratch:
        pixels = _compressible(data_set)
        codestreams = codec.encode(pixels.frames(), pixels.geometry)
        lengths = [scratch.write(codestream) for codestream in codestreams]
        scratch.seek(0)
        table, tables = offset_tables(lengths)
        pixel_data = PixelData("OB", None, items(table, scratch, lengths))
        changes = _colour(pixels, transformed=YBR_RCT) | tables
        _write(data_set, out, JPEG_2000_LOSSLESS, changes, pixel_data)
        return Recipe(JPEG_2000_LOSSLESS, len(lengths), pixels.raw_bytes, sum(lengths))


def fallback(received: DataSetAt, target_uid: str, codec: Codec, *, out: Out) -> Recipe:
    """Write the data set in native form to `out`: pixels decoded, or copied when they are native.

    It counts only when the caller has read it back with `proof.prove`.

    Parameters
    ----------
    target_uid
        Explicit or Implicit VR Little Endian.

    Raises
    ------
    AsReceived
        no-fallback, undecodable, codec-died, over-budget, too-long, rewrite, and the reasons of
        `read_pixels`. `out` may have been given a part: it is to be thrown away.
    Malformed, OSError, EOFError, CodecClosed
    """
    if target_uid not in FALLBACKS:
        raise ValueError(f"{target_uid} is no fallback")
    with open_data_set(received) as data_set:
        if not (data_set.syntax.encapsulated and data_set.attributes.has(PIXEL_DATA)):
            _write(data_set, out, target_uid, {}, None)
            return Recipe(target_uid)
        pixels = _decodable(data_set)
        changes = _colour(pixels, transformed="RGB") | NO_TABLES
        _write(data_set, out, target_uid, changes, _native(pixels, target_uid, codec))
        return Recipe(target_uid, len(pixels.places), pixels.raw_bytes, pixels.raw_bytes)


def _compressible(data_set: DataSet) -> Pixels:
    if coding_of(data_set.syntax) == "jpeg2000":
        raise AsReceived("already-compressed", data_set.syntax.uid)
    pixels = data_set.pixels()
    if pixels.geometry.samples > 1 and pixels.geometry.signed:
        raise AsReceived("signed-colour")
    photometric = pixels.photometric_interpretation
    refuse_colour_of_class(data_set.attributes, photometric, pixels.coding)
    refuse_embedded_overlay(data_set.attributes)
    if data_set.syntax.encapsulated:
        refuse_encapsulated_icon(data_set.source, data_set.syntax, data_set.elements)
    return pixels


def _decodable(data_set: DataSet) -> Pixels:
    try:
        coding_of(data_set.syntax)
    except AsReceived as error:
        raise AsReceived("no-fallback", data_set.syntax.uid) from error
    pixels = data_set.pixels()
    if pixels.raw_bytes > LENGTH_MOST:
        raise AsReceived("too-long", str(pixels.raw_bytes))
    return pixels


def _colour(pixels: Pixels, *, transformed: str) -> Changes:
    """Return what becomes of the colour attributes; `transformed` is what RGB or YBR_RCT becomes.

    The codec gives and takes colour-by-pixel (PS3.3 C.7.6.3.1.3).
    """
    changes: Changes = {}
    if pixels.geometry.samples > 1:
        changes[PLANAR_CONFIGURATION] = ("US", b"\0\0")
    if pixels.photometric_interpretation in ("RGB", YBR_RCT):
        value = transformed.encode()
        changes[PHOTOMETRIC_INTERPRETATION] = ("CS", value + b" " * (len(value) % 2))
    return changes


def _native(pixels: Pixels, target_uid: str, codec: Codec) -> PixelData:
    """Return native Pixel Data that is decoded as it is written (PS3.5 A.1, A.2, 8.1.1)."""
    explicit_bytes = target_uid == EXPLICIT_VR_LITTLE_ENDIAN and pixels.geometry.bits_allocated == 8
    padding = pixels.raw_bytes % 2
    frames = codec.decode(pixels.frames(), pixels.geometry)
    chunks = _padded(frames, padding)
    return PixelData("OB" if explicit_bytes else "OW", pixels.raw_bytes + padding, chunks)


def _padded(frames: Iterator[bytes], padding: int) -> Iterator[bytes]:
    yield from frames
    yield bytes(padding)


def _write(
    data_set: DataSet, out: Out, uid: str, changes: Changes, pixel_data: PixelData | None
) -> None:
    rewrite(
        data_set.source,
        data_set.syntax,
        out,
        syntax_of(uid),
        changes=changes,
        pixel_data=pixel_data,
        elements=data_set.elements,
    )
