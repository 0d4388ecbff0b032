"""Doorbells: a datagram to a socket under the run directory wakes the next stage.

A lost ring costs one poll interval, never an item: whoever waits looks into the spool anyway.
Sockets are reached through /proc/self/fd, since a socket's path holds 107 bytes (man 7 unix).
"""

import contextlib
import hashlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

#: What is left of 107 bytes after the folder and the suffix.
NAME_BYTES_MOST = 80


class Doorbell:
    """What a stage waits on: `wait` returns at a ring, at `interrupt`, or after its time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._own, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        folder.mkdir(parents=True, exist_ok=True)
        file = _file_of(name)
        (folder / file).unlink(missing_ok=True)
        with _folder(folder) as at:
            self._socket.bind(f"{at}/{file}")

    def wait(self, limit_s: float) -> None:
        """Return when rung, interrupted, or after `limit_s` seconds; many rings are one."""
        ready, _, _ = select.select([self._socket, self._own], [], [], max(limit_s, 0))
        if self._socket in ready:
            with contextlib.suppress(BlockingIOError):
                while self._socket.recv(1):
                    pass

    def interrupt(self) -> None:
        """Make this and every later `wait` return at once; harmless after `close`."""
        if self._other.fileno() >= 0:
            self._other.send(b"!")

    def close(self) -> None:
        for one in (self._socket, self._own, self._other):
            one.close()


def ring(folder: Path, name: str) -> None:
    """Ring `name`; nobody there, or a full socket, is no fault."""
    nobody_there = contextlib.suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError)
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_UNIX, kind) as one, nobody_there, _folder(folder) as at:
        one.sendto(b"!", f"{at}/{_file_of(name)}")


def _file_of(name: str) -> str:
    """Return the socket's name: a destination's may have 64 Chinese letters, 192 bytes."""
    if len(name.encode()) > NAME_BYTES_MOST:
        name = hashlib.sha256(name.encode()).hexdigest()
    return f"{name}.bell"


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[str]:
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
