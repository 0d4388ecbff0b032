"""requestor: an open association that we asked for, and what can be asked on it.

Takes      requests: a command set with a small data set, or with that of a file
Gives      each answer to them; `services` get what the peer asks meanwhile, in any order
Defers     AssociationFailed: it is lost, or the peer broke the protocol; not to be used again
Holds      nothing
Bounds     the data set of an answer, requests of the peer while it owes us an answer, and by
           `within_s` the time that a question takes as a whole

An answer to another message, or of another kind than the question, is none: the association ends.

References: PS3.8 9.3; PS3.7 9.3.1 (C-STORE), 9.3.2.3 (C-CANCEL), 9.3.5 (C-ECHO), 10.3.
"""

import contextlib
import os
import secrets
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.dicom import command, pdu
from gateway.dicom.dial import AssociationFailed
from gateway.dicom.inbox import Inbox
from gateway.dicom.pdu import Broken
from gateway.dicom.service import NOBODY, Message, Peer, Service, open_sink, response
from gateway.dicom.status import is_pending
from gateway.dicom.tls import TlsFault
from gateway.dicom.wire import Wire

VERIFICATION = "1.2.840.10008.1.1"

#: The data set of an answer: the identifier of one object that was found.
ANSWER_BYTES_MOST = 1 << 16
#: So many requests of the peer are served while it owes us an answer: C-GET has one an object.
REQUESTS_MOST = 1000


class UnreadableFile(Exception):
    """The file to send cannot be read, or is not what it was."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer: (0000,0900) and (0000,0902)."""

    status: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Response(Outcome):
    """An answer with all that came with it; after a pending one others follow."""

    said: command.Command = field(default_factory=dict)
    data: bytes = b""

    @property
    def is_pending(self) -> bool:
        return is_pending(self.status)


