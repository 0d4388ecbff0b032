"""modality: a storage SCU on a bare socket, that sends exactly the bytes it is given."""

import contextlib
import socket
import struct
from collections.abc import Sequence
from types import TracebackType

from tests.fakes import upper_layer as ul
from tests.fakes.upper_layer import Context

ULTRASOUND: Sequence[Context] = ((ul.US_IMAGE, (ul.EXPLICIT,)),)


class Refused(Exception):
    """The association was rejected; `args` are result, source and reason (PS3.8 9.3.4)."""


class Modality:
    """One association, open from construction on."""

    def __init__(
        self,
        port: int,
        contexts: Sequence[Context] = ULTRASOUND,
        *,
        calling: bytes = b"US1",
        called: bytes = b"EDGE",
        source: str = "127.0.0.1",
    ) -> None:
        self.socket = connected(port, source)
        self.socket.sendall(ul.request(contexts, calling=calling, called=called))
        kind, body = ul.read_pdu(self.socket)
        if kind != ul.ACCEPT:
            self.socket.close()
            raise Refused(*body[1:])
        #: context id -> the transfer syntax accepted, "" for a refused context
        self.contexts = dict(map(_answer, (value for k, value in ul.items(body[68:]) if k == 0x21)))
        self._messages = 0

    def __enter__(self) -> "Modality":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.socket.close()

    def store(self, sop_class_uid: str, uid: str, data: bytes, context: int = 1) -> int:
        """Return the status of one C-STORE."""
        self.begin(sop_class_uid, uid, context)
        for part in ul.fragments(context, data):
            self.socket.sendall(part)
        return self.status()

    def begin(self, sop_class_uid: str, uid: str, context: int = 1) -> None:
        """Send the C-STORE-RQ, and nothing of the data set."""
        self._messages += 1
        message = ul.store_command(sop_class_uid, uid, self._messages)
        self.socket.sendall(ul.p_data(context, ul.COMMAND | ul.LAST, message))

    def status(self) -> int:
        """Return the status of the answer that comes next."""
        kind, body = ul.read_pdu(self.socket)
        assert kind == ul.DATA, f"PDU type {kind} instead of an answer"
        answer = ul.command_of(body[6:])
        assert struct.unpack("<H", answer[0x120]) == (self._messages,)
        (status,) = struct.unpack("<H", answer[0x900])
        return int(status)

    def release(self) -> None:
        """End the association in order."""
        self.socket.sendall(ul.pdu(ul.RELEASE, bytes(4)))
        assert ul.read_pdu(self.socket)[0] == ul.RELEASED
        self.socket.close()

    def abort(self) -> None:
        self.socket.sendall(ul.pdu(ul.ABORT, bytes(4)))
        self.socket.close()


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    """Return a bare connection to a port of this machine."""
    peer = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def answer_to(port: int, data: bytes) -> int | None:
    """Return the type of the PDU that `data`, sent on a fresh connection, is answered with."""
    with connected(port) as peer:
        with contextlib.suppress(ConnectionError):  # it may hang up while we speak
            peer.sendall(data)
        try:
            return ul.read_pdu(peer)[0]
        except ConnectionError:
            return None


def _answer(value: bytes) -> tuple[int, str]:
    syntaxes = [part.rstrip(b"\0").decode() for kind, part in ul.items(value[4:]) if kind == 0x40]
    return value[0], syntaxes[0] if value[2] == 0 else ""
