"""compare: what an archive gave back, held against what was sent to it.

Takes      both data sets as they lie on the disk, and the codec
Gives      `Compared`: the same, altered, another's, or not to be told; and what was coerced
Defers     OSError, CodecClosed
Holds      nothing: the stage decides by the finding

An archive may transcode, so pixels are compared decoded. What cannot be decoded here is compared as
it is coded; where that differs, a lossy coding of what was not lossy before is an alteration, and
of everything else nothing is said. Of coerced elements the keywords are told, never the values.

References: PS3.3 C.7.6 (image), C.7.3.1.1.1 and C.7.6.1 (laterality, orientation), C.8.5.5 (regions
of ultrasound), C.11 (look up tables); PS3.5 6.2 (padding).
"""

import enum
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.codec.pool import Codec
from gateway.dicom.canonical import Canonical
from gateway.dicom.dictionary import vr_of
from gateway.dicom.element import Element
from gateway.dicom.malformed import Malformed
from gateway.dicom.syntaxes import JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR_LOSSLESS
from gateway.prepare.as_received import AsReceived
from gateway.prepare.content import OF_ENCODING, content_of
from gateway.prepare.data_set import DataSet, DataSetAt, open_data_set
from gateway.prepare.proof import CHUNK_BYTES, PIXEL_TAGS, prove

#: Whose object it is and which (PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.12.1).
IDENTITY = {0x00080016, 0x00080018, 0x00100020, 0x0020000D, 0x0020000E}
#: What changes what is seen or measured, beside the pixels themselves.
MEANING = {
    0x00180050,  # Slice Thickness
    0x00181164,  # Imager Pixel Spacing
    0x00182010,  # Nominal Scanned Pixel Spacing
    0x00186011,  # Sequence of Ultrasound Regions
    0x00200020,  # Patient Orientation
    0x00200032,  # Image Position (Patient)
    0x00200037,  # Image Orientation (Patient)
    0x00200060,  # Laterality
    0x00200062,  # Image Laterality
    0x00280002,  # Samples per Pixel
    0x00280008,  # Number of Frames
    0x00280010,  # Rows
    0x00280011,  # Columns
    0x00280030,  # Pixel Spacing
    0x00280034,  # Pixel Aspect Ratio
    0x00280100,  # Bits Allocated
    0x00280101,  # Bits Stored
    0x00280102,  # High Bit
    0x00280103,  # Pixel Representation
    0x00280120,  # Pixel Padding Value
    0x00280121,  # Pixel Padding Range Limit
    0x00281052,  # Rescale Intercept
    0x00281053,  # Rescale Slope
    0x00281101,  # Red Palette Color Lookup Table Descriptor, and the others
    0x00281102,
    0x00281103,
    0x00281201,  # Red Palette Color Lookup Table Data, and the others
    0x00281202,
    0x00281203,
    0x00283000,  # Modality LUT Sequence
    0x0040A730,  # Content Sequence: a report says it all in there
    0x00420011,  # Encapsulated Document
    0x52009229,  # Shared Functional Groups Sequence
    0x52009230,  # Per-frame Functional Groups Sequence
    0x54000100,  # Waveform Sequence
    0x56000020,  # Spectroscopy Data
}
OVERLAY_DATA = 0x3000  #: (60xx,3000)
#: An image that comes back so has lost something, unless it was sent so (PS3.5 A.4.1, A.4.3).
LOSSY = {JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR_LOSSLESS}

#: Values of these are padded to even length, which says nothing (PS3.5 6.2).
_PADDED = frozenset(
    (
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM"),
        *("UC", "UI", "UR", "UT"),
    )
)
_PADDED_BYTES_MOST = 65536
#: More names than these do not fit a line of the history.
_NAMES_MOST = 40


