"""tls_peer: somebody on a port, who speaks TLS, plain DICOM, something else, or nothing."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from queue import SimpleQueue

from gateway.dicom import pdu
from gateway.dicom.accept import Association
from gateway.dicom.service import Ended, Terms
from gateway.dicom.tls_wire import TlsWire
from gateway.services.echo import Echo

Speaks = Callable[[socket.socket], None]


class Peer:
    """Runs from construction to `close`; each connection in a thread of its own."""

    def __init__(self, speaks: Speaks) -> None:
        self._speaks, self._open = speaks, set[socket.socket]()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for one in list(self._open):
            one.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the end of this peer
            while True:
                connected, _ = self._door.accept()
                self.connections += 1
                self._open.add(connected)
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with connected, contextlib.suppress(OSError):
            self._speaks(connected)


def dicom_over(context: ssl.SSLContext, ended: SimpleQueue[Ended] | None = None) -> Speaks:
    """Return who answers C-ECHO over TLS, by our own acceptor, and tells how each call ended."""

    def speak(connected: socket.socket) -> None:
        wire = TlsWire(connected, 10.0, context)
        terms = Terms(lambda request: None, request_s=10.0)
        how = Association(wire, "127.0.0.1", (Echo(),), terms).run()
        if ended is not None:
            ended.put(how)

    return speak


def web_over(context: ssl.SSLContext) -> Speaks:
    """Return who answers each request over TLS by an empty page."""

    def speak(connected: socket.socket) -> None:
        with context.wrap_socket(connected, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    return speak


def plain_dicom(connected: socket.socket) -> None:
    """Abort whatever is no association request, as pynetdicom does."""
    connected.recv(6)
    connected.sendall(struct.pack(">BxIBBBB", pdu.ABORT, 4, 0, 0, 2, 0))


def plain_dcmtk(connected: socket.socket) -> None:
    """Hang up at the hello of TLS without a word, and abort a release, as DCMTK and Orthanc do."""
    if connected.recv(6)[:1] != b"\x16":
        connected.sendall(struct.pack(">BxIBBBB", pdu.ABORT, 4, 0, 0, 0, 0))


def plain_web(connected: socket.socket) -> None:
    connected.recv(6)
    connected.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def silent(connected: socket.socket) -> None:
    while connected.recv(65536):
        pass


def hangs_up(connected: socket.socket) -> None:
    connected.shutdown(socket.SHUT_RDWR)
