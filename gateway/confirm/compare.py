"""compare: what an archive gave back, held against what was sent to it.

Takes      both data sets as they lie on the disk, and the codec
Gives      `Compared`: the same, altered, another's, or not to be told; and what was coerced
Defers     OSError, CodecClosed
Holds      nothing: the stage decides by the finding

An archive may transcode, so pixels are compared decoded. What cannot be decoded here is compared as
it is coded; where that differs, a lossy coding of what was not lossy before is an alteration, and
of everything else nothing is said. Elements that `coercion` does not let an archive change make it
altered. Of what differs the keywords are told, never the values.

References: PS3.3 C.7.6 (image); PS3.5 6.2 (padding).
"""

import enum
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.codec.pool import Codec
from gateway.confirm.coercion import may_be_coerced
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
#: An image that comes back so has lost something, unless it was sent so (PS3.5 A.4.1, A.4.3).
LOSSY = {JPEG_BASELINE, JPEG_EXTENDED, JPEG_LS_NEAR_LOSSLESS}

#: Values of these are padded to even length, which says nothing (PS3.5 6.2).
_PADDED = frozenset(
    (
        *("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM"),
        *("UC", "UI", "UR", "UT"),
    )
)
_WORDS_OR_ITEMS = frozenset(
    ("AT", "FD", "FL", "OD", "OF", "OL", "OV", "OW", "SL", "SQ", "SS", "SV", "UL", "US", "UV")
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
        was, now = _elements(sent), _elements(back)
    except (AsReceived, Malformed) as fault:
        return Compared(Finding.UNSURE, _word(fault))
    changed = _changed(was, now)
    coerced = _told(changed)
    if others := {tag: how for tag, how in changed.items() if tag in IDENTITY}:
        return Compared(Finding.ANOTHERS, _told(others), coerced)
    if altered := {t: how for t, how in changed.items() if not may_be_coerced(t, how, was)}:
        return Compared(Finding.ALTERED, _told(altered), coerced)
    pixels = _pixels(sent, back, codec)
    return Compared(pixels.finding, pixels.detail, coerced)


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


def _elements(place: DataSetAt) -> dict[int, bytes]:
    """Return a digest of each element of the top level; an empty one is as good as none."""
    with open_data_set(place) as one:
        return dict(_digests(one))


def _changed(was: dict[int, bytes], now: dict[int, bytes]) -> dict[int, str]:
    """Return how each element differs."""
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
    # An archive that does not know a private element gives it back as UN, text or not.
    is_padded = vr in _PADDED or (element.tag >> 16 & 1 and vr not in _WORDS_OR_ITEMS)
    if is_padded and not element.undefined and element.length <= _PADDED_BYTES_MOST:
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
