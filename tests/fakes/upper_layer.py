"""upper_layer: PDUs and command sets made and read by hand, for peers that may do anything.

It shares no line with the gateway: what is tested never writes the bytes that it is tested on.

References: PS3.8 9.3 (PDUs), E.2 (message control header); PS3.7 9.3, E.1 (commands).
"""

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

REQUEST, ACCEPT, REJECT, DATA, RELEASE, RELEASED, ABORT = range(1, 8)
COMMAND, LAST = 1, 2
C_STORE, C_ECHO, RESPONSE, NO_DATA_SET = 0x0001, 0x0030, 0x8000, 0x0101
VERIFICATION, US_IMAGE = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.6.1"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"

#: (abstract syntax, transfer syntaxes); the n-th has the id 2n + 1.
Context = tuple[str, Sequence[str]]


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    """Return one PDU; `length` overrides the true one."""
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + length


def titled(body: bytes, calling: bytes, called: bytes) -> bytes:
    """Return the fixed head of a request or an acceptance before `body`."""
    return struct.pack(">Hxx16s16s32x", 1, called.ljust(16), calling.ljust(16)) + body


def user_information(max_pdu_bytes: int) -> bytes:
    own = item(0x51, struct.pack(">I", max_pdu_bytes)) + item(0x52, b"2.25.1")
    return item(0x50, own)


def request(contexts: Iterable[Context], *, calling: bytes, called: bytes) -> bytes:
    """Return an A-ASSOCIATE-RQ."""
    offered = b"".join(
        item(0x20, bytes([2 * number + 1, 0, 0, 0]) + _proposal(abstract, syntaxes))
        for number, (abstract, syntaxes) in enumerate(contexts)
    )
    body = item(0x10, b"1.2.840.10008.3.1.1.1") + offered + user_information(0)
    return pdu(REQUEST, titled(body, calling, called))


def _proposal(abstract: str, syntaxes: Iterable[str]) -> bytes:
    offered = b"".join(item(0x40, uid.encode()) for uid in syntaxes)
    return item(0x30, abstract.encode()) + offered


def command(elements: dict[int, int | str]) -> bytes:
    """Return a command set; a number is US, a text UI."""
    body = b""
    for number, value in sorted(elements.items()):
        raw = struct.pack("<H", value) if isinstance(value, int) else value.encode("latin-1")
        raw += bytes(len(raw) % 2)
        body += struct.pack("<HHI", 0, number, len(raw)) + raw
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def command_of(data: bytes) -> dict[int, bytes]:
    """Return the raw values of a command set by element number."""
    found, at = {}, 0
    while at < len(data):
        _, number, length = struct.unpack_from("<HHI", data, at)
        found[number] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def store_command(sop_class_uid: str, sop_instance_uid: str, message_id: int = 1) -> bytes:
    """Return a C-STORE-RQ; an empty UID is left out."""
    uid = {0x1000: sop_instance_uid} if sop_instance_uid else {}
    elements: dict[int, int | str] = {2: sop_class_uid, 0x100: C_STORE, 0x110: message_id}
    return command(elements | {0x700: 0, 0x800: 0} | uid)


def p_data(context: int, control: int, value: bytes, length: int | None = None) -> bytes:
    """Return one P-DATA-TF with one fragment; `length` overrides the fragment's true one."""
    size = len(value) + 2 if length is None else length
    return pdu(DATA, struct.pack(">IBB", size, context, control) + value)


def fragments(context: int, data: bytes, most: int = 16_000) -> Iterator[bytes]:
    """Give the PDUs of a data set."""
    starts = range(0, len(data), most) or [0]
    for at in starts:
        control = LAST if at + most >= len(data) else 0
        yield p_data(context, control, data[at : at + most])


def exactly(peer: socket.socket, count: int) -> bytes:
    """Return `count` bytes; `ConnectionError` when the peer ends before."""
    parts = []
    while count:
        part = peer.recv(min(count, 1 << 20))
        if not part:
            raise ConnectionError("closed")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_pdu(peer: socket.socket) -> tuple[int, bytes]:
    kind, length = struct.unpack(">BxI", exactly(peer, 6))
    return kind, exactly(peer, length)
