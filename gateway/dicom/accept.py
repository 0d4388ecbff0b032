"""accept: one association that a peer opened, from its request to its end.

Takes      a connected socket, the services answered here, and the terms
Gives      each message to the service that takes its SOP Class; each gets one answer
Holds      nothing: what was not answered was not kept
Repeats    a peer that got no answer sends again

A data set is handed on fragment by fragment, never gathered.  A peer that breaks the protocol is
aborted with the standard's reason and told about in one event.

References: PS3.8 9.2 (state machine, as far as an acceptor sees it), 9.3, E.2; PS3.7 9.3.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.dicom import command, pdu
from gateway.dicom.pdu import Broken
from gateway.dicom.service import (
    NOBODY,
    Ended,
    Message,
    Peer,
    Service,
    Sink,
    Terms,
    open_sink,
    response,
)
from gateway.dicom.tls import TlsFault
from gateway.dicom.wire import Wire


@dataclass(slots=True)
class _Pending:
    """The message that is being read."""

    context: int
    request: command.Command
    sink: Sink


class Stopped(Exception):
    """This side ends the association: the stage stops."""


@dataclass(slots=True, eq=False)
class Association:
    """Serves one peer in `run`; `stop` may be called from another thread."""

    wire: Wire
    address: str
    services: Sequence[Service]
    terms: Terms
    _peer: Peer = NOBODY
    _contexts: dict[int, tuple[str, str]] = field(default_factory=dict)
    _command: bytearray = field(default_factory=bytearray)
    _pending: _Pending | None = None
    _stopping: bool = False
    _messages: int = 0

    def run(self) -> Ended:
        """Serve until the association ends, and say how it did."""
        try:
            how, detail = self._serve()
        except Broken as fault:
            self._abort(fault.reason)
            how, detail = "broken", fault.what
        except TimeoutError as fault:
            self._abort(pdu.NO_REASON)
            how, detail = "timeout", str(fault)
        except Stopped:
            self._abort(pdu.NO_REASON)
            how, detail = "stopped", ""
        except OSError as fault:
            how, detail = self._lost(fault)
        finally:
            if self._pending:
                self._pending.sink.drop()
            self.wire.close()
        return Ended(self._peer, how, detail, self._messages)

    def stop(self, *, now: bool = False) -> None:
        """End after the message that is being read, if any; `now` does not wait for it."""
        self._stopping = True
        idle = self._pending is None and not self._command
        if idle or now:
            with contextlib.suppress(OSError):
                self.wire.socket.shutdown(socket.SHUT_RD)

    def _lost(self, fault: OSError) -> tuple[str, str]:
        if isinstance(fault, TlsFault) and not self._stopping:
            return fault.code, fault.detail
        if not self._stopping:
            return "closed", str(fault)
        self._abort(pdu.NO_REASON)
        return "stopped", ""

    def _serve(self) -> tuple[str, str]:
        rejection = self._accept()
        if rejection:
            return "rejected", f"result {rejection.result} reason {rejection.reason}"
        while True:
            kind, length = self.wire.head()
            if kind == pdu.P_DATA:
                self._p_data(length)
            elif kind == pdu.RELEASE_RQ:
                self.wire.send(pdu.RELEASE_RP, bytes(4))
                return "released", ""
            elif kind == pdu.ABORT:
                return "aborted-by-peer", ""
            else:
                known = pdu.ASSOCIATE_RQ <= kind <= pdu.ABORT
                raise Broken(
                    pdu.UNEXPECTED if known else pdu.UNRECOGNIZED, f"PDU type {kind} out of turn"
                )

    def _accept(self) -> pdu.Rejection | None:
        self.wire.patience(self.terms.request_s)
        self.wire.deadline = time.monotonic() + self.terms.request_s
        self.wire.open()
        body = self._request_body()
        request = pdu.decode_request(body)
        self._peer = Peer(
            self.address,
            pdu.ae_text(request.calling_ae),
            pdu.ae_text(request.called_ae),
            request.implementation,
        )
        if rejection := self.terms.may_enter(request):
            self.wire.send(pdu.ASSOCIATE_RJ, pdu.encode_rejection(rejection))
            return rejection
        self.wire.deadline = 0.0
        self.wire.patience(self.terms.idle_s)
        answers = tuple(self._answer(one) for one in request.proposals)
        roles = tuple(role for one in request.roles for role in self._role(one))
        acceptance = pdu.Acceptance(answers, self.terms.max_pdu_bytes, roles)
        self.wire.send(pdu.ASSOCIATE_AC, pdu.encode_acceptance(body, acceptance))
        return None

    def _request_body(self) -> bytes:
        kind, length = self.wire.head()
        if kind != pdu.ASSOCIATE_RQ:
            known = pdu.ASSOCIATE_RQ < kind <= pdu.ABORT
            raise Broken(
                pdu.UNEXPECTED if known else pdu.UNRECOGNIZED, "no association was asked for"
            )
        if length > pdu.REQUEST_BYTES_MOST:
            raise Broken(pdu.INVALID_VALUE, f"an association request of {length} bytes")
        return bytes(self.wire.exactly(length))

    def _answer(self, one: pdu.Proposal) -> pdu.Answer:
        nothing = one.transfer_syntaxes[0] if one.transfer_syntaxes else "1.2.840.10008.1.2"
        for service in self.services:
            syntax = service.choose(one.abstract_syntax, one.transfer_syntaxes)
            if syntax:
                self._contexts[one.id] = (one.abstract_syntax, syntax)
                return pdu.Answer(one.id, pdu.ACCEPTANCE, syntax)
            if syntax == "":
                return pdu.Answer(one.id, pdu.TRANSFER_SYNTAXES_REFUSED, nothing)
        return pdu.Answer(one.id, pdu.ABSTRACT_SYNTAX_REFUSED, nothing)

    def _role(self, asked: pdu.Role) -> Iterator[pdu.Role]:
        """Give the answer to a role selection, where its SOP Class was accepted.

        An archive that reports on storage commitment is the SCP (PS3.4 J.3.3). One that forgets to
        say so, and thus calls itself the SCU, is heard all the same: roles decide about no message.
        """
        syntaxes = [one[1] for one in self._contexts.values() if one[0] == asked.sop_class_uid]
        for service in self.services:
            if syntaxes and service.choose(asked.sop_class_uid, syntaxes):
                scu, scp = asked.scu and service.caller_scu, asked.scp and service.caller_scp
                yield pdu.Role(asked.sop_class_uid, scu, scp)
                return

    def _p_data(self, length: int) -> None:
        if length > self.terms.max_pdu_bytes:
            raise Broken(pdu.INVALID_VALUE, f"a PDU of {length} bytes, more than was agreed")
        while length:
            if length < 6:
                raise Broken(pdu.INVALID_VALUE, "a presentation data value is cut short")
            size, context, control = struct.unpack(">IBB", self.wire.exactly(6))
            if size < 2 or size + 4 > length or context not in self._contexts:
                raise Broken(pdu.INVALID_VALUE, "a presentation data value of no context")
            length -= size + 4
            part = self._command_part if control & pdu.COMMAND else self._data_part
            part(context, size - 2, last=bool(control & pdu.LAST))

    def _command_part(self, context: int, size: int, *, last: bool) -> None:
        if self._pending or len(self._command) + size > command.COMMAND_BYTES_MOST:
            raise Broken(pdu.UNEXPECTED, "a command set out of turn, or without an end")
        if self._stopping:
            raise Stopped
        self._command += self.wire.exactly(size)
        if last:
            request = command.decode(bytes(self._command))
            self._begin(context, request)
            self._command.clear()

    def _begin(self, context: int, request: command.Command) -> None:
        operation = command.number(request, command.COMMAND_FIELD)
        data_follows = command.has_data_set(request)
        if operation == command.C_CANCEL_RQ:
            return
        command.number(request, command.MESSAGE_ID)
        sink = self._open(context, request)
        self._pending = _Pending(context, request, sink)
        if not data_follows:
            self._finish(self._pending)

    def _open(self, context: int, request: command.Command) -> Sink:
        message = Message(self._peer, *self._contexts[context], request)
        return open_sink(self.services, message)

    def _data_part(self, context: int, size: int, *, last: bool) -> None:
        if not self._pending or context != self._pending.context:
            raise Broken(pdu.UNEXPECTED, "a data set without its command")
        pending = self._pending
        while size:
            piece = self.wire.some(size)
            size -= len(piece)
            pending.sink.write(piece)
        if last:
            self._finish(pending)

    def _finish(self, pending: _Pending) -> None:
        reply = pending.sink.finish()
        self._pending = None
        self._messages += 1
        body = response(pending.request, reply)
        head = struct.pack(">IBB", len(body) + 2, pending.context, pdu.COMMAND | pdu.LAST)
        self.wire.send(pdu.P_DATA, head, body)
        if self._stopping:
            raise Stopped

    def _abort(self, reason: int) -> None:
        # Source 2: the service provider (PS3.8 9.3.8). A peer that is gone cannot hear it.
        with contextlib.suppress(OSError):
            self.wire.patience(2)
            self.wire.send(pdu.ABORT, bytes([0, 0, 2, reason]))
