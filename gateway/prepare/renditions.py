"""renditions: a data set in another transfer syntax, with the same pixels.

Takes      where a data set lies, and the codec
Gives      `compress`: JPEG 2000 or High-Throughput JPEG 2000 Lossless; `fallback`: Explicit or
           Implicit VR Little Endian. With loss: `lossy`
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
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import BinaryIO, Literal

from gateway.codec.frames import Target
from gateway.codec.pool import Codec
from gateway.dicom.rewrite import PixelData, rewrite
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
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
_HTJ2K = (HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL)
#: Target syntax -> coding, whose encoder, and the syntaxes that are left as they are
LOSSLESS: dict[str, tuple[Literal["jpeg2000", "htj2k"], str, tuple[str, ...]]] = {
    JPEG_2000_LOSSLESS: ("jpeg2000", "pylibjpeg-openjpeg", (JPEG_2000_LOSSLESS, *_HTJ2K)),
    HTJ2K_LOSSLESS: ("htj2k", "imagecodecs", _HTJ2K),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """What made a rendition, for its row and for history."""

    transfer_syntax_uid: str
    frames: int = 0  #: 0: the pixels were copied as they are
    raw_bytes: int = 0  #: pixels, decoded
    coded_bytes: int = 0  #: pixels, as written
    package: str = "pylibjpeg-openjpeg"  #: whose encoder or decoder it was
    loss: str = ""  #: how much content was lost

    def __str__(self) -> str:
        codec = f"{self.package}/{version(self.package)}" if self.frames else "none"
        sizes = f"raw_bytes={self.raw_bytes} coded_bytes={self.coded_bytes}"
        return f"codec={codec} frames={self.frames} {sizes} {self.loss}".strip()


def compress(
    received: DataSetAt,
    codec: Codec,
    *,
    scratch_dir: str | os.PathLike[str],
    out: Out,
    target_uid: str = JPEG_2000_LOSSLESS,
) -> Recipe:
    """Write the data set as JPEG 2000 Lossless, 1.2.840.10008.1.2.4.90 or .201, to `out`.

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
    coding, package, _ = LOSSLESS[target_uid]
    with open_data_set(received) as data_set, tempfile.TemporaryFile(dir=scratch_dir) as scratch:
        pixels = compressible(data_set, LOSSLESS[target_uid][2])
        target = Target(coding, colour_transform=is_transformed(pixels))
        codestreams = codec.encode(pixels.frames(), pixels.geometry, target)
        lengths = [scratch.write(codestream) for codestream in codestreams]
        scratch.seek(0)
        changes = colour_changes(pixels, transformed=YBR_RCT)
        write_codestreams(data_set, out, target_uid, changes, scratch, lengths)
        return Recipe(target_uid, len(lengths), pixels.raw_bytes, sum(lengths), package)


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
        changes = colour_changes(pixels, transformed="RGB") | NO_TABLES
        _write(data_set, out, target_uid, changes, _native(pixels, target_uid, codec))
        return Recipe(target_uid, len(pixels.places), pixels.raw_bytes, pixels.raw_bytes)


def compressible(data_set: DataSet, left_alone: Container[str] = ()) -> Pixels:
    """Return the pixels; raises AsReceived where they, or what is beside them, must stay.

    `left_alone` are the transfer syntaxes that are good enough as they are.
    """
    if data_set.syntax.uid in left_alone:
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


def is_transformed(pixels: Pixels) -> bool:
    """Return whether the frames, once decoded, are RGB: then a codestream gets a transform."""
    return pixels.photometric_interpretation in ("RGB", YBR_RCT)


def write_codestreams(
    data_set: DataSet,
    out: Out,
    uid: str,
    changes: Changes,
    codestreams: BinaryIO,
    lengths: Sequence[int],
) -> None:
    """Write the data set with one fragment a frame, read from the present place on."""
    table, tables = offset_tables(lengths)
    pixel_data = PixelData("OB", None, items(table, codestreams, lengths))
    _write(data_set, out, uid, changes | tables, pixel_data)


def _decodable(data_set: DataSet) -> Pixels:
    try:
        coding_of(data_set.syntax)
    except AsReceived as error:
        raise AsReceived("no-fallback", data_set.syntax.uid) from error
    pixels = data_set.pixels()
    if pixels.raw_bytes > LENGTH_MOST:
        raise AsReceived("too-long", str(pixels.raw_bytes))
    return pixels


def colour_changes(pixels: Pixels, *, transformed: str) -> Changes:
    """Return what becomes of the colour attributes; `transformed` is what RGB or YBR_RCT becomes.

    The codec gives and takes colour-by-pixel (PS3.3 C.7.6.3.1.3).
    """
    changes: Changes = {}
    if pixels.geometry.samples > 1:
        changes[PLANAR_CONFIGURATION] = ("US", b"\0\0")
    if is_transformed(pixels):
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
