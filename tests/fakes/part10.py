"""part10: a file for a sender, written without any toolkit (PS3.10 7.1)."""

import struct

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def part10_file(
    sop_class_uid: str,
    sop_instance_uid: str,
    data: bytes,
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN,
) -> bytes:
    """Return preamble, file meta and the data set."""
    meta = struct.pack("<HH2sxxI", 2, 1, b"OB", 2) + b"\0\1"
    for number, uid in ((2, sop_class_uid), (3, sop_instance_uid), (0x10, transfer_syntax_uid)):
        value = uid.encode() + bytes(len(uid) % 2)
        meta += struct.pack("<HH2sH", 2, number, b"UI", len(value)) + value
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta + data
