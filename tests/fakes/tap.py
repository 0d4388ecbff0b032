"""tap: somebody who listens on the line between a caller and a port, and keeps what he hears."""

import contextlib
import socket
import threading


class Tap:
    """Passes on every byte, from construction to `close`; `heard` is all of both directions."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._heard, self._lock = bytearray(), threading.Lock()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def heard(self) -> bytes:
        with self._lock:
            return bytes(self._heard)

    def close(self) -> None:
        for one in (self._door, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the end of this tap
            while True:
                caller, _ = self._door.accept()
                self._open.append(caller)
                called = socket.create_connection(("127.0.0.1", self._to))
                self._open.append(called)
                for ends in ((caller, called), (called, caller)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):  # one of them has gone
            while data := source.recv(65536):
                with self._lock:
                    self._heard += data
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
