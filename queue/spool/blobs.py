"""blobs: durable files under names of our own.

Takes      the pieces of one data set, and who brought them
Gives      a `Blob`: written, synced, under its final name, in a synced folder
Holds      nothing: an object that was not kept leaves no file
Repeats    a name is never used twice; link(2) refuses an existing one, where rename(2) would not

References: man 2 open (O_TMPFILE), man 2 link, man 2 fsync.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spool.blobfile import PREAMBLE_BYTES, head_of, preamble_of
from spool.errors import SpoolFull
from spool.model import Blob

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}

#: How often a long object looks whether the reserve is reached.
CHECK_BYTES = 4 << 20


class Incoming:
    """One data set on its way to the disk: `write` pieces, then `keep` or `drop` it.

    Raises
    ------
    SpoolFull
        The file system, or its quota, is full, or the reserve is reached. The file is gone already.
    """

    def __init__(self, blobs: "Blobs", about: dict[str, Any]) -> None:
        self._blobs, self._hash, self._bytes = blobs, hashlib.sha256(), 0
        self._head = head_of(about)
        self._fd, self._scratch = blobs.scratch()
        self.dataset_offset = PREAMBLE_BYTES + len(self._head)
        with self._no_room():
            self._write_all(memoryview(bytes(PREAMBLE_BYTES) + self._head))

    def write(self, piece: bytes | memoryview) -> None:
        """Append `piece` to the data set."""
        view = memoryview(piece)
        self._hash.update(view)
        before, self._bytes = self._bytes, self._bytes + len(view)
        with self._no_room():
            if self._bytes // CHECK_BYTES > before // CHECK_BYTES:
                self._blobs.must_have_room()
            self._write_all(view)

    def keep(self) -> Blob:
        """Return the blob once data, final name and folder are synced (man 2 fsync)."""
        digest = self._hash.digest()
        with self._no_room():
            os.pwrite(self._fd, preamble_of(self._head, self._bytes, digest), 0)
            # After a failed sync the pages may be gone: this file is never trusted again.
            os.fsync(self._fd)
            name = self._blobs.name_it(self._fd)
        self._close()
        path = self._blobs.path(name)
        return Blob(name, path, self.dataset_offset, self._bytes, digest.hex())

    def drop(self) -> None:
        """Leave nothing behind; harmless after `keep`."""
        self._close()

    def _write_all(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self._fd, view) :]

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._scratch:
            self._scratch.unlink(missing_ok=True)
            self._scratch = None

    @contextlib.contextmanager
    def _no_room(self) -> Iterator[None]:
        try:
            yield
        except SpoolFull:
            self._close()
            raise
        except OSError as error:
            self._close()
            if error.errno in NO_ROOM:
                raise SpoolFull(str(error)) from error
            raise


class Blobs:
    """The folders `incoming` (scratch) and `blobs/YYYYMMDD` below `folder`."""

    def __init__(self, folder: Path, *, reserve_bytes: int = 0) -> None:
        self.folder, self.incoming = folder / "blobs", folder / "incoming"
        self.reserve_bytes = reserve_bytes
        self._durable_day = ""  #: the day whose folder is on the disk
        self.folder.mkdir(parents=True, exist_ok=True)
        self.incoming.mkdir(parents=True, exist_ok=True)

    def begin(self, about: dict[str, Any]) -> Incoming:
        """Return a place for one object; `about` says what it is and who brought it.

        Raises
        ------
        SpoolFull
            Less than the reserve is free: it belongs to the database and to what is kept.
        """
        self.must_have_room()
        return Incoming(self, about)

    def must_have_room(self) -> None:
        """Raise `SpoolFull` when the reserve is reached, as a long object may do on its way."""
        facts = os.statvfs(self.incoming)
        if facts.f_bavail * facts.f_frsize < self.reserve_bytes:
            raise SpoolFull(f"less than {self.reserve_bytes} bytes are free")

    def sync_folders(self) -> None:
        """Make the folders themselves durable, up to the one that holds the state folder."""
        for folder in (self.folder, *self.folder.parents[:3]):
            if os.access(folder, os.R_OK):  # the last one need not be ours to open
                sync_folder(folder)

    def path(self, name: str) -> Path:
        return self.folder / name

    def discard(self, name: str) -> None:
        """Remove a blob that no row names."""
        self.path(name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Give the name of every blob on the disk."""
        for day in sorted(self.folder.iterdir()):
            yield from (f"{day.name}/{one.name}" for one in sorted(day.glob("*.dcm")))

    def sweep(self) -> int:
        """Remove scratch that no living process writes; return how many files."""
        swept = 0
        # A writer that lives holds the lock, and may finish and be gone at any moment.
        lives = (BlockingIOError, FileNotFoundError)
        for one in self.incoming.iterdir():
            with contextlib.suppress(*lives), one.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                one.unlink()
                swept += 1
        return swept

    def scratch(self) -> tuple[int, Path | None]:
        """Return an open nameless file, or one in `incoming` where the file system knows none."""
        try:
            return os.open(self.incoming, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o640), None
        except OSError as error:
            if error.errno in NO_ROOM:
                raise SpoolFull(str(error)) from error
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT}:
                raise
        path = self.incoming / secrets.token_hex(8)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd, path

    def name_it(self, fd: int) -> str:
        """Give the synced file `fd` its final name, and sync the folder that now holds it."""
        now_ns = time.time_ns()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ns // 10**9))
        name = f"{stamp[:8]}/{stamp}.{now_ns % 10**9:09d}Z-{secrets.token_hex(8)}.dcm"
        path = self.path(name)
        self._make_day(path.parent)
        with _open_folder(path.parent) as day_fd:
            # With a folder's descriptor Python calls linkat(2) with AT_SYMLINK_FOLLOW, not link(2).
            source = f"/proc/self/fd/{fd}"
            os.link(source, path.name, src_dir_fd=day_fd, dst_dir_fd=day_fd)
            try:
                os.fsync(day_fd)
            except OSError:
                os.unlink(path.name, dir_fd=day_fd)  # what was not kept leaves no file
                raise
        return name

    def _make_day(self, day: Path) -> None:
        """Make a day's folder durable, also one that another thread or a crash left unsynced."""
        if day.name != self._durable_day:
            day.mkdir(exist_ok=True)
            sync_folder(self.folder)
            self._durable_day = day.name


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (man 2 fsync)."""
    with _open_folder(folder) as fd:
        os.fsync(fd)


@contextlib.contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
