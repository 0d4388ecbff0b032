"""request: one association that we open, to store objects or to ask whether somebody is there.

Takes      an address, the presentation contexts wanted, and how long to wait
Gives      the status of each C-STORE and C-ECHO
Holds      nothing
Repeats    the same bytes of the same file at every try: a data set is sent as it lies on the disk

References: PS3.8 9.2, 9.3; PS3.7 9.3.1 (C-STORE), 9.3.5 (C-ECHO).
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.dicom import command, pdu
from gateway.dicom.pdu import Broken
from gateway.dicom.wire import Wire

VERIFICATION = "1.2.840.10008.1.1"

#: An unlimited peer gets PDUs of this size.
PDU_BYTES_MOST = 1 << 17


class AssociationFailed(Exception):
    """No association, or it is lost; `code` is stable (see gateway.reasons), `detail` technical."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


class UnreadableFile(Exception):
    """The file to send cannot be read, or is not what it was."""


@dataclass(frozen=True, slots=True)
class Called:
    """Whom to call, as whom, and how patiently."""

    host: str
    port: int
    called_ae: str
    calling_ae: str
    connect_s: float = 10.0
    answer_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer: (0000,0900) and (0000,0902)."""

    status: int
    comment: str = ""


#: (SOP class, transfer syntax): one context each, so that what was accepted is known.
Pair = tuple[str, str]


@dataclass(slots=True)
class Requestor:
    """An open association; made by `associate`."""

    wire: Wire
    contexts: dict[Pair, int]  #: accepted pair -> context id
    proposed: frozenset[Pair]
    pdu_bytes: int
    answer_s: float
    _message_id: int = field(default=0)

    def accepts(self, sop_class_uid: str) -> set[str]:
        """Return the transfer syntaxes that the peer accepted for this class."""
        return {syntax for abstract, syntax in self.contexts if abstract == sop_class_uid}

    def is_alive(self) -> bool:
        """Tell whether the association can still be used: nothing came, so nobody ended it."""
        return not self.wire.has_news()

    def echo(self) -> Outcome:
        """Return the answer to a C-ECHO."""
        context = next(
            (number for (abstract, _), number in self.contexts.items() if abstract == VERIFICATION),
            None,
        )
        if context is None:
            raise AssociationFailed("no-context", "Verification was not accepted")
        with _named_faults():
            self._send_command(context, self._echo_command())
            return self._outcome()

    def store(self, pair: Pair, sop_instance_uid: str, path: Path, offset: int) -> Outcome:
        """Send the data set from `offset` to the end of the file at `path`; return the answer."""
        with _named_faults():
            self._send_command(self.contexts[pair], self._store_command(pair[0], sop_instance_uid))
            self._send_data_set(self.contexts[pair], path, offset)
            return self._outcome()

    def release(self) -> None:
        """End the association politely; a peer that does not answer loses its connection."""
        with contextlib.suppress(OSError, Broken):
            self.wire.patience(min(self.answer_s, 5))
            self.wire.send(pdu.RELEASE_RQ, bytes(4))
            self.wire.head()
        self.wire.close()

    def abort(self) -> None:
        """End the association at once."""
        with contextlib.suppress(OSError):
            self.wire.send(pdu.ABORT, bytes(4))
        self.wire.close()

    def _echo_command(self) -> dict[int, int | str]:
        return {
            command.AFFECTED_SOP_CLASS_UID: VERIFICATION,
            command.COMMAND_FIELD: command.C_ECHO_RQ,
            command.MESSAGE_ID: self._next_id(),
            command.DATA_SET_TYPE: command.NO_DATA_SET,
        }

    def _store_command(self, sop_class_uid: str, sop_instance_uid: str) -> dict[int, int | str]:
        return {
            command.AFFECTED_SOP_CLASS_UID: sop_class_uid,
            command.COMMAND_FIELD: command.C_STORE_RQ,
            command.MESSAGE_ID: self._next_id(),
            command.PRIORITY: 0,
            command.DATA_SET_TYPE: 1,
            command.AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
        }

    def _next_id(self) -> int:
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    def _send_command(self, context: int, values: dict[int, int | str]) -> None:
        self._send_value(context, pdu.COMMAND | pdu.LAST, command.encode(values))

    def _send_value(self, context: int, control: int, value: bytes | memoryview) -> None:
        head = struct.pack(">IBB", len(value) + 2, context, control)
        self.wire.send(pdu.P_DATA, head, value)

    def _send_data_set(self, context: int, path: Path, offset: int) -> None:
        for piece, is_last in _pieces(path, offset, self.pdu_bytes - 6):
            self._send_value(context, pdu.LAST if is_last else 0, piece)

    def _outcome(self) -> Outcome:
        self.wire.patience(self.answer_s)
        kind, length = self.wire.head()
        if kind == pdu.ABORT:
            _, _, source, reason = self.wire.exactly(4)
            raise AssociationFailed("aborted", f"source {source} reason {reason}")
        if kind == pdu.RELEASE_RQ:
            self.wire.send(pdu.RELEASE_RP, bytes(4))
            raise AssociationFailed("closed", "the peer released before it answered")
        if kind != pdu.P_DATA or not 6 <= length <= PDU_BYTES_MOST:
            raise Broken(pdu.UNEXPECTED, f"PDU type {kind} instead of an answer")
        return _outcome_of(bytes(self.wire.exactly(length)), self._message_id)


def associate(called: Called, pairs: Iterable[Pair]) -> Requestor:
    """Return an open association that proposes each (SOP class, transfer syntax) once.

    Verification is proposed as well.  At most 128 contexts fit (PS3.8 9.3.2.2).

    Raises
    ------
    AssociationFailed
        `connection-refused`, `unreachable`, `timeout`, `rejected`, `aborted`, `closed`,
        `protocol`.
    """
    wanted = list(dict.fromkeys([*pairs, (VERIFICATION, "1.2.840.10008.1.2")]))[-128:]
    numbered = {2 * index + 1: pair for index, pair in enumerate(wanted)}
    proposals = tuple(
        pdu.Proposal(number, abstract, (syntax,)) for number, (abstract, syntax) in numbered.items()
    )
    wire = _connect(called)
    try:
        with _named_faults():
            acceptance = _negotiate(wire, called, proposals)
    except BaseException:
        wire.close()
        raise
    contexts = {
        numbered[answer.id]: answer.id
        for answer in acceptance.answers
        if answer.result == pdu.ACCEPTANCE and answer.id in numbered
    }
    largest = acceptance.max_pdu_bytes or PDU_BYTES_MOST
    pdu_bytes = max(min(largest, PDU_BYTES_MOST), 64)
    return Requestor(wire, contexts, frozenset(wanted), pdu_bytes, called.answer_s)


def _connect(called: Called) -> Wire:
    try:
        connected = socket.create_connection((called.host, called.port), called.connect_s)
    except ConnectionRefusedError as fault:
        raise AssociationFailed("connection-refused", str(fault)) from fault
    except TimeoutError as fault:
        raise AssociationFailed("connect-timeout", str(fault)) from fault
    except OSError as fault:  # no route, no such name, …
        raise AssociationFailed("unreachable", str(fault)) from fault
    return Wire(connected, called.answer_s)


def _negotiate(wire: Wire, called: Called, proposals: tuple[pdu.Proposal, ...]) -> pdu.Acceptance:
    request = pdu.Request(
        pdu.ae_bytes(called.called_ae), pdu.ae_bytes(called.calling_ae), proposals, PDU_BYTES_MOST
    )
    wire.send(pdu.ASSOCIATE_RQ, pdu.encode_request(request))
    kind, length = wire.head()
    if length > pdu.REQUEST_BYTES_MOST:
        raise Broken(pdu.INVALID_VALUE, f"an answer of {length} bytes")
    body = bytes(wire.exactly(length))
    if kind == pdu.ASSOCIATE_AC:
        return pdu.decode_acceptance(body)
    if kind == pdu.ASSOCIATE_RJ and length == 4:
        raise AssociationFailed("rejected", f"result {body[1]} source {body[2]} reason {body[3]}")
    if kind == pdu.ABORT and length == 4:
        raise AssociationFailed("aborted", f"source {body[2]} reason {body[3]}")
    raise Broken(pdu.UNEXPECTED, f"PDU type {kind} instead of an answer")


def _pieces(path: Path, offset: int, most: int) -> Iterator[tuple[memoryview, bool]]:
    """Give the file from `offset` in pieces of up to `most` bytes, and whether it is the last."""
    buffer = memoryview(bytearray(most))
    try:
        with path.open("rb", buffering=0) as file:
            left = os.fstat(file.fileno()).st_size - offset
            file.seek(offset)
            while left > 0:
                count = file.readinto(buffer[: min(most, left)])
                if not count:
                    raise UnreadableFile(f"{path.name} became shorter while it was read")
                left -= count
                yield buffer[:count], left == 0
    except OSError as fault:
        raise UnreadableFile(str(fault)) from fault


def _outcome_of(body: bytes, message_id: int) -> Outcome:
    size, _, control = struct.unpack_from(">IBB", body)
    whole = pdu.COMMAND | pdu.LAST
    if size + 4 != len(body) or control & whole != whole:
        raise Broken(pdu.INVALID_VALUE, "the answer is not one whole command set")
    answer = command.decode(body[6:])
    if command.number(answer, command.RESPONDED_MESSAGE_ID) != message_id:
        raise Broken(pdu.INVALID_VALUE, "the answer is to another message")
    comment = command.text(answer, command.ERROR_COMMENT)
    return Outcome(command.number(answer, command.STATUS), comment)


@contextlib.contextmanager
def _named_faults() -> Iterator[None]:
    try:
        yield
    except Broken as fault:
        raise AssociationFailed("protocol", fault.what) from fault
    except TimeoutError as fault:
        raise AssociationFailed("timeout", str(fault)) from fault
    except OSError as fault:
        raise AssociationFailed("closed", str(fault)) from fault
