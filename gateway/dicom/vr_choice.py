"""vr_choice: the VR of an element that comes from Implicit VR and goes to Explicit VR.

Takes      the tag, and the few values of the data set around it on which PS3.6 makes it depend
Gives      one VR; UN for what nobody knows (PS3.5 6.2.2)

Only a little endian data set lacks VRs, and there US and SS, OB and OW are the same bytes: the
choice says how they are to be read, it never changes them.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gateway.dicom.dictionary import vr_of
from gateway.dicom.element import Element
from gateway.dicom.source import Source
from gateway.dicom.vr import PIXEL_DATA

_WAVEFORM_GROUP = 0x5400


@dataclass(frozen=True, slots=True)
class Context:
    """What decides between two VRs; an item inherits what it does not say itself."""

    pixel_representation: int = 0  #: (0028,0103); 1 is signed
    bits_allocated: int = 16  #: (0028,0100)
    waveform_bits_allocated: int = 16  #: (5400,1004)


_FIELDS = {
    0x00280103: "pixel_representation",
    0x00280100: "bits_allocated",
    0x54001004: "waveform_bits_allocated",
}


def context_of(source: Source, order: str, elements: Iterable[Element], around: Context) -> Context:
    """Return `around` with what these elements say themselves; `order` is "<" or ">"."""
    found = {
        _FIELDS[element.tag]: struct.unpack(order + "H", source.read(element.value, 2))[0]
        for element in elements
        if element.tag in _FIELDS and element.length >= 2
    }
    return replace(around, **found) if found else around


def explicit_vr(tag: int, context: Context) -> str:
    """Return the one VR of `tag`.

    References
    ----------
    PS3.6 chapter 6 (the ambiguous ones), PS3.5 A.2 and 8.1 (OB and OW), PS3.3 C.10.9 (waveforms).
    """
    vr = vr_of(tag)
    if vr == "OB or OW":
        return "OW" if bits_of(tag, context) > 8 else "OB"
    if vr == "US or SS":
        return "SS" if context.pixel_representation == 1 else "US"
    return "OW" if " or " in vr else vr or "UN"


def bits_of(tag: int, context: Context) -> int:
    """Return the bits of one sample in the value of `tag`; 16, a word, where nothing says it."""
    if tag == PIXEL_DATA:
        return context.bits_allocated
    return context.waveform_bits_allocated if tag >> 16 == _WAVEFORM_GROUP else 16
