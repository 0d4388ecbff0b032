"""drive: a drive with a volatile write cache, that remembers every request.

Takes      an image, and what a guest writes to it
Gives      `log`, from which `cuts` tells what a loss of power at any moment would have left

A machine killed by SIGKILL loses its memory only: what it had written lies in this machine's page
cache, flushed or not, so a flush that is missing would never be seen. Here a write counts as kept
only after the guest's flush, or when it asked for FUA.
"""

import contextlib
import os
import socket
import struct
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.lab import nbd


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that the guest wrote; `firm`: it waited until these were on the medium (FUA)."""

    offset: int
    data: bytes
    firm: bool = False


@dataclass(frozen=True, slots=True)
class Flush:
    """All writes before it are on the medium."""


class Drive:
    """Serves a copy of `image`, which stays as it is, on the socket `address` in `folder`."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.log: list[Write | Flush] = []
        self.image, self.address = image, folder / "drive.socket"
        self.size = image.stat().st_size
        copy(image, folder / "drive.live")
        self._live = os.open(folder / "drive.live", os.O_RDWR | os.O_CLOEXEC)
        self._heard = threading.Condition()
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self.address))
        self._door.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def position(self) -> int:
        """Return how many requests there were up to now."""
        return len(self.log)

    def wait_for(self, position: int, within_s: float) -> None:
        """Return when there were so many requests."""
        with self._heard:
            reached = self._heard.wait_for(lambda: len(self.log) >= position, within_s)
        assert reached, f"{len(self.log)} of {position} requests within {within_s} s"

    def close(self) -> None:
        """Return when every request of the guest, which must be dead, is in the log."""
        with contextlib.suppress(OSError):  # nobody may have come
            self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._door.close()
        os.close(self._live)
        self.address.unlink()

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._live, length, offset)

    def write(self, offset: int, data: bytes, *, firm: bool) -> None:
        os.pwrite(self._live, data, offset)
        self._note(Write(offset, data, firm))

    def flush(self) -> None:
        self._note(Flush())

    def _note(self, request: Write | Flush) -> None:
        with self._heard:
            self.log.append(request)
            self._heard.notify_all()

    def _serve(self) -> None:
        # A guest that is cut ends in the middle of a word: that is what this drive is for.
        with contextlib.suppress(OSError, struct.error):
            peer, _ = self._door.accept()
            with peer, peer.makefile("rwb") as stream:
                nbd.serve(stream, self)


def copy(image: Path, other: Path) -> None:
    """Copy an image of a drive, and leave its holes."""
    command = ["cp", "--sparse=always", "--reflink=auto", str(image), str(other)]
    subprocess.run(command, check=True)
