"""Who is alone: locks on files in the state folder. A lock ends with its process, however it ends.

Open file description locks (man 2 fcntl, F_OFD_SETLK): unlike flock(2) one can ask who holds
such a lock without taking it, and asking never disturbs a process that starts.
"""

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from spool.errors import FolderBusy

_FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid


class Lock:
    """A lock on `path`, held until `release` or the end of the process.

    Parameters
    ----------
    waits
        Wait until the lock is free, instead of raising.
    shared
        Others may share it; nobody may hold it alone meanwhile.

    Raises
    ------
    FolderBusy
        Another process holds it; the text names the lock and, if known, the process.
    """

    def __init__(self, path: Path, *, waits: bool = False, shared: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        how = fcntl.F_OFD_SETLKW if waits else fcntl.F_OFD_SETLK
        try:
            fcntl.fcntl(self._fd, how, _FLOCK.pack(kind, 0, 0, 0, 0))
        except BlockingIOError:
            holder = os.pread(self._fd, 64, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise FolderBusy(f"{path.stem} (process {holder or 'unknown'})") from None
        if shared:
            return
        # Who holds it is only told for people: a full or failing disk takes no lock from anyone.
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


def is_held(path: Path) -> bool:
    """Tell whether some process holds the lock on `path`."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        asked = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, 0, 0, 0))
    finally:
        os.close(fd)
    return bool(_FLOCK.unpack(asked)[0] != fcntl.F_UNLCK)


def holder_of(path: Path) -> int | None:
    """Return the process that holds the lock on `path`, None where nobody does."""
    if not is_held(path):
        return None
    text = path.read_text(encoding="ascii", errors="replace").strip()
    return int(text) if text.isdecimal() else None
