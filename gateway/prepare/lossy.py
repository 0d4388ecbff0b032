"""lossy: an image with less content than came, under a UID of its own, and its history.

Takes      where a data set lies, the ratio, and the codec
Gives      JPEG 2000, 1.2.840.10008.1.2.4.91, irreversible, and how like the image it still is
Holds      AsReceived: what `renditions.compress` holds; lossy-before, not-for-lossy, too-lossy
Repeats    the UID follows from the source's UID and the recipe: the same each time

What changes beside the pixels: SOP Instance UID, Image Type (DERIVED), Derivation Description and
Code, Source Image Sequence, Lossy Image Compression with ratio and method, Photometric
Interpretation (YBR_ICT), Planar Configuration, Smallest and Largest Image Pixel Value (gone).

References: PS3.3 C.7.6.1.1.2, C.7.6.1.1.5, C.12.4; PS3.5 8.2.4, A.4.4, B.2 (UUID derived UIDs);
PS3.16 CID 7202, 7203.
"""

import os
import tempfile
import uuid
from dataclasses import dataclass

from gateway.codec.frames import Target
from gateway.codec.pool import Codec
from gateway.dicom.attributes import Attributes
from gateway.dicom.headers import bare_header, header
from gateway.dicom.pieces import write
from gateway.dicom.syntaxes import JPEG_2000, syntax_of
from gateway.dicom.transcode import Transcoder
from gateway.dicom.vr import ITEM
from gateway.dicom.vr_choice import Context
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSet, DataSetAt, open_data_set
from gateway.prepare.encapsulation import Changes
from gateway.prepare.obstacles import (
    LOSSY_IMAGE_COMPRESSION,
    LOSSY_IMAGE_COMPRESSION_METHOD,
    LOSSY_IMAGE_COMPRESSION_RATIO,
    SOP_CLASS_UID,
    refuse_loss,
)
from gateway.prepare.pixels import Pixels
from gateway.prepare.renditions import (
    Out,
    Recipe,
    colour_changes,
    compressible,
    is_transformed,
    write_codestreams,
)