#: The answers of which there may be several (PS3.7 9.3.2.2, 9.3.3.2, 9.3.4.2).
_MANY = frozenset(
    kind | command.RESPONSE for kind in (command.C_FIND_RQ, command.C_GET_RQ, command.C_MOVE_RQ)
)

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
    peer: Peer = NOBODY
    services: Sequence[Service] = ()
    #: The last one; it begins anywhere, so that what comes late of another association is known.
    _message_id: int = field(default_factory=lambda: secrets.randbelow(0xFFFF))
    _inbox: Inbox = field(init=False)

    def __post_init__(self) -> None:
        self._inbox = Inbox(self.wire)

    def accepts(self, sop_class_uid: str) -> set[str]:
        """Return the transfer syntaxes that the peer accepted for this class."""
        return {syntax for abstract, syntax in self.contexts if abstract == sop_class_uid}

    def echo(self) -> Outcome:
        """Return the answer to a C-ECHO."""
        values: command.Elements = {
            command.AFFECTED_SOP_CLASS_UID: VERIFICATION,
            command.COMMAND_FIELD: command.C_ECHO_RQ,
        }
        return next(self.ask(self.pair_of(VERIFICATION), values))

    def store(self, pair: Pair, sop_instance_uid: str, path: Path, offset: int) -> Outcome:
        """Send the data set from `offset` to the end of the file at `path`; return the answer."""
        values: command.Elements = {
            command.AFFECTED_SOP_CLASS_UID: pair[0],
            command.COMMAND_FIELD: command.C_STORE_RQ,
            command.PRIORITY: 0,
            command.AFFECTED_SOP_INSTANCE_UID: sop_instance_uid,
        }
        return next(self.ask(pair, values, _pieces(path, offset, self.pdu_bytes - 6)))

    @property
    def next_message_id(self) -> int:
        """Return the (0000,0110) of the next question."""
        return self._message_id % 0xFFFF + 1

    def pair_of(self, sop_class_uid: str) -> Pair:
        """Return the first accepted pair of this class.

        Raises
        ------
        AssociationFailed
            `no-context`
        """
        for pair in self.contexts:
            if pair[0] == sop_class_uid:
                return pair
        raise AssociationFailed("no-context", sop_class_uid)

    def ask(
        self,
        pair: Pair,
        values: command.Elements,
        data: "bytes | Iterator[tuple[memoryview, bool]]" = b"",
        within_s: float = 0.0,
    ) -> Iterator[Response]:
        """Send one request and give every answer to it; to a C-FIND, C-GET or C-MOVE several.

        Who stops before the last one makes the association useless.

        Parameters
        ----------
        within_s
            The last answer is here by then; 0: each may take `answer_s`.
        """
        context = self.contexts[pair]
        self._message_id = self.next_message_id
        kind = command.DATA_SET if data else command.NO_DATA_SET
        sent = values | {command.MESSAGE_ID: self._message_id, command.DATA_SET_TYPE: kind}
        with self._faults(within_s):
            self._send(context, pdu.COMMAND | pdu.LAST, command.encode(sent))
            pieces = _cut(data, self.pdu_bytes - 6) if isinstance(data, bytes) else data
            for piece, is_last in pieces:
                self._send(context, pdu.LAST if is_last else 0, piece)
            yield from self._answers(int(values[command.COMMAND_FIELD]) | command.RESPONSE)

    def cancel(self, pair: Pair) -> None:
        """Tell the peer that the answers up to now are enough; the last one still comes."""
        values: command.Elements = {
            command.COMMAND_FIELD: command.C_CANCEL_RQ,
            command.RESPONDED_MESSAGE_ID: self._message_id,
            command.DATA_SET_TYPE: command.NO_DATA_SET,
        }
        with self._faults():
            self._send(self.contexts[pair], pdu.COMMAND | pdu.LAST, command.encode(values))

    def hear(self) -> None:
        """Serve what the peer has asked meanwhile, without waiting for more.

        Raises
        ------
        AssociationFailed
            The association is over: also where the peer released it, `closed`.
        """
        with self._faults():
            self.wire.patience(self.answer_s)
            while self._inbox.has_news():
                context, message = self._inbox.command()
                if command.number(message, command.COMMAND_FIELD) & command.RESPONSE:
                    raise Broken(pdu.UNEXPECTED, "an answer to nothing")
                self._serve(context, message)

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

    def _answers(self, expected: int) -> Iterator[Response]:
        while True:
            context, message = self._response(expected)
            data = self._small(context) if command.has_data_set(message) else b""
            status = command.number(message, command.STATUS)
            comment = command.text(message, command.ERROR_COMMENT)
            yield Response(status, comment, message, data)
            if expected not in _MANY or not is_pending(status):
                return

    def _response(self, expected: int) -> tuple[int, command.Command]:
        """Return the next answer, after what the peer has asked before it."""
        self.wire.patience(self.answer_s)
        for _ in range(REQUESTS_MOST):
            context, message = self._inbox.command()
            field_ = command.number(message, command.COMMAND_FIELD)
            if field_ & command.RESPONSE:
                responded = command.number(message, command.RESPONDED_MESSAGE_ID)
                if field_ != expected or responded != self._message_id:
                    raise Broken(pdu.INVALID_VALUE, "the answer is to another message")
                return context, message
            self._serve(context, message)
        raise Broken(pdu.UNEXPECTED, "requests without end instead of an answer")

    def _small(self, context: int) -> bytes:
        data = bytearray()
        for piece in self._inbox.data_set(context):
            if len(data) + len(piece) > ANSWER_BYTES_MOST:
                raise Broken(pdu.INVALID_VALUE, "an answer longer than any object's identifier")
            data += piece
        return bytes(data)

    def _serve(self, context: int, request: command.Command) -> None:
        if command.number(request, command.COMMAND_FIELD) == command.C_CANCEL_RQ:
            return
        pair = next((pair for pair, number in self.contexts.items() if number == context), None)
        if pair is None:
            raise Broken(pdu.INVALID_VALUE, "a presentation data value of no context")
        sink = open_sink(self.services, Message(self.peer, *pair, request))
        try:
            if command.has_data_set(request):
                for piece in self._inbox.data_set(context):
                    sink.write(piece)
        except BaseException:
            sink.drop()
            raise
        reply = sink.finish()
        self._send(context, pdu.COMMAND | pdu.LAST, response(request, reply))

    def _send(self, context: int, control: int, value: bytes | memoryview) -> None:
        head = struct.pack(">IBB", len(value) + 2, context, control)
        self.wire.send(pdu.P_DATA, head, value)

    @contextlib.contextmanager
    def _faults(self, within_s: float = 0.0) -> Iterator[None]:
        self.wire.deadline = time.monotonic() + within_s if within_s else 0.0
        with named_faults():
            yield
        self.wire.deadline = 0.0


@contextlib.contextmanager
def named_faults() -> Iterator[None]:
    """Turn what happens to a connection into AssociationFailed, with stable codes."""
    try:
        yield
    except Broken as fault:
        raise AssociationFailed("protocol", fault.what) from fault
    except TlsFault as fault:
        raise AssociationFailed(fault.code, fault.detail) from fault
    except TimeoutError as fault:
        raise AssociationFailed("timeout", str(fault)) from fault
    except OSError as fault:
        raise AssociationFailed("closed", str(fault)) from fault


def _cut(data: bytes, most: int) -> Iterator[tuple[memoryview, bool]]:
    view = memoryview(data)
    for at in range(0, len(data), most):
        yield view[at : at + most], at + most >= len(data)


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
