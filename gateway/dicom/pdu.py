"""pdu: the protocol data units of the upper layer, as bytes and as dataclasses.

Knows no socket.  Whatever a peer sends is either understood or `Broken`; a length is never
believed beyond the bytes that are there.

References: PS3.8 9.3 (PDUs), annex D (user information), PS3.8 9.3.4 and 9.3.8 (reasons).
"""

import struct
from dataclasses import dataclass

from spool.blobfile import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

#: Abort reasons of the service provider (PS3.8 9.3.8).
NO_REASON, UNRECOGNIZED, UNEXPECTED, INVALID_VALUE = 0, 1, 2, 6

#: Results of a presentation context (PS3.8 9.3.3.2).
ACCEPTANCE, NO_REASON_CONTEXT, ABSTRACT_SYNTAX_REFUSED, TRANSFER_SYNTAXES_REFUSED = 0, 2, 3, 4

COMMAND, LAST = 1, 2  # message control header, PS3.8 E.2

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
#: An A-ASSOCIATE-RQ with 128 contexts of 40 transfer syntaxes each has about 200 KiB.
REQUEST_BYTES_MOST = 1 << 19


class Broken(Exception):
    """The peer broke the protocol: `reason` is what to abort with, `what` what it did."""

    def __init__(self, reason: int, what: str) -> None:
        super().__init__(what)
        self.reason, self.what = reason, what


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is refused (PS3.8 9.3.4)."""

    result: int  #: 1 permanent, 2 transient
    source: int  #: 1 service user, 2 ACSE, 3 presentation
    reason: int


CALLING_AE_NOT_RECOGNIZED = Rejection(1, 1, 3)
CALLED_AE_NOT_RECOGNIZED = Rejection(1, 1, 7)
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2)
TEMPORARY_CONGESTION = Rejection(2, 3, 1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """One presentation context of a request: an odd id, what, and in which encodings."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a proposal."""

    id: int
    result: int  #: 0 accepted
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Role:
    """SCP/SCU role selection for one SOP Class: what the *requestor* is, or may be (PS3.7 D.3.3.4).

    Without it the requestor is the SCU.
    """

    sop_class_uid: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class Request:
    """An A-ASSOCIATE-RQ."""

    called_ae: bytes  #: 16 bytes, as they came
    calling_ae: bytes
    proposals: tuple[Proposal, ...]
    max_pdu_bytes: int = 0  #: what the sender takes; 0 is unlimited
    implementation: str = ""
    roles: tuple[Role, ...] = ()


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An A-ASSOCIATE-AC."""

    answers: tuple[Answer, ...]
    max_pdu_bytes: int = 0
    roles: tuple[Role, ...] = ()


def ae_bytes(title: str) -> bytes:
    """Return the 16 bytes of an AE title (PS3.8 9.3.2, PS3.5 6.2)."""
    return title.encode("ascii", "backslashreplace")[:16].ljust(16)


def ae_text(raw: bytes) -> str:
    """Return an AE title as it can be shown; bytes that are no ASCII stand as `\\xNN`."""
    return raw.strip(b" \0").decode("ascii", "backslashreplace")


def encode_request(request: Request) -> bytes:
    """Return the body of an A-ASSOCIATE-RQ PDU."""
    items = _item(0x10, APPLICATION_CONTEXT.encode())
    for one in request.proposals:
        inner = _item(0x30, one.abstract_syntax.encode())
        inner += b"".join(_item(0x40, uid.encode()) for uid in one.transfer_syntaxes)
        items += _item(0x20, bytes([one.id, 0, 0, 0]) + inner)
    head = struct.pack(">HH16s16s32x", 1, 0, request.called_ae, request.calling_ae)
    return head + items + _user_information(request.max_pdu_bytes, request.roles)


def encode_acceptance(request_body: bytes, acceptance: Acceptance) -> bytes:
    """Return the body of an A-ASSOCIATE-AC; it repeats the request's titles (PS3.8 9.3.3)."""
    items = _item(0x10, APPLICATION_CONTEXT.encode())
    for one in acceptance.answers:
        syntax = _item(0x40, one.transfer_syntax.encode())
        items += _item(0x21, bytes([one.id, 0, one.result, 0]) + syntax)
    items += _user_information(acceptance.max_pdu_bytes, acceptance.roles)
    return b"\0\1\0\0" + request_body[4:68] + items


def encode_rejection(rejection: Rejection) -> bytes:
    """Return the body of an A-ASSOCIATE-RJ."""
    return bytes([0, rejection.result, rejection.source, rejection.reason])


