"""blobs: durable Part 10 files that describe themselves, under names of our own.

Takes      the pieces of one data set, and who brought them
Gives      a `Blob`: written, synced, under its final name, in a synced folder
Holds      nothing: an object that was not kept leaves no file
Repeats    a name is never used twice; link(2) refuses an existing one, where rename(2) would not

The layout, so that a lost database can be rebuilt from the files alone:
preamble (128 bytes)  our mark, then offset, length and SHA-256 of the data set
file meta (group 2)   PS3.10 7.1; (0002,0100) and (0002,0102) say who brought it and when
data set              exactly the bytes that came
Preamble and private information never leave the box: a peer gets the data set.

References: PS3.10 7.1; man 2 open (O_TMPFILE), man 2 link, man 2 fsync.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spool.errors import SpoolFull
from spool.model import Blob

MARK = b"GATEWAY SPOOL 1\0"
PREAMBLE = struct.Struct("<16sQQ32s64x")  # mark, data set offset, data set bytes, SHA-256
IMPLEMENTATION_CLASS_UID = "2.25.189461237201854370254163982440318467521"
IMPLEMENTATION_VERSION_NAME = "GATEWAY_1"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HH2sxxI", 2, number, vr, len(value)) + value
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


def file_meta(about: dict[str, Any]) -> bytes:
    """Return group 0002; `about` goes whole into the private information."""
    body = _element(1, b"OB", b"\0\1")
    for number, key in (
        (2, "sop_class_uid"),
        (3, "sop_instance_uid"),
        (0x10, "transfer_syntax_uid"),
    ):
        body += _element(number, b"UI", str(about[key]).encode("ascii"))
    body += _element(0x12, b"UI", IMPLEMENTATION_CLASS_UID.encode())
    body += _element(0x13, b"SH", IMPLEMENTATION_VERSION_NAME.encode())
    body += _element(0x100, b"UI", IMPLEMENTATION_CLASS_UID.encode())
    body += _element(0x102, b"OB", json.dumps(about, sort_keys=True).encode())
    return struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


class Incoming:
    """One data set on its way to the disk: `write` pieces, then `keep` or `drop` it.

    Raises
    ------
    SpoolFull
        The file system, or its quota, is full. The file is gone already.
    """

    def __init__(self, blobs: "Blobs", about: dict[str, Any]) -> None:
        self._blobs, self._hash, self._bytes = blobs, hashlib.sha256(), 0
        self._fd, self._scratch = blobs.scratch()
        head = file_meta(about)
        self.dataset_offset = PREAMBLE.size + 4 + len(head)
        with self._no_room():
            self._write_all(memoryview(bytes(PREAMBLE.size) + b"DICM" + head))

    def write(self, piece: bytes | memoryview) -> None:
        """Append `piece` to the data set."""
        view = memoryview(piece)
        self._hash.update(view)
        self._bytes += len(view)
        with self._no_room():
            self._write_all(view)

    def keep(self) -> Blob:
        """Return the blob once data, final name and folder are synced (man 2 fsync)."""
        digest = self._hash.digest()
        with self._no_room():
            os.pwrite(self._fd, PREAMBLE.pack(MARK, self.dataset_offset, self._bytes, digest), 0)
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
        self.folder.mkdir(parents=True, exist_ok=True)
        self.incoming.mkdir(parents=True, exist_ok=True)

    def begin(self, about: dict[str, Any]) -> Incoming:
        """Return a place for one object; `about` says what it is and who brought it.

        Raises
        ------
        SpoolFull
            Less than the reserve is free: it belongs to the database and to what is kept.
        """
        facts = os.statvfs(self.incoming)
        if facts.f_bavail * facts.f_frsize < self.reserve_bytes:
            raise SpoolFull(f"less than {self.reserve_bytes} bytes are free")
        return Incoming(self, about)

    def path(self, name: str) -> Path:
        return self.folder / name

    def discard(self, name: str) -> None:
        """Remove a blob that no row names."""
        self.path(name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Give the name of every blob on the disk."""
        for day in sorted(self.folder.iterdir()):
            yield from (f"{day.name}/{one.name}" for one in sorted(day.iterdir()))

    def sweep(self) -> int:
        """Remove scratch that no living process writes; return how many files."""
        swept = 0
        for one in self.incoming.iterdir():
            with one.open("rb") as file, contextlib.suppress(BlockingIOError):
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
        day = self.path(name).parent
        if not day.is_dir():
            day.mkdir(exist_ok=True)
            _sync_folder(self.folder)
        with _open_folder(day) as day_fd:
            # With a folder's descriptor Python calls linkat(2) with AT_SYMLINK_FOLLOW, not link(2).
            source = f"/proc/self/fd/{fd}"
            os.link(source, self.path(name).name, src_dir_fd=day_fd, dst_dir_fd=day_fd)
            os.fsync(day_fd)
        return name


def _sync_folder(folder: Path) -> None:
    with _open_folder(folder) as fd:
        os.fsync(fd)


@contextlib.contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
