"""Doorbells: a datagram to a socket under the run directory wakes the next stage.

A lost ring costs one poll interval, never an item: whoever waits looks into the spool anyway.
Sockets are reached through /proc/self/fd, since a socket's path holds 107 bytes (man 7 unix).
"""

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path


class Doorbell:
    """What a stage waits on: `wait` returns at a ring, at `interrupt`, or after its time."""

    def __init__(self, folder: Path, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._own, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (folder / f"{name}.bell").unlink()
        with _folder(folder) as at:
            self._socket.bind(f"{at}/{name}.bell")

    def wait(self, limit_s: float) -> None:
        """Return when rung, interrupted, or after `limit_s` seconds; many rings are one."""
        ready, _, _ = select.select([self._socket, self._own], [], [], max(limit_s, 0))
        if self._socket in ready:
            with contextlib.suppress(BlockingIOError):
                while self._socket.recv(1):
                    pass

    def interrupt(self) -> None:
        """Make this and every later `wait` return at once."""
        self._other.send(b"!")

    def close(self) -> None:
        for one in (self._socket, self._own, self._other):
            one.close()


def ring(folder: Path, name: str) -> None:
    """Ring `name`; nobody there, or a full socket, is no fault."""
    nobody_there = contextlib.suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError)
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with socket.socket(socket.AF_UNIX, kind) as one, nobody_there, _folder(folder) as at:
        one.sendto(b"!", f"{at}/{name}.bell")


@contextlib.contextmanager
def _folder(folder: Path) -> Iterator[str]:
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)
