"""obstacles: what beside the pixels keeps a data set from being compressed.

Takes      a walked data set
Gives      nothing
Holds      AsReceived: overlay-in-pixel-cell, encapsulated-icon, colour-of-class; and, where content
           is to be lost, lossy-before, not-for-lossy

References: PS3.3 C.9.2 and its 2004 edition (overlay planes in Pixel Data), PS3.3 C.8.5.6.1.2
(colour models of ultrasound), PS3.5 8.1.2, A.4.
"""

from gateway.codec.frames import Coding
from gateway.dicom.attributes import Attributes
from gateway.dicom.element import Element
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax
from gateway.dicom.vr import PIXEL_DATA
from gateway.dicom.walk import walk_nested
from gateway.prepare.as_received import AsReceived

SOP_CLASS_UID = 0x00080016
#: Ultrasound Image and Multi-frame Image Storage, and the retired ones (PS3.6 table A-1)
ULTRASOUND = {f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("3", "3.1", "6", "6.1")}

#: (60xx,eeee): an overlay without data of its own lies in the pixel cells
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
OVERLAY_ROWS = 0x0010
OVERLAY_BITS_ALLOCATED = 0x0100
OVERLAY_BIT_POSITION = 0x0102
OVERLAY_DATA = 0x3000

PHOTOMETRIC_INTERPRETATION = 0x00280004
LOSSY_IMAGE_COMPRESSION = 0x00282110
LOSSY_IMAGE_COMPRESSION_RATIO = 0x00282112
LOSSY_IMAGE_COMPRESSION_METHOD = 0x00282114
#: Transfer syntaxes that may have lost content (PS3.6 table A-1)
LOSSY_SYNTAXES = {
    f"1.2.840.10008.1.2.4.{tail}" for tail in ("50", "51", "81", "91", "93", "112", "203")
}
#: Numbers that are measured, counted or labels, and mammography, which law keeps from loss
NO_LOSS = {
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in (
        *("1.2", "1.2.1", "13.1.3"),  # Digital Mammography, Breast Tomosynthesis
        *("20", "128", "130"),  # Nuclear Medicine, PET, Enhanced PET
        *("30", "66.4", "66.7"),  # Parametric Map, Segmentation, Label Map Segmentation
        "481.2",  # RT Dose
    )
}
_NO_LOSS_BESIDE = {
    0x00280120: "pixel padding",  # its value would no longer be found (PS3.3 C.7.5.1.1.2)
    0x52009229: "functional groups",  # the history would have to stand in each of them
    0xFFFAFFFA: "digital signature",
}


def refuse_embedded_overlay(attributes: Attributes) -> None:
    """Raise AsReceived when an overlay may lie in the unused bits of the pixel cells.

    A codestream carries Bits Stored and would lose it.
    """
    for group in OVERLAY_GROUPS:
        if _is_embedded(attributes, group << 16):
            raise AsReceived("overlay-in-pixel-cell", f"group {group:04X}")


def _is_embedded(attributes: Attributes, group: int) -> bool:
    described = attributes.has(group | OVERLAY_ROWS)
    return (
        (described and not attributes.has(group | OVERLAY_DATA))
        or attributes.number(group | OVERLAY_BITS_ALLOCATED) not in (None, 1)
        or attributes.number(group | OVERLAY_BIT_POSITION) not in (None, 0)
    )


def refuse_colour_of_class(attributes: Attributes, photometric: str, coding: Coding) -> None:
    """Raise AsReceived where JPEG 2000 would make an object of its class illegal that is legal now.

    Ultrasound may be YBR_FULL in RLE, and in nothing else (PS3.3 C.8.5.6.1.2).
    """
    ultrasound = attributes.text(SOP_CLASS_UID) in ULTRASOUND
    if ultrasound and photometric == "YBR_FULL" and coding == "rle":
        raise AsReceived("colour-of-class", "YBR_FULL")


def refuse_encapsulated_icon(source: Source, syntax: Syntax, elements: list[Element]) -> None:
    """Raise AsReceived when a sequence holds encapsulated pixels (Icon Image Sequence).

    Encapsulated pixels inside a sequence are in the data set's transfer syntax (PS3.5 A.4): they
    would have to be recoded with it.
    """
    for element in elements:
        if element.tag != PIXEL_DATA and (element.vr == "SQ" or element.undefined):
            for item in _items(source, syntax, element):
                if any(inner.tag == PIXEL_DATA and inner.undefined for inner in item):
                    raise AsReceived("encapsulated-icon", f"in {element.tag:08X}")


def _items(source: Source, syntax: Syntax, element: Element) -> list[tuple[Element, ...]]:
    """Return the elements of each item, at any depth."""
    nested = walk_nested(source, syntax, element)
    return [item.elements for items in nested.values() for item in items]


def refuse_loss(data_set_syntax: Syntax, attributes: Attributes) -> None:
    """Raise AsReceived where content must not be lost: lossy-before, not-for-lossy.

    Lost once is said once more by no ratio; and not every number in a pixel is a shade.
    """
    if is_lossy(data_set_syntax, attributes):
        raise AsReceived("lossy-before", attributes.text(LOSSY_IMAGE_COMPRESSION))
    if attributes.text(SOP_CLASS_UID) in NO_LOSS:
        raise AsReceived("not-for-lossy", "SOP class")
    if attributes.text(PHOTOMETRIC_INTERPRETATION) == "PALETTE COLOR":
        raise AsReceived("not-for-lossy", "palette")
    for tag, what in _NO_LOSS_BESIDE.items():
        if attributes.has(tag):
            raise AsReceived("not-for-lossy", what)


def is_lossy(syntax: Syntax, attributes: Attributes) -> bool:
    """Return whether content was lost on the way to these pixels (PS3.3 C.7.6.1.1.5)."""
    said = attributes.text(LOSSY_IMAGE_COMPRESSION) == "01"
    history = (LOSSY_IMAGE_COMPRESSION_RATIO, LOSSY_IMAGE_COMPRESSION_METHOD)
    return said or syntax.uid in LOSSY_SYNTAXES or any(map(attributes.text, history))