def decode_request(body: bytes) -> Request:
    """Return the request, or raise `Broken`."""
    if len(body) < 68:
        raise Broken(INVALID_VALUE, "the association request is too short")
    if not struct.unpack_from(">H", body)[0] & 1:
        raise Broken(INVALID_VALUE, "the protocol version is unknown")
    proposals: list[Proposal] = []
    said = _Said()
    for kind, value in _items(body[68:]):
        if kind == 0x20:
            proposals.append(_proposal(value))
        elif kind == 0x50:
            said = _decode_user_information(value)
    return Request(
        body[4:20],
        body[20:36],
        tuple(proposals),
        said.max_pdu_bytes,
        said.implementation,
        said.roles,
    )


def decode_acceptance(body: bytes) -> Acceptance:
    """Return what the peer accepted, or raise `Broken`."""
    if len(body) < 68:
        raise Broken(INVALID_VALUE, "the association answer is too short")
    answers: list[Answer] = []
    said = _Said()
    for kind, value in _items(body[68:]):
        if kind == 0x21 and len(value) >= 4:
            answers.append(_answer(value))
        elif kind == 0x50:
            said = _decode_user_information(value)
    return Acceptance(tuple(answers), said.max_pdu_bytes, said.roles)


def uid_text(raw: bytes) -> str:
    """Return a UID without its padding, or raise `Broken`; 1 to 64 digits and dots (PS3.5 9.1)."""
    text = raw.rstrip(b"\0 ").decode("ascii", "replace")
    if not is_uid(text):
        raise Broken(INVALID_VALUE, "a UID is not made of 1 to 64 digits and dots")
    return text


def is_uid(text: str) -> bool:
    """Tell whether `text` is 1 to 64 digits and dots; leading zeros of old boxes are let by."""
    return 0 < len(text) <= 64 and not text.strip("0123456789.")


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _items(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise Broken(INVALID_VALUE, "an item is cut short")
        kind, length = struct.unpack_from(">BxH", data, at)
        if at + 4 + length > len(data):
            raise Broken(INVALID_VALUE, "an item is longer than what holds it")
        found.append((kind, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def _proposal(value: bytes) -> Proposal:
    if len(value) < 4:
        raise Broken(INVALID_VALUE, "a presentation context is too short")
    parts = _items(value[4:])
    abstract = [uid_text(part) for kind, part in parts if kind == 0x30]
    transfer = tuple(uid_text(part) for kind, part in parts if kind == 0x40)
    if len(abstract) != 1:
        raise Broken(INVALID_VALUE, "a presentation context names no abstract syntax")
    return Proposal(value[0], abstract[0], transfer)


def _answer(value: bytes) -> Answer:
    """Return what became of a proposal; of one refused the syntax says nothing (PS3.8 9.3.3.2)."""
    (raw, *_) = [part for kind, part in _items(value[4:]) if kind == 0x40] or [b""]
    if value[2] != ACCEPTANCE:
        return Answer(value[0], value[2], raw.rstrip(b"\0 ").decode("ascii", "replace"))
    return Answer(value[0], value[2], uid_text(raw))


@dataclass(frozen=True, slots=True)
class _Said:
    """What of the user information is used."""

    max_pdu_bytes: int = 0
    implementation: str = ""
    roles: tuple[Role, ...] = ()


def _user_information(max_pdu_bytes: int, roles: tuple[Role, ...]) -> bytes:
    items = _item(0x51, struct.pack(">I", max_pdu_bytes))
    items += _item(0x52, IMPLEMENTATION_CLASS_UID.encode())
    for role in roles:  # by rising item types (PS3.7 D.3.3)
        uid = role.sop_class_uid.encode()
        items += _item(0x54, struct.pack(">H", len(uid)) + uid + bytes([role.scu, role.scp]))
    return _item(0x50, items + _item(0x55, IMPLEMENTATION_VERSION_NAME.encode()))


def _decode_user_information(value: bytes) -> _Said:
    max_pdu_bytes, implementation = 0, ""
    roles: list[Role] = []
    for kind, part in _items(value):
        if kind == 0x51 and len(part) == 4:
            (max_pdu_bytes,) = struct.unpack(">I", part)
        elif kind == 0x54:
            roles.append(_role(part))
        elif kind == 0x55:
            implementation = part.decode("ascii", "backslashreplace")
    return _Said(max_pdu_bytes, implementation, tuple(roles))


def _role(part: bytes) -> Role:
    (length,) = struct.unpack_from(">H", part) if len(part) >= 2 else (0,)
    if len(part) != length + 4:
        raise Broken(INVALID_VALUE, "a role selection is cut short")
    scu, scp = part[-2:]
    return Role(uid_text(part[2:-2]), scu == 1, scp == 1)
