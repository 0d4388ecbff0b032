"""command: DIMSE command sets, Implicit VR Little Endian.

References: PS3.7 6.3.1 (encoding), 9.3 (messages), E.1 (registry of command elements).
"""

import struct

from gateway.dicom.pdu import INVALID_VALUE, Broken

C_STORE_RQ, C_ECHO_RQ, C_CANCEL_RQ, RESPONSE = 0x0001, 0x0030, 0x0FFF, 0x8000
NO_DATA_SET = 0x0101

#: Element numbers of group 0000.
AFFECTED_SOP_CLASS_UID, COMMAND_FIELD, MESSAGE_ID = 0x0002, 0x0100, 0x0110
RESPONDED_MESSAGE_ID, PRIORITY, DATA_SET_TYPE = 0x0120, 0x0700, 0x0800
STATUS, ERROR_COMMENT, AFFECTED_SOP_INSTANCE_UID = 0x0900, 0x0902, 0x1000

#: Longest command set taken; real ones have about 200 bytes.
COMMAND_BYTES_MOST = 1 << 14

Command = dict[int, bytes]


def encode(values: dict[int, int | str]) -> bytes:
    """Return a command set; a number is US, text is padded with a NUL (UI) or a space (LO)."""
    body = b""
    for number in sorted(values):
        value = _value(number, values[number])
        body += struct.pack("<HHI", 0, number, len(value)) + value
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def decode(data: bytes) -> Command:
    """Return element number -> raw value of a command set, or raise `Broken`."""
    found: Command = {}
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise Broken(INVALID_VALUE, "a command element is cut short")
        group, number, length = struct.unpack_from("<HHI", data, at)
        if group or at + 8 + length > len(data):
            raise Broken(INVALID_VALUE, "a command element is longer than the command set")
        found[number] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def number(command: Command, element: int) -> int:
    """Return a US value, or raise `Broken` where it is missing or misshapen."""
    raw = command.get(element, b"")
    if len(raw) != 2:
        raise Broken(INVALID_VALUE, f"command element (0000,{element:04X}) is missing")
    return int.from_bytes(raw, "little")


def text(command: Command, element: int) -> str:
    """Return a text value without padding; bytes that are no ASCII become U+FFFD."""
    return command.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace")


def _value(number: int, value: int | str) -> bytes:
    if isinstance(value, int):
        return struct.pack("<H", value)
    raw = value.encode("ascii", "replace")
    pad = b" " if number == ERROR_COMMENT else b"\0"
    return raw + pad * (len(raw) % 2)
