"""pixels: what the pixels of one data set are, and where each frame lies.

Takes      a walked data set, native, RLE, JPEG 2000 or High-Throughput JPEG 2000 Lossless
Gives      `Pixels`: their geometry and the place of every frame; no pixel is read
Holds      AsReceived, with a stable reason: these pixels are nobody's to recode

What is not understood to the last bit is left alone: a lossless copy of a misread image is an
altered image.

References: PS3.3 C.7.6.3 (Image Pixel), PS3.5 8.1, 8.2 and Annex A (encodings).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.codec.frames import Coding, FrameAt, Geometry
from gateway.dicom.attributes import Attributes
from gateway.dicom.element import Element
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    RLE_LOSSLESS,
    SYNTAXES,
    Syntax,
)
from gateway.dicom.vr import PIXEL_DATA
from gateway.prepare.as_received import AsReceived
from gateway.prepare.encapsulation import frame_fragments

SAMPLES_PER_PIXEL = 0x00280002
PHOTOMETRIC_INTERPRETATION = 0x00280004
PLANAR_CONFIGURATION = 0x00280006
NUMBER_OF_FRAMES = 0x00280008
ROWS = 0x00280010
COLUMNS = 0x00280011
BITS_ALLOCATED = 0x00280100
BITS_STORED = 0x00280101
HIGH_BIT = 0x00280102
PIXEL_REPRESENTATION = 0x00280103
FLOAT_PIXEL_DATA = 0x7FE00008
DOUBLE_FLOAT_PIXEL_DATA = 0x7FE00009

#: How the frames of each transfer syntax are coded; of all others no frame is touched.
CODINGS: dict[str, Coding] = {
    IMPLICIT_VR_LITTLE_ENDIAN: "raw",
    EXPLICIT_VR_LITTLE_ENDIAN: "raw",
    EXPLICIT_VR_BIG_ENDIAN: "raw",
    RLE_LOSSLESS: "rle",
    JPEG_2000_LOSSLESS: "jpeg2000",
    HTJ2K_LOSSLESS: "jpeg2000",
    HTJ2K_LOSSLESS_RPCL: "jpeg2000",
}
#: Photometric Interpretation -> Samples per Pixel (PS3.3 C.7.6.3.1.2)
SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1, "RGB": 3, "YBR_FULL": 3}
#: Only a JPEG 2000 codestream holds it (PS3.3 C.7.6.3.1.2)
YBR_RCT = "YBR_RCT"
SUB_SAMPLED = {"YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"}


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixels of one data set."""

    geometry: Geometry
    photometric_interpretation: str  #: (0028,0004)
    coding: Coding
    path: str
    #: One entry a frame: the (offset in the file, bytes) of its parts
    places: tuple[tuple[tuple[int, int], ...], ...]

    def frames(self) -> Iterator[FrameAt]:
        """Where each frame lies, in order."""
        return (FrameAt(self.path, self.coding, parts) for parts in self.places)

    @property
    def raw_bytes(self) -> int:
        """All frames, decoded, without padding."""
        return len(self.places) * self.geometry.frame_bytes


def read_pixels(source: Source, syntax: Syntax, attributes: Attributes) -> Pixels:
    """Return what the pixels are and where they lie.

    Raises
    ------
    AsReceived
        already-compressed, unknown-syntax, deflated, no-pixel-data, float-pixels, one-bit,
        bits-allocated, bits-stored, high-bit, photometric, sub-sampled, attributes, pixel-vr,
        pixel-length, odd-frames, fragments.
    """
    coding = coding_of(syntax)
    element = _pixel_data(attributes)
    photometric, samples = _photometric(attributes, coding)
    geometry = _geometry(attributes, syntax, element, samples, photometric)
    frames = _number_of_frames(attributes)
    places = (
        frame_fragments(source, element, frames)
        if syntax.encapsulated
        else _raw_places(source, element, frames, geometry)
    )
    return Pixels(geometry, photometric, coding, str(source.path), places)


def coding_of(syntax: Syntax) -> Coding:
    """Return how this syntax codes its frames. Raises AsReceived for one that we do not read."""
    if syntax.uid in CODINGS:
        return CODINGS[syntax.uid]
    if syntax.deflated:
        raise AsReceived("deflated", syntax.uid)
    raise AsReceived(
        "already-compressed" if syntax.uid in SYNTAXES else "unknown-syntax", syntax.uid
    )


