"""A stretch of wire between modality and gateway that can stop in the middle of an object.

Takes      connections on `port`, and hands every byte on to the gateway
Gives      `stopped`, set when exactly `stop_after_bytes` have gone to the gateway
Holds      the rest: nothing more goes up, both connections stay open until one side ends

Leaving it ends every connection on it, so that nobody waits for an answer any more.
"""

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65536
NEVER = sys.maxsize


class Relay:
    """A listener on the loopback; what it has let through is counted over all connections."""

    def __init__(self, gateway_port: int, stop_after_bytes: int = NEVER) -> None:
        self.stopped = threading.Event()
        self.passed_bytes = 0
        self._stop_after_bytes = stop_after_bytes
        self._gateway_port = gateway_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._left = False
        self._change = threading.Lock()
        self.port: int = self._listener.getsockname()[1]
        _start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._change:
            self._left = True
            for one in self._open:
                _end(one)

    def _accept(self) -> None:
        while True:
            try:
                modality, _peer = self._listener.accept()
                self._adopt(modality)
                gateway = socket.create_connection(("127.0.0.1", self._gateway_port))
            except OSError:  # the relay was closed, or the gateway is gone
                break
            self._adopt(gateway)
            _start(partial(self._up, modality, gateway))
            _start(partial(_down, gateway, modality))
        _end(self._listener)

    def _adopt(self, one: socket.socket) -> None:
        """Keep `one` for the end; a connection that comes while the relay is left ends at once."""
        with self._change:
            if self._left:
                _end(one)
                return
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(one)

    def _up(self, modality: socket.socket, gateway: socket.socket) -> None:
        """Carry bytes to the gateway until the limit, and leave the connection open there."""
        while room := self._stop_after_bytes - self.passed_bytes:
            chunk = _receive(modality, min(CHUNK_BYTES, room))
            if not chunk or not _send(gateway, chunk):
                _end(gateway)
                return
            self.passed_bytes += len(chunk)
        self.stopped.set()


def _down(gateway: socket.socket, modality: socket.socket) -> None:
    """Carry answers to the modality; when the gateway ends, so does the modality's connection."""
    while (chunk := _receive(gateway, CHUNK_BYTES)) and _send(modality, chunk):
        pass
    _end(modality)
    _end(gateway)


def _receive(one: socket.socket, most_bytes: int) -> bytes:
    try:
        return one.recv(most_bytes)
    except OSError:  # a reset is an end like any other here
        return b""


def _send(one: socket.socket, chunk: bytes) -> bool:
    try:
        one.sendall(chunk)
    except OSError:
        return False
    return True


def _end(one: socket.socket) -> None:
    """Close `one` so that a thread which waits on it wakes: close(2) alone does not wake it."""
    with contextlib.suppress(OSError):  # not connected, or closed by the other thread
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()
