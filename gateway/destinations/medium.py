"""medium: a stick or a folder that may be gone at any moment, written so that this harms nothing.

Takes      names below its root, pieces of bytes
Gives      files that are whole and synced under their names, or not there; bytes read from the
           medium itself, not from what the machine remembers of it
Defers     ArchiveAway: not there, another one, full, read only, failing
Holds      nothing

All names are looked up below one descriptor: a stick that is changed for another one while we
write is not written to. An index is replaced in three steps, each synced, of which every one leaves
a whole index under one of three names: FAT knows no atomic replacement.

References: man 2 rename, man 2 fsync, man 2 syncfs, man 2 open (O_DIRECT); linux/magic.h
(MSDOS_SUPER_MAGIC).
"""

import contextlib
import ctypes
import errno
import mmap
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.destinations.archive import ArchiveAway
from gateway.destinations.volume_label import label_of

PIECE_BYTES = 1 << 20
#: File systems of sticks, by the numbers of linux/magic.h: FAT, exFAT, and by FUSE.
FAT_MAGIC, EXFAT_MAGIC, FUSE_MAGIC = 0x4D44, 0x2011BAB0, 0x65735546
FAT_FILE_BYTES_MOST = (1 << 32) - 1
SCRATCH = "NEWFILE"
ROOT = Path("/")  #: what lies on its file system is the folder beneath, not a stick

_LIBC = ctypes.CDLL(None, use_errno=True)
_TRIED = b"may be deleted\n"

_CODES = {
    errno.ENOSPC: "medium-full",
    errno.EDQUOT: "medium-full",
    errno.EROFS: "medium-read-only",
    errno.EACCES: "medium-not-allowed",
    errno.EPERM: "medium-not-allowed",
    errno.ENOENT: "medium-missing",
    errno.ENOTDIR: "medium-missing",
    errno.ENODEV: "medium-missing",
    errno.ELOOP: "medium-foreign",
}


