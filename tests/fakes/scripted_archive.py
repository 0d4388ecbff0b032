"""scripted_archive: a storage SCP that does as it is told, also what no real peer would do.

Takes      every presentation context for storage, or those of `syntaxes` only
Gives      every object that came whole, byte for byte, in `took`
"""

import contextlib
import enum
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tests.fakes import upper_layer as ul


class Fault(enum.Enum):
    """What the archive does instead of answering."""

    REJECT = "rejects the association as transient"
    SILENT = "accepts the connection and says nothing"
    HANG = "takes the object and never answers"
    ABORT_IN = "aborts in the middle of an object"
    ABORT_AFTER = "aborts after the last byte of an object"


@dataclass(frozen=True, slots=True)
class Took:
    """One object that came whole."""

    association: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes


@dataclass
class _Association:
    """What is known of one caller."""

    number: int
    peer: socket.socket
    contexts: dict[int, tuple[str, str]] = field(default_factory=dict)
    request: dict[int, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)


class _Gone(Exception):
    """This association is over."""


class ScriptedArchive:
    """Listens from construction to `close`. `standing` is done each time, `turns` first, once."""

    #: How the abstract syntaxes begin that it serves: storage and verification, no queries.
    serves: tuple[str, ...] = ("1.2.840.10008.5.1.4.1.1.", "1.2.840.10008.1.1")

    def __init__(self, syntaxes: Collection[str] | None = None, port: int = 0) -> None:
        self._syntaxes = syntaxes
        self.standing: int | Fault = 0
        self.turns: deque[int | Fault] = deque()
        self.statuses: dict[str, int] = {}  #: by SOP Instance UID, before all else
        self.took: list[Took] = []
        self.associations = 0
        self._heard = threading.Condition()
        self._peers: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = int(self._door.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """End every association and listen no more."""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()

    def wait_for(self, said: Callable[[], bool], within_s: float = 20) -> None:
        """Return once `said` holds; it is asked whenever something happened."""
        with self._heard:
            assert self._heard.wait_for(said, within_s), f"{len(self.took)} objects came"

    def bytes_of(self, uid: str) -> list[bytes]:
        """Return what came under this UID, each time."""
        return [one.data for one in self.took if one.sop_instance_uid == uid]

    def _listen(self) -> None:
        while True:
            try:
                peer, _ = self._door.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with self._heard:
            self.associations += 1
            association = _Association(self.associations, peer)
            self._heard.notify_all()
        with contextlib.suppress(OSError, _Gone):
            if self._accept(association):
                while True:
                    self._next(association)
        if self.standing is not Fault.SILENT:
            peer.close()

    def _accept(self, association: _Association) -> bool:
        if self.standing is Fault.SILENT:
            return False
        _, body = ul.read_pdu(association.peer)
        if self.standing is Fault.REJECT:
            association.peer.sendall(ul.pdu(ul.REJECT, bytes([0, 2, 3, 1])))
            return False
        answers = b"".join(
            self._answer(association, value) for kind, value in ul.items(body[68:]) if kind == 0x20
        )
        answers = ul.item(0x10, b"1.2.840.10008.3.1.1.1") + answers + ul.user_information(16_384)
        association.peer.sendall(ul.pdu(ul.ACCEPT, body[:68] + answers))
        return True

    def _answer(self, association: _Association, value: bytes) -> bytes:
        uids = [(kind, part.rstrip(b"\0").decode()) for kind, part in ul.items(value[4:])]
        abstract = next(uid for kind, uid in uids if kind == 0x30)
        offered = [uid for kind, uid in uids if kind == 0x40]
        if not abstract.startswith(self.serves):
            return ul.item(0x21, bytes([value[0], 0, 3, 0]) + ul.item(0x40, offered[0].encode()))
        taken = [uid for uid in offered if self._syntaxes is None or uid in self._syntaxes]
        if not taken:
            return ul.item(0x21, bytes([value[0], 0, 4, 0]) + ul.item(0x40, offered[0].encode()))
        association.contexts[value[0]] = (abstract, taken[0])
        return ul.item(0x21, bytes([value[0], 0, 0, 0]) + ul.item(0x40, taken[0].encode()))

    def _next(self, association: _Association) -> None:
        kind, body = ul.read_pdu(association.peer)
        if kind == ul.RELEASE:
            association.peer.sendall(ul.pdu(ul.RELEASED, bytes(4)))
        if kind != ul.DATA:
            raise _Gone
        _, context, control = struct.unpack_from(">IBB", body)
        if control & ul.COMMAND:
            association.request = ul.command_of(body[6:])
            association.data.clear()
            if association.request[0x800] == struct.pack("<H", ul.NO_DATA_SET):
                self._alone(association, context)
            return
        association.data += body[6:]
        if self._plan() is Fault.ABORT_IN:
            self._abort(association)
        if control & ul.LAST:
            self._whole(association, context)

    def _alone(self, association: _Association, context: int) -> None:
        """Answer a message without a data set."""
        self._reply(association, context, 0)

    def _whole(self, association: _Association, context: int) -> None:
        """Answer a message whose data set has come."""
        uid = association.request[0x1000].rstrip(b"\0").decode()
        abstract, syntax = association.contexts[context]
        one = Took(association.number, abstract, uid, syntax, bytes(association.data))
        plan = self.statuses[uid] if uid in self.statuses else self._plan(take=True)
        with self._heard:
            self.took.append(one)
            self._heard.notify_all()
        if plan is Fault.ABORT_AFTER:
            self._abort(association)
        if not isinstance(plan, Fault):
            self._reply(association, context, plan)

    def _plan(self, *, take: bool = False) -> int | Fault:
        if not self.turns:
            return self.standing
        return self.turns.popleft() if take else self.turns[0]

    def _abort(self, association: _Association) -> None:
        if self._plan() is Fault.ABORT_IN and self.turns:
            self.turns.popleft()
        association.peer.sendall(ul.pdu(ul.ABORT, bytes([0, 0, 2, 0])))
        raise _Gone

    def _reply(self, association: _Association, context: int, status: int) -> None:
        request = association.request
        values: dict[int, int | str] = {
            2: request[2].rstrip(b"\0").decode(),
            0x100: struct.unpack("<H", request[0x100])[0] | ul.RESPONSE,
            0x120: struct.unpack("<H", request[0x110])[0],
            0x800: ul.NO_DATA_SET,
            0x900: status,
        }
        body = ul.command(values)
        association.peer.sendall(ul.p_data(context, ul.COMMAND | ul.LAST, body))
