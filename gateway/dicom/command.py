"""command: DIMSE command sets, Implicit VR Little Endian.

References: PS3.7 6.3.1 (encoding), 9.3 (messages), E.1 (registry of command elements).
"""

import struct

from gateway.dicom.pdu import INVALID_VALUE, Broken

C_STORE_RQ, C_ECHO_RQ, C_CANCEL_RQ, RESPONSE = 0x0001, 0x0030, 0x0FFF, 0x8000
C_GET_RQ, C_FIND_RQ, C_MOVE_RQ = 0x0010, 0x0020, 0x0021
N_EVENT_REPORT_RQ, N_ACTION_RQ = 0x0100, 0x0130
NO_DATA_SET, DATA_SET = 0x0101, 0x0001

#: Element numbers of group 0000.
AFFECTED_SOP_CLASS_UID, REQUESTED_SOP_CLASS_UID = 0x0002, 0x0003
COMMAND_FIELD, MESSAGE_ID, RESPONDED_MESSAGE_ID = 0x0100, 0x0110, 0x0120
MOVE_DESTINATION, PRIORITY, DATA_SET_TYPE = 0x0600, 0x0700, 0x0800
STATUS, ERROR_COMMENT = 0x0900, 0x0902
AFFECTED_SOP_INSTANCE_UID, REQUESTED_SOP_INSTANCE_UID = 0x1000, 0x1001
EVENT_TYPE_ID, ACTION_TYPE_ID = 0x1002, 0x1008
COMPLETED_SUBOPERATIONS, FAILED_SUBOPERATIONS, WARNING_SUBOPERATIONS = 0x1021, 0x1022, 0x1023
MOVE_ORIGINATOR_AE_TITLE, MOVE_ORIGINATOR_MESSAGE_ID = 0x1030, 0x1031

#: Elements whose text is padded with a space: LO and AE; the others are UI.
_SPACED = frozenset((ERROR_COMMENT, MOVE_DESTINATION, MOVE_ORIGINATOR_AE_TITLE))

#: Longest command set taken; real ones have about 200 bytes.
COMMAND_BYTES_MOST = 1 << 14

Command = dict[int, bytes]
Elements = dict[int, int | str]


def encode(values: Elements) -> bytes:
    """Return a command set; a number is US, text is padded with a NUL (UI) or a space (LO, AE)."""
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


def number_or_zero(command: Command, element: int) -> int:
    """Return a US value, 0 where the peer left it out."""
    return number(command, element) if command.get(element) else 0


def has_data_set(command: Command) -> bool:
    """Tell whether a data set follows (PS3.7 9.3): anything but 0101H says so."""
    return number(command, DATA_SET_TYPE) != NO_DATA_SET


def text(command: Command, element: int) -> str:
    """Return a text value without padding; bytes that are no ASCII become U+FFFD."""
    return command.get(element, b"").rstrip(b"\0 ").decode("ascii", "replace")


def _value(number: int, value: int | str) -> bytes:
    if isinstance(value, int):
        return struct.pack("<H", value)
    raw = value.encode("ascii", "replace")
    pad = b" " if number in _SPACED else b"\0"
    return raw + pad * (len(raw) % 2)