class Medium:
    """An open root folder; use it in ``with named_faults()``, and close it."""

    def __init__(self, path: Path, volume: str | None) -> None:
        """Open the folder at `path`, if it lies on the volume with this label.

        Raises
        ------
        ArchiveAway
        """
        self._touched = {"."}  #: folders with new names
        with named_faults(path):
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.label = _judged(self.fd, path, volume)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self.fd)

    @property
    def is_fat(self) -> bool:
        return _magic(self.fd) == FAT_MAGIC

    def free_bytes(self) -> int:
        facts = os.statvfs(self.fd)
        if facts.f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return facts.f_bavail * facts.f_frsize

    def try_it(self) -> None:
        """Write and read something: of a stick that was pulled out, much is still remembered.

        Raises
        ------
        OSError
        """
        self.put(SCRATCH, SCRATCH, [_TRIED])
        try:
            if b"".join(self.pieces(SCRATCH)) != _TRIED:
                raise OSError(errno.EIO, "read back, it was not the same")
        finally:
            os.unlink(SCRATCH, dir_fd=self.fd)

    def make_folder(self, name: str) -> None:
        """Make a folder, if it is not there; its name is not synced."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o750, dir_fd=self.fd)
        self._touched.add(str(Path(name).parent))  # also where a try before did not come so far
        if not stat.S_ISDIR(os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, "not a folder")  # a link would lead off the medium

    def put(self, name: str, scratch: str, pieces: Iterable[bytes]) -> None:
        """Write a file under another name, sync it, then give it its own; that is not synced."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(scratch, flags, 0o640, dir_fd=self.fd)
        try:
            _write(fd, pieces)
        except BaseException:
            with contextlib.suppress(OSError):  # gone with its medium
                os.unlink(scratch, dir_fd=self.fd)
            raise
        finally:
            os.close(fd)
        if scratch != name:
            os.rename(scratch, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        self._touched.add(str(Path(name).parent))

    def sync(self) -> None:
        """Make all names durable, and what they lead to.

        A file that was renamed has, on FAT, an entry that says it is empty until the file itself
        is written again: syncing its folder is not enough. fsync is what empties the cache of the
        device (man 2 syncfs leaves it). A disk that others use as well is not made to wait for
        what these write.
        """
        if _magic(self.fd) in (FAT_MAGIC, EXFAT_MAGIC, FUSE_MAGIC) and _LIBC.syncfs(self.fd):
            raise _last_error()
        for name in sorted(self._touched):
            self._sync_folder(name)

    def _sync_folder(self, name: str) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def replace_index(self, index: str, new: str, old: str, whole: bytes) -> None:
        """Put a new index in the place of the old one.

        At each moment one of the three names leads to a whole one; another may lead to an empty
        file, or to none.
        """
        self.put(new, new, [whole])
        self.sync()
        if b"".join(self.pieces(new)) != whole:
            raise OSError(errno.EIO, "read back, the index was not the same")
        with contextlib.suppress(FileNotFoundError):
            os.rename(index, old, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        self.sync()
        os.rename(new, index, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        self.sync()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old, dir_fd=self.fd)

    def read(self, name: str, bytes_most: int) -> bytes | None:
        """Return a small file, or its start; None where there is none."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(min(bytes_most, os.fstat(fd).st_size))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a file as the medium has it.

        Raises
        ------
        FileNotFoundError
        """
        fd = self._open_past_the_cache(name)
        try:
            # O_DIRECT wants an aligned buffer, which an anonymous mapping is.
            with mmap.mmap(-1, PIECE_BYTES) as buffer:
                at, count = 0, PIECE_BYTES
                while count == PIECE_BYTES:
                    count = os.preadv(fd, [buffer], at)
                    yield buffer[:count]
                    at += count
        finally:
            os.close(fd)

    def _open_past_the_cache(self, name: str) -> int:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(_NoDirect):
            return _direct(name, flags, self.fd)
        fd = os.open(name, flags, dir_fd=self.fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return fd


def _write(fd: int, pieces: Iterable[bytes]) -> None:
    """Write and sync."""
    for piece in pieces:
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]
    os.fsync(fd)


class _NoDirect(Exception):
    """This file system knows no O_DIRECT."""


def _direct(name: str, flags: int, folder: int) -> int:
    """Return a descriptor past the cache; some file systems refuse only when it is read."""
    fd = -1
    try:
        fd = os.open(name, flags | os.O_DIRECT, dir_fd=folder)
        with mmap.mmap(-1, mmap.PAGESIZE) as buffer:
            os.preadv(fd, [buffer], 0)
    except OSError as fault:
        if fd >= 0:
            os.close(fd)
        if fault.errno != errno.EINVAL:
            raise
        raise _NoDirect from fault
    return fd


@contextlib.contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Whatever a medium does to us concerns all that waits for it."""
    try:
        yield
    except OSError as fault:
        code = _CODES.get(fault.errno or 0, "medium-failed")
        raise ArchiveAway(code, f"{path}: {fault.strerror}", whole=True) from fault


def guarded(pieces: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Yield pieces of a medium's file; only its own faults are named as such."""
    while True:
        with named_faults(path):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


def _judged(fd: int, path: Path, volume: str | None) -> str:
    """Return the label; with `volume` it must be that one."""
    with named_faults(path):
        label = label_of(fd)
    if volume is None or (label or "").casefold() == volume.casefold():
        return label or ""
    number = os.fstat(fd).st_dev
    # No device behind it: the folder beneath may lie on a tmpfs, where sticks are mounted.
    if number == ROOT.stat().st_dev or (label is None and os.major(number) == 0):
        raise ArchiveAway("medium-missing", f"{path}: {volume}", whole=True)
    if label is None:
        raise ArchiveAway("medium-unknown", f"{path}: {volume}", whole=True)
    raise ArchiveAway("medium-other", f"{path}: {label or '-'}, not {volume}", whole=True)


class _Statfs(ctypes.Structure):
    # f_type is the first word of struct statfs (man 2 statfs); the rest only needs room.
    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_byte * 248))


def _magic(fd: int) -> int:
    facts = _Statfs()
    if _LIBC.fstatfs(fd, ctypes.byref(facts)):
        raise _last_error()
    return int(facts.f_type)


def _last_error() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