IMAGE_TYPE, SOP_INSTANCE_UID = 0x00080008, 0x00080018
DERIVATION_DESCRIPTION, SOURCE_IMAGE_SEQUENCE = 0x00082111, 0x00082112
DERIVATION_CODE_SEQUENCE = 0x00089215
SMALLEST_IMAGE_PIXEL_VALUE, LARGEST_IMAGE_PIXEL_VALUE = 0x00280106, 0x00280107
YBR_ICT = "YBR_ICT"
METHOD = "ISO_15444_1"  #: PS3.3 C.7.6.1.1.5.1
DESCRIPTION_BYTES_MOST = 1024  #: ST (PS3.5 6.2)
#: Of the UIDs that we derive; another one would give every image another UID.
NAMESPACE = uuid.UUID("6f1c3a52-4c5e-4f0e-9f5d-2f0b7f0c8d11")


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost."""

    asked: float  #: ratio
    ratio: float  #: reached, over all frames, by Bits Stored
    likeness_db: float  #: of the frame that suffered most

    def __str__(self) -> str:
        return f"asked={self.asked:g} ratio={self.ratio:.2f} likeness_db={self.likeness_db:.1f}"


def uid_of(source_uid: str, ratio: float) -> str:
    """Return the SOP Instance UID of what this recipe makes of this image."""
    made = uuid.uuid5(NAMESPACE, f"{source_uid} {JPEG_2000} ratio={ratio:g}")
    return f"2.25.{made.int}"


def compress_with_loss(
    received: DataSetAt,
    codec: Codec,
    ratio: float,
    *,
    scratch_dir: str | os.PathLike[str],
    out: Out,
) -> Recipe:
    """Write the data set as JPEG 2000 with loss to `out`; `scratch_dir` as for `compress`.

    Raises
    ------
    AsReceived
        The pixels must not lose content, or would lose too much; `out` was given nothing.
    Malformed, OSError, EOFError, CodecClosed
    """
    with open_data_set(received) as data_set, tempfile.TemporaryFile(dir=scratch_dir) as scratch:
        pixels = may_lose(data_set)
        target = Target(ratio=ratio, colour_transform=is_transformed(pixels))
        lengths, likenesses = [], []
        for codestream, likeness_db in codec.encode_lossy(pixels.frames(), pixels.geometry, target):
            lengths.append(scratch.write(codestream))
            likenesses.append(likeness_db)
        scratch.seek(0)
        loss = Loss(ratio, _reached(pixels, sum(lengths)), min(likenesses))
        changes = colour_changes(pixels, transformed=YBR_ICT) | history(data_set, loss)
        write_codestreams(data_set, out, JPEG_2000, changes, scratch, lengths)
        sizes = (pixels.raw_bytes, sum(lengths))
        return Recipe(JPEG_2000, len(lengths), *sizes, loss=str(loss))


def may_lose(data_set: DataSet) -> Pixels:
    """Return the pixels; raises AsReceived where they must not lose content, or must stay."""
    refuse_loss(data_set.syntax, data_set.attributes)
    return compressible(data_set)


def history(data_set: DataSet, loss: Loss) -> Changes:
    """Return what says whose image this is, and what was done to it."""
    attributes = data_set.attributes
    changes: Changes = {
        IMAGE_TYPE: ("CS", _derived(attributes)),
        SOP_INSTANCE_UID: ("UI", _uid(uid_of(attributes.text(SOP_INSTANCE_UID), loss.asked))),
        SOURCE_IMAGE_SEQUENCE: (
            "SQ",
            _appended(data_set, SOURCE_IMAGE_SEQUENCE, _source(attributes)),
        ),
        DERIVATION_CODE_SEQUENCE: (
            "SQ",
            _appended(data_set, DERIVATION_CODE_SEQUENCE, _code("113040", "Lossy Compression")),
        ),
        LOSSY_IMAGE_COMPRESSION: ("CS", b"01"),
        LOSSY_IMAGE_COMPRESSION_RATIO: ("DS", _padded(f"{loss.ratio:.2f}")),
        LOSSY_IMAGE_COMPRESSION_METHOD: ("CS", _padded(METHOD)),
    }
    description = _description(attributes, loss)
    if description:
        changes[DERIVATION_DESCRIPTION] = ("ST", description)
    for tag in (SMALLEST_IMAGE_PIXEL_VALUE, LARGEST_IMAGE_PIXEL_VALUE):
        if attributes.has(tag):
            changes[tag] = None
    return changes


def _reached(pixels: Pixels, coded_bytes: int) -> float:
    geometry = pixels.geometry
    cells = len(pixels.places) * geometry.rows * geometry.columns * geometry.samples
    return cells * geometry.bits_stored / (8 * coded_bytes)


def _derived(attributes: Attributes) -> bytes:
    """Return Image Type with DERIVED for its first value (PS3.3 C.7.6.1.1.2)."""
    values = attributes.value(IMAGE_TYPE).decode("latin-1").strip(" \0").split("\\")
    others = values[1:] or ["PRIMARY"]
    return _padded("\\".join(["DERIVED", *others]), "latin-1")


def _description(attributes: Attributes, loss: Loss) -> bytes:
    """Return what stood there and our sentence; "" where both are too long for an ST."""
    before = attributes.value(DERIVATION_DESCRIPTION).strip(b" \0")
    said = f"JPEG 2000 with loss, ratio {loss.ratio:.2f}".encode()
    text = b"; ".join([before, said]) if before else said
    return text + b" " * (len(text) % 2) if len(text) <= DESCRIPTION_BYTES_MOST else b""


def _source(attributes: Attributes) -> bytes:
    """Return the item that names the image before it lost content (PS3.3 table 10-3, CID 7202)."""
    purpose = _element(0x0040A170, "SQ", _code("121320", "Uncompressed predecessor"))
    return _item(
        _element(0x00081150, "UI", _uid(attributes.text(SOP_CLASS_UID))),
        _element(0x00081155, "UI", _uid(attributes.text(SOP_INSTANCE_UID))),
        _element(0x0028135A, "CS", b"YES "),  # Spatial Locations Preserved
        purpose,
    )


def _code(value: str, meaning: str) -> bytes:
    """Return one item of a code sequence of scheme DCM (PS3.3 table 8.8-1, PS3.16 annex D)."""
    return _item(
        _element(0x00080100, "SH", _padded(value)),
        _element(0x00080102, "SH", b"DCM "),
        _element(0x00080104, "LO", _padded(meaning)),
    )


def _appended(data_set: DataSet, tag: int, item: bytes) -> bytes:
    """Return the items that stand there, as they are, and one more."""
    element = data_set.attributes.elements.get(tag)
    if element is None or not element.length:
        return item
    coder = Transcoder(data_set.source, data_set.syntax, syntax_of(JPEG_2000))
    written = bytearray()
    pieces = coder.top(element, coder.context(data_set.elements, Context()))
    write(data_set.source, pieces, written.extend)
    if written[4:6] != b"SQ":
        raise AsReceived("rewrite", f"no sequence at {tag:08X}")
    head_bytes = len(header(tag, "SQ", None, explicit=True))
    tail_bytes = len(bare_header(ITEM, 0)) if element.undefined else 0
    return bytes(written[head_bytes : len(written) - tail_bytes]) + item


def _item(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return bare_header(ITEM, len(body)) + body


def _element(tag: int, vr: str, value: bytes) -> bytes:
    return header(tag, vr, len(value), explicit=True) + value


def _padded(text: str, codec: str = "ascii") -> bytes:
    value = text.encode(codec)
    return value + b" " * (len(value) % 2)


def _uid(uid: str) -> bytes:
    return uid.encode() + bytes(len(uid) % 2)
