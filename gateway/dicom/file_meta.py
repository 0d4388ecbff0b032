"""file_meta: the head of a DICOM file as it leaves the box: preamble, prefix, file meta.

Takes      three UIDs
Gives      the bytes before the data set, always the same for the same UIDs
Holds      nothing: what our own files say in preamble and private information stays here

An archive that keeps whole files (Google Cloud Healthcare) takes the same object with another head
for another object, and refuses it: these bytes do not change from version to version.

References: PS3.10 7.1, table 7.1-1; PS3.7 D.3.3.2 (implementation identification).
"""

import struct

#: Frozen for ever, see above.
IMPLEMENTATION_CLASS_UID = "2.25.189461237201854370254163982440318467521"
IMPLEMENTATION_VERSION_NAME = "GATEWAY_1"


def file_head(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return what stands before the data set in a DICOM file."""
    elements = struct.pack("<HH2sxxI", 2, 1, b"OB", 2) + b"\0\1"
    elements += _text(0x02, "UI", sop_class_uid)
    elements += _text(0x03, "UI", sop_instance_uid)
    elements += _text(0x10, "UI", transfer_syntax_uid)
    elements += _text(0x12, "UI", IMPLEMENTATION_CLASS_UID)
    elements += _text(0x13, "SH", IMPLEMENTATION_VERSION_NAME)
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements))
    return bytes(128) + b"DICM" + length + elements


def _text(number: int, vr: str, text: str) -> bytes:
    value = text.encode("ascii")
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr.encode("ascii"), len(value)) + value
