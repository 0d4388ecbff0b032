"""headers: the bytes before a value, in little endian (PS3.5 7.1, 7.5)."""

import struct

from gateway.dicom.unrewritable import Unrewritable
from gateway.dicom.vr import SHORT_LENGTH_MOST, SHORT_VRS, UNDEFINED_LENGTH


def header(tag: int, vr: str, length: int | None, *, explicit: bool) -> bytes:
    """Return the header of an element; `length` None is the undefined one.

    A value too long for the 16-bit length of its VR goes as UN (PS3.5 6.2.2).  A VR that is not
    ours takes the long form, as PS3.5 7.1.2 asks of every new one.

    Raises
    ------
    Unrewritable
        The value does not fit into a 32-bit length.
    """
    if not explicit:
        return bare_header(tag, length)
    short = vr in SHORT_VRS
    if short and length is not None and length <= SHORT_LENGTH_MOST:
        return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode("ascii"), length)
    written = ("UN" if short else vr).encode("ascii")
    return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, written, _length(tag, length))


def bare_header(tag: int, length: int | None) -> bytes:
    """Return a header that names no VR: Implicit VR, items and delimiters."""
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, _length(tag, length))


def _length(tag: int, length: int | None) -> int:
    if length is None:
        return UNDEFINED_LENGTH
    if length >= UNDEFINED_LENGTH:
        raise Unrewritable("too-long", tag)
    return length
