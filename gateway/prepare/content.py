"""content: what a data set says, whatever its encoding, as three digests.

Takes      where a data set lies, and the codec
Gives      SHA-256 of its pixels, of whose they are, and of everything else; None where nothing can
           be said of the inside: deflated, unsound, or of a byte order that would be a guess
Defers     OSError, CodecClosed

Pixels that can be decoded here count as decoded: native, RLE and JPEG 2000 Lossless of one picture
have one digest. All others count as they are coded, so that a doubt is a difference.

The digests outlive the bytes: what is sent again after a year is still known. They are hashes
only: nothing of the patient stands in the database.

References: PS3.3 C.7.1.1 (Patient), C.7.2.1 (General Study), C.7.6.3 (Image Pixel); PS3.5 A.4.
"""

import hashlib
from collections.abc import Iterable, Iterator

from gateway.codec.errors import CodecError
from gateway.codec.pool import Codec
from gateway.dicom.canonical import Canonical
from gateway.dicom.malformed import Malformed
from gateway.dicom.source import Source
from gateway.dicom.vr import PIXEL_DATA
from gateway.dicom.walk import fragments
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSet, DataSetAt, open_data_set
from gateway.prepare.encapsulation import EXTENDED_OFFSET_TABLE, EXTENDED_OFFSET_TABLE_LENGTHS
from gateway.prepare.pixels import PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, Pixels
from gateway.prepare.proof import CHUNK_BYTES, PIXEL_TAGS, meaning_of
from spool.model import Content

PATIENT_GROUP = 0x0010
#: What says to which study an object belongs (PS3.3 C.7.2.1); the patient is a whole group.
STUDY_TAGS = {
    0x00080020,  # Study Date
    0x00080030,  # Study Time
    0x00080050,  # Accession Number
    0x00080051,  # Issuer of Accession Number Sequence
    0x0020000D,  # Study Instance UID
    0x00200010,  # Study ID
}
#: What follows from the encoding: it says nothing that the pixels' digest does not hold.
OF_ENCODING = {
    0x00080001,  # Length to End, retired
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    EXTENDED_OFFSET_TABLE,
    EXTENDED_OFFSET_TABLE_LENGTHS,
    0xFFFCFFFC,  # Data Set Trailing Padding
}


def content_of(place: DataSetAt, codec: Codec) -> Content | None:
    """Return the digests of one data set; None where nothing can be said of its inside.

    Raises
    ------
    OSError, EOFError, CodecClosed
    """
    try:
        with open_data_set(place) as data_set:
            return _content(data_set, codec)
    except (AsReceived, Malformed):
        return None


def _content(data_set: DataSet, codec: Codec) -> Content:
    writer = Canonical(data_set.source, data_set.syntax, data_set.elements)
    identity, rest = hashlib.sha256(), hashlib.sha256()
    for element in sorted(data_set.elements, key=lambda one: one.tag):
        tag = element.tag
        if tag & 0xFFFF and tag not in OF_ENCODING and tag not in PIXEL_TAGS:
            writer.write(element, (identity if _is_identity(tag) else rest).update)
    pixels = _pixels(data_set, writer, codec)
    return Content(pixels, identity.hexdigest(), rest.hexdigest())


def _is_identity(tag: int) -> bool:
    return tag >> 16 == PATIENT_GROUP or tag in STUDY_TAGS


def _pixels(data_set: DataSet, writer: Canonical, codec: Codec) -> str:
    """Return the digest of the pixels, "" where there are none."""
    if not any(data_set.attributes.has(tag) for tag in PIXEL_TAGS):
        return ""
    try:
        return _of_decoded(data_set.source, data_set.pixels(), codec)
    except (AsReceived, CodecError):
        return _of_stored(data_set, writer)


def _of_decoded(source: Source, pixels: Pixels, codec: Codec) -> str:
    found = hashlib.sha256(_stated(pixels))
    for piece in _decoded(source, pixels, codec):
        found.update(piece)
    return found.hexdigest()


def _stated(pixels: Pixels) -> bytes:
    """Return what the pixels are, in words that later versions write alike."""
    form, photometric, frames = meaning_of(pixels)
    size = f"{frames} {form.rows} {form.columns} {form.samples}"
    return f"{size} {form.bits_allocated} {form.bits_stored} {form.signed} {photometric}".encode()


def _decoded(source: Source, pixels: Pixels, codec: Codec) -> Iterable[bytes]:
    """Return the frames as the codec gives them; what lies so in the file is only read."""
    geometry = pixels.geometry
    if pixels.coding != "raw" or geometry.planar or geometry.swapped:
        return codec.decode(pixels.frames(), geometry)
    places = (place for parts in pixels.places for place in parts)
    return (piece for at, count in places for piece in _read(source, at - source.offset, count))


def _of_stored(data_set: DataSet, writer: Canonical) -> str:
    """Return the digest of pixels as they are coded, in their colour model and transfer syntax."""
    found = hashlib.sha256()
    if data_set.syntax.encapsulated:
        found.update(data_set.syntax.uid.encode())
    for tag in (PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, *PIXEL_TAGS):
        element = data_set.attributes.elements.get(tag)
        if element is None:
            continue
        if tag == PIXEL_DATA and element.undefined:
            for at, count in fragments(data_set.source, element)[1:]:  # without the offset table
                found.update(count.to_bytes(8, "little"))
                for piece in _read(data_set.source, at, count):
                    found.update(piece)
        else:
            writer.write(element, found.update)
    return found.hexdigest()


def _read(source: Source, at: int, count: int) -> Iterator[bytes]:
    for begin in range(at, at + count, CHUNK_BYTES):
        yield source.read(begin, min(CHUNK_BYTES, at + count - begin))