class Finding(enum.StrEnum):
    """What a comparison found out."""

    SAME = "same"  #: every pixel, and all that says what is seen; some may be coerced
    ALTERED = "altered"  #: another picture, or it would be measured or shown in another way
    ANOTHERS = "anothers"  #: of another patient, study or series, or another object altogether
    UNSURE = "unsure"  #: nothing can be said: it cannot be decoded here


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found out; `detail` and `coerced` hold keywords and tags, never values."""

    finding: Finding
    detail: str = ""
    coerced: str = ""  #: "changed PatientName, added RetrieveAETitle"; "" for nothing


def compare(sent: DataSetAt, back: DataSetAt, sent_sha256: str, codec: Codec) -> Compared:
    """Return what `back` is, compared with `sent`.

    Raises
    ------
    OSError, EOFError, CodecClosed
    """
    same_syntax = sent.transfer_syntax_uid == back.transfer_syntax_uid
    if same_syntax and _sha256(back) == sent_sha256:
        return Compared(Finding.SAME)
    try:
        changed = _changed(sent, back)
    except (AsReceived, Malformed) as fault:
        return Compared(Finding.UNSURE, _word(fault))
    coerced = _told(changed)
    for tags, finding in ((IDENTITY, Finding.ANOTHERS), (MEANING, Finding.ALTERED)):
        if found := {tag: how for tag, how in changed.items() if _is_in(tag, tags)}:
            return Compared(finding, _told(found), coerced)
    pixels = _pixels(sent, back, codec)
    return Compared(pixels.finding, pixels.detail, coerced)


def _is_in(tag: int, tags: set[int]) -> bool:
    is_overlay = tag >> 24 == 0x60 and tag & 0xFFFF == OVERLAY_DATA
    return tag in tags or (tags is MEANING and is_overlay)


def _pixels(sent: DataSetAt, back: DataSetAt, codec: Codec) -> Compared:
    was, now = content_of(sent, codec), content_of(back, codec)
    if was is None or now is None:
        return Compared(Finding.UNSURE, "cannot be read")
    if was.pixels == now.pixels:
        return Compared(Finding.SAME)
    if not (was.pixels and now.pixels):
        return Compared(Finding.ALTERED, "pixels removed" if was.pixels else "pixels added")
    return _told_apart(sent, back, codec)


def _told_apart(sent: DataSetAt, back: DataSetAt, codec: Codec) -> Compared:
    """Say what it means that the digests differ: other pixels, or a coding we do not decode."""
    try:
        prove(sent, back, codec)
        return Compared(Finding.ALTERED, "colour model")  # the same numbers, shown otherwise
    except (AsReceived, Malformed) as fault:
        if isinstance(fault, AsReceived) and fault.code == "pixels-differ":
            return Compared(Finding.ALTERED, f"pixels: {fault.detail}")
    syntax = back.transfer_syntax_uid
    if syntax == sent.transfer_syntax_uid:
        return Compared(Finding.ALTERED, f"pixels as coded in {syntax}")
    if syntax in LOSSY:
        return Compared(Finding.ALTERED, f"compressed with loss: {syntax}")
    return Compared(Finding.UNSURE, f"not decoded here: {syntax}")


def _changed(sent: DataSetAt, back: DataSetAt) -> dict[int, str]:
    """Return how each element of the top level differs; an empty one is as good as none."""
    with open_data_set(sent) as one:
        was = dict(_digests(one))
    with open_data_set(back) as one:
        now = dict(_digests(one))
    found = {}
    for tag in sorted(was.keys() | now.keys()):
        if was.get(tag) != now.get(tag):
            found[tag] = "changed" if tag in was and tag in now else "removed"
            if tag not in was:
                found[tag] = "added"
    return found


def _digests(data_set: DataSet) -> Iterator[tuple[int, bytes]]:
    writer = Canonical(data_set.source, data_set.syntax, data_set.elements)
    for element in data_set.elements:
        tag = element.tag
        if tag & 0xFFFF and element.length and tag not in OF_ENCODING and tag not in PIXEL_TAGS:
            yield tag, _digest(data_set, writer, element)


def _digest(data_set: DataSet, writer: Canonical, element: Element) -> bytes:
    vr = vr_of(element.tag) if element.vr in ("", "UN") else element.vr
    found = hashlib.sha256()
    if vr in _PADDED and not element.undefined and element.length <= _PADDED_BYTES_MOST:
        found.update(data_set.source.read(element.value, element.length).strip(b" \0"))
    else:
        writer.write_value(element, found.update)
    return found.digest()


def _told(changed: dict[int, str]) -> str:
    names = [f"{how} {_name(tag)}" for tag, how in changed.items()]
    more = len(names) - _NAMES_MOST
    return ", ".join(names[:_NAMES_MOST]) + (f" and {more} more" if more > 0 else "")


def _name(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _word(fault: AsReceived | Malformed) -> str:
    return fault.code if isinstance(fault, AsReceived) else "malformed"


def _sha256(place: DataSetAt) -> str:
    found = hashlib.sha256()
    with open(place.path, "rb") as file:  # noqa: PTH123  # it may be a path of either kind
        file.seek(place.dataset_offset)
        left = place.dataset_bytes
        while left > 0:
            piece = file.read(min(CHUNK_BYTES, left))
            if not piece:
                raise EOFError("the file is shorter than it was said to be")
            found.update(piece)
            left -= len(piece)
    return found.hexdigest()
