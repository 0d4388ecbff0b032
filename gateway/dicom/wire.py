"""wire: one TCP connection, read through one large buffer, with patience that ends.

Takes      a connected socket
Gives      exactly as many bytes as asked for, as views into the buffer, and whole PDUs sent
Defers     nothing: a peer that is silent for longer than `patience` is `TimeoutError`

The buffer is an anonymous mmap: pages never touched cost nothing, so a silent peer holds 4 KiB.
TCP_QUICKACK is not sticky and is set after each read: without it a peer that leaves Nagle on (stock
DCMTK and Orthanc) waits up to 40 ms for our delayed acknowledgement (man 7 tcp).
"""

import contextlib
import mmap
import socket
import struct
import time
from collections.abc import Sequence

from gateway.dicom.certificate import Certificate
from gateway.dicom.pdu import INVALID_VALUE, Broken

BUFFER_BYTES = 1 << 20


class Wire:
    """Reads and writes PDUs. A view it returns is good until the next read."""

    def __init__(self, connected: socket.socket, patience_s: float) -> None:
        self.socket, self._start, self._end = connected, 0, 0
        self._view = memoryview(mmap.mmap(-1, BUFFER_BYTES))
        self.deadline = 0.0  #: monotonic seconds by which all reading must be over; 0 is never
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.patience(patience_s)

    def open(self) -> None:
        """Make the connection ready for PDUs; in plain text it is."""

    @property
    def certificate(self) -> Certificate | None:
        """What the peer has shown of itself; in plain text nothing."""
        return None

    def patience(self, limit_s: float) -> None:
        """Wait no longer than `limit_s` for the next bytes, or for room to send."""
        # SO_RCVTIMEO, since settimeout() would add a poll to each recv.
        value = struct.pack("ll", int(limit_s), int(limit_s % 1 * 1e6) or (1 if limit_s < 1 else 0))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self.socket.setsockopt(socket.SOL_SOCKET, option, value)

    def some(self, most: int) -> memoryview:
        """Return 1 to `most` bytes, as many as have come."""
        if self._start == self._end:
            self._start = self._end = 0
            self._fill()
        first, self._start = self._start, min(self._end, self._start + most)
        return self._view[first : self._start]

    def exactly(self, count: int) -> memoryview:
        """Return `count` bytes, at most a buffer full."""
        if count > BUFFER_BYTES:
            raise Broken(INVALID_VALUE, "more bytes at once than any peer needs")
        if self._start + count > BUFFER_BYTES:
            left = self._end - self._start
            self._view[:left] = self._view[self._start : self._end]
            self._start, self._end = 0, left
        while self._end - self._start < count:
            self._fill()
        return self.some(count) if count else self._view[:0]

    def head(self) -> tuple[int, int]:
        """Return type and length of the next PDU (PS3.8 9.3.1)."""
        kind, length = struct.unpack(">BxI", self.exactly(6))
        return kind, length

    def send(self, kind: int, *parts: bytes | memoryview) -> None:
        """Send one PDU whose body is `parts`."""
        length = sum(len(part) for part in parts)
        self._send_all([struct.pack(">BxI", kind, length), *parts])

    def has_news(self) -> bool:
        """Tell whether something came, or the peer has gone, without waiting."""
        if self._end > self._start:
            return True
        try:
            self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def interrupt(self) -> None:
        """Wake the thread that waits here, from another one: it meets a closed connection."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.socket.close()

    def _fill(self) -> None:
        count = self._receive(self._view[self._end :])
        if not count:
            raise ConnectionResetError("the peer closed the connection")
        self._end += count

    def _receive(self, space: memoryview) -> int:
        """Return how many bytes came off the network into `space`; 0 when the peer closed."""
        if self.deadline and time.monotonic() > self.deadline:
            raise TimeoutError("the peer took too long")
        try:
            count = self.socket.recv_into(space)
        except BlockingIOError:
            raise TimeoutError("the peer was silent for too long") from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return count

    def _send_all(self, parts: Sequence[bytes | memoryview]) -> None:
        views = [memoryview(part) for part in parts if len(part)]
        while views:
            try:
                count = self.socket.sendmsg(views)
            except BlockingIOError:
                raise TimeoutError("the peer took nothing for too long") from None
            views = _after(views, count)


def _after(views: list[memoryview], count: int) -> list[memoryview]:
    """Return what of `views` is left after `count` bytes."""
    while views and count >= len(views[0]):
        count -= len(views.pop(0))
    if views and count:
        views[0] = views[0][count:]
    return views
