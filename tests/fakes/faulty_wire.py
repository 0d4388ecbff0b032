"""faulty_wire: the way to an archive, on which anything may happen.

Takes      connections, and hands them on to the archive's port
Gives      what `mood` says for each new connection: a `Fault`, or a clear way
Holds      the answers of an archive are changed only where they speak of a status

A fault is drawn once a connection. `met` counts them, so that a test can tell what it has tried.
"""

import contextlib
import enum
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from tests.fakes import upper_layer as ul


class Fault(enum.Enum):
    """What happens on a connection."""

    NONE = "nothing"
    REFUSED = "nobody takes it"
    SILENT = "it is taken, and nothing comes back"
    CUT_UP = "cut while we send"
    CUT_DOWN = "cut while it answers"
    SLOW = "a modem"
    DEAF = "the archive does it, and its answers are lost"
    BUSY = "dicom: each C-STORE is answered with A700"
    REFUSES = "dicom: each C-STORE is answered with C000"
    FAILS = "dicom: each C-STORE is answered with 0110"
    UNAVAILABLE = "http: 503 with Retry-After, the archive hears nothing"
    BROKEN = "http: the archive does it, and 500 comes back"
    PORTAL = "http: 200 and a page of HTML, the archive hears nothing"
    TOO_LARGE = "http: 413"


#: What any wire may do.
WIRE = (Fault.REFUSED, Fault.SILENT, Fault.CUT_UP, Fault.CUT_DOWN, Fault.SLOW, Fault.DEAF)
DICOM = (*WIRE, Fault.BUSY, Fault.REFUSES, Fault.FAILS)
HTTP = (*WIRE, Fault.UNAVAILABLE, Fault.BROKEN, Fault.PORTAL, Fault.TOO_LARGE)

_STATUS = {Fault.BUSY: 0xA700, Fault.REFUSES: 0xC000, Fault.FAILS: 0x0110}
_PAGES = {
    Fault.UNAVAILABLE: ("503 Service Unavailable", "Retry-After: 1\r\n", ""),
    Fault.BROKEN: ("500 Internal Server Error", "", "{}"),
    Fault.PORTAL: ("200 OK", "Content-Type: text/html\r\n", "<html>Please log in.</html>"),
    Fault.TOO_LARGE: ("413 Payload Too Large", "", ""),
}
SILENCE_S = 3.0


class FaultyWire:
    """Listens from construction to `close`; `port` leads to `target`."""

    def __init__(self, target: int, mood: Callable[[], Fault], seed: int) -> None:
        self._target, self._mood, self._random = target, mood, random.Random(seed)  # noqa: S311
        self.met: Counter[Fault] = Counter()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._door.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection that is open now."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while True:
            try:
                peer, _ = self._door.accept()
            except OSError:
                return
            with self._lock:
                fault = self._mood()
                self.met[fault] += 1
                most = self._random.choice((1, 300, 3_000, 30_000))
            threading.Thread(target=self._serve, args=(peer, fault, most), daemon=True).start()

    def _serve(self, peer: socket.socket, fault: Fault, most: int) -> None:
        with self._held(peer), contextlib.suppress(OSError):
            if fault is Fault.REFUSED:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif fault is Fault.SILENT:
                self._wait(peer)
            elif fault in _PAGES:
                self._page(peer, fault)
            else:
                self._splice(peer, fault, most)

    def _wait(self, peer: socket.socket) -> None:
        peer.settimeout(SILENCE_S)
        with contextlib.suppress(TimeoutError):
            while peer.recv(65536):
                pass

    def _page(self, peer: socket.socket, fault: Fault) -> None:
        request = _whole_request(peer)
        if fault is Fault.BROKEN:
            self._do(request)
        status, fields, body = _PAGES[fault]
        head = f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\nConnection: close\r\n"
        peer.sendall(f"{head}\r\n{body}".encode())

    def _do(self, request: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._target), 20) as archive:
            archive.sendall(request)
            archive.recv(65536)

    def _splice(self, peer: socket.socket, fault: Fault, most: int) -> None:
        archive = socket.create_connection(("127.0.0.1", self._target), 20)
        archive.settimeout(None)
        for one in (peer, archive):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._held(archive):
            up = most if fault is Fault.CUT_UP else 0
            pump = threading.Thread(
                target=self._pump, args=(peer, archive, up, fault is Fault.SLOW), daemon=True
            )
            pump.start()
            if fault in _STATUS:
                self._change(archive, peer, _STATUS[fault])
            elif fault is Fault.DEAF:
                self._swallow(archive)
            else:
                down = most % 1_000 if fault is Fault.CUT_DOWN else 0
                self._pump(archive, peer, down, fault is Fault.SLOW)
            _end(peer, archive)
            pump.join(10)

    def _pump(self, source: socket.socket, sink: socket.socket, most: int, slow: bool) -> None:
        """Hand on what comes, up to `most` bytes; 0: all."""
        left = most or 1 << 62
        with contextlib.suppress(OSError):
            while left and (data := source.recv(min(left, 2048 if slow else 65536))):
                sink.sendall(data)
                left -= len(data)
                if slow:
                    time.sleep(0.01)
            _end(sink, *([source] if not left else []))

    def _swallow(self, archive: socket.socket) -> None:
        """Let the association begin, then lose every answer for a while."""
        archive.settimeout(SILENCE_S)
        with contextlib.suppress(TimeoutError):
            while archive.recv(65536):
                pass

    def _change(self, archive: socket.socket, peer: socket.socket, status: int) -> None:
        """Hand on PDUs, the status of each C-STORE response replaced."""
        while True:
            kind, body = ul.read_pdu(archive)
            if kind == ul.DATA and body[5] & ul.COMMAND:
                body = body[:6] + _with_status(body[6:], status)
            peer.sendall(ul.pdu(kind, body))

    @contextlib.contextmanager
    def _held(self, one: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(one)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(one)
            one.close()


def _with_status(command: bytes, status: int) -> bytes:
    """Return the command set with another status, where it is a C-STORE response."""
    values = ul.command_of(command)
    if values.get(0x100) != struct.pack("<H", ul.C_STORE | ul.RESPONSE):
        return command
    head = struct.pack("<HHI", 0, 0x900, 2)
    return command.replace(head + values[0x900], head + struct.pack("<H", status))


def _whole_request(peer: socket.socket) -> bytes:
    """Return one HTTP request with its body; ConnectionError where it ends before."""
    peer.settimeout(20)
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(peer)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    if b"expect: 100-continue" in head.lower():
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    while len(body) < length:
        body += _more(peer)
    return head + b"\r\n\r\n" + body


def _more(peer: socket.socket) -> bytes:
    data = peer.recv(65536)
    if not data:
        raise ConnectionError("closed")
    return data


def _end(*several: socket.socket) -> None:
    for one in several:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