def _pixel_data(attributes: Attributes) -> Element:
    if attributes.has(PIXEL_DATA):
        return attributes.elements[PIXEL_DATA]
    if attributes.has(FLOAT_PIXEL_DATA) or attributes.has(DOUBLE_FLOAT_PIXEL_DATA):
        raise AsReceived("float-pixels")
    raise AsReceived("no-pixel-data")


def _photometric(attributes: Attributes, coding: Coding) -> tuple[str, int]:
    """Return Photometric Interpretation and Samples per Pixel, which must fit each other."""
    photometric = attributes.text(PHOTOMETRIC_INTERPRETATION)
    if photometric in SUB_SAMPLED:
        raise AsReceived("sub-sampled", photometric)
    legal = SAMPLES | ({YBR_RCT: 3} if coding == "jpeg2000" else {})
    samples = attributes.number(SAMPLES_PER_PIXEL)
    if samples is None or legal.get(photometric) != samples:
        raise AsReceived("photometric", f"{samples} samples")
    return photometric, samples


def _geometry(
    attributes: Attributes, syntax: Syntax, element: Element, samples: int, photometric: str
) -> Geometry:
    allocated, stored = _bits(attributes)
    planar = samples > 1 and attributes.number(PLANAR_CONFIGURATION) == 1
    return Geometry(
        rows=_positive(attributes, ROWS),
        columns=_positive(attributes, COLUMNS),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        signed=_signed(attributes),
        planar=planar and not syntax.encapsulated,
        colour_transform=_colour_transform(syntax, photometric),
        swapped=_is_swapped(syntax, element, allocated),
    )


def _bits(attributes: Attributes) -> tuple[int, int]:
    """Return Bits Allocated and Bits Stored of cells that begin with bit 0 (PS3.5 8.1.1)."""
    allocated = attributes.number(BITS_ALLOCATED)
    stored = attributes.number(BITS_STORED)
    if allocated == 1:
        raise AsReceived("one-bit")
    if allocated not in (8, 16):
        raise AsReceived("bits-allocated", str(allocated))
    if stored is None or not 8 <= stored <= allocated:
        raise AsReceived("bits-stored", str(stored))
    if attributes.number(HIGH_BIT) != stored - 1:
        raise AsReceived("high-bit")
    return allocated, stored


def _signed(attributes: Attributes) -> bool:
    representation = attributes.number(PIXEL_REPRESENTATION)
    if representation not in (0, 1):
        raise AsReceived("attributes", "Pixel Representation")
    return representation == 1


def _positive(attributes: Attributes, tag: int) -> int:
    value = attributes.number(tag)
    if value is None or value < 1:
        raise AsReceived("attributes", f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
    return value


def _number_of_frames(attributes: Attributes) -> int:
    return _positive(attributes, NUMBER_OF_FRAMES) if attributes.has(NUMBER_OF_FRAMES) else 1


def _colour_transform(syntax: Syntax, photometric: str) -> bool | None:
    """Encoding: transform RGB. Decoding: what the codestream must say; writers of RGB differ."""
    if CODINGS[syntax.uid] == "jpeg2000":
        return None if photometric == "RGB" else photometric == YBR_RCT
    return photometric == "RGB"


def _is_swapped(syntax: Syntax, element: Element, allocated: int) -> bool:
    """Return whether the cells lie in big endian words: OW, also with 8 bits (PS3.5 8.2, A.3)."""
    if syntax.explicit and element.vr not in ("OB", "OW"):
        raise AsReceived("pixel-vr", element.vr)
    if syntax.little:
        return False
    if element.vr == "OB" and allocated != 8:
        raise AsReceived("pixel-vr", "OB with 16 bits in big endian")
    return element.vr == "OW"


def _raw_places(
    source: Source, element: Element, frames: int, geometry: Geometry
) -> tuple[tuple[tuple[int, int], ...], ...]:
    size = geometry.frame_bytes
    padding = (frames * size) % 2
    if element.undefined or element.length != frames * size + padding:
        raise AsReceived("pixel-length", f"{element.length} bytes for {frames} of {size}")
    # Swapped words straddle the edge between two odd frames: a frame is no range of bytes then.
    if geometry.swapped and size % 2 and frames > 1:
        raise AsReceived("odd-frames")
    stored = size + (padding if geometry.swapped else 0)
    begin = source.offset + element.value
    return tuple(((begin + number * size, stored),) for number in range(frames))
