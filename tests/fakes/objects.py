"""objects: small data sets of a stated class and UID, as bytes; and real pictures, told apart."""

import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread

from tests.fakes.data_sets import EXPLICIT, Form, Value, encoded, item, us
from tests.fakes.upper_layer import US_IMAGE

UI, PIXEL_DATA = "UI", 0x7FE00010
_COUNTER = itertools.count(1)


def new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"


def small(
    uid: str,
    sop_class_uid: str = US_IMAGE,
    *,
    form: Form = EXPLICIT,
    side: int = 16,
    pixels: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """Return a square image; `body` stands in place of its Pixel Data element.

    A side below 32 is too small for the encoder, and is forwarded as received.
    """
    pixels = pixels or bytes(place % 251 for place in range(side * side))
    head = (
        _uid(0x00080016, sop_class_uid),
        _uid(0x00080018, uid),
        Value(0x00100020, "LO", b"SECRET-ID "),
        _uid(0x0020000D, "1.2.3.4"),
        _uid(0x0020000E, "1.2.3.5"),
        us(0x00280002, 1),
        Value(0x00280004, "CS", b"MONOCHROME2 "),
        us(0x00280010, side),
        us(0x00280011, side),
        us(0x00280100, 8),
        us(0x00280101, 8),
        us(0x00280102, 7),
        us(0x00280103, 0),
    )
    last = () if body else (Value(PIXEL_DATA, "OW" if not form.explicit else "OB", pixels),)
    return encoded((*head, *last), form) + body


def fragmented(stream: bytes) -> bytes:
    """Return encapsulated Pixel Data with one fragment that nobody here can decode."""
    body = item() + item(stream + bytes(len(stream) % 2)) + item(tag=0xE0DD)
    return b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + body


def _uid(tag: int, uid: str) -> Value:
    return Value(tag, UI, uid.encode() + bytes(len(uid) % 2))


def under_new_uid(picture: Path, copy: Path) -> Path:
    """Return a copy of a picture, in its own encoding, under another SOP Instance UID."""
    made = dcmread(picture)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
    made.save_as(copy)
    return copy


def renamed(picture: Path, folder: Path) -> Iterator[Path]:
    """Give copies of a real picture without end: each with a UID and pixels of its own.

    The serial number stands in the first pixels of native ones, so that a mix-up is seen.
    """
    made = dcmread(picture)
    pixels = made.PixelData
    for number in _COUNTER:
        uid = new_uid()
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid
        if not made.file_meta.TransferSyntaxUID.is_encapsulated:
            made.PixelData = number.to_bytes(4, "little") + pixels[4:]
        path = folder / f"{number:06}.dcm"
        made.save_as(path)
        yield path


def several(picture: Path, folder: Path, count: int) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return list(itertools.islice(renamed(picture, folder), count))
