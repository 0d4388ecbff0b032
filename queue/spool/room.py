"""room: the ladder of the disk that holds the spool, by free bytes and by free inodes.

ok      enough
warn    a person should know
trim    drop received bytes that a proved lossless rendition can give back, retire early what may
refuse  no new objects (C-STORE 0xA700); everything kept is still delivered

A rung is left only when a quarter more than its bound is free, so that the ladder does not rattle.
The rung stands in the database, so that every process and a restart know it. A reserve file beside
the database is let go when others fill the disk, so that what is kept can still be worked on.

References: man 3 statvfs, man 3 posix_fallocate.
"""

import contextlib
import errno
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from spool.database import Database
from spool.errors import SpoolFull

RUNGS = ("ok", "warn", "trim", "refuse")
LEAVE = 1.25
RESERVE_BYTES = 8 << 20
#: What opening the database may take: its log, and the index of that.
OPENING_BYTES = 1 << 20
#: Free inodes below which a rung is reached; a file of ours takes one, a new day's folder another.
INODES = {"warn": 4096, "trim": 1024, "refuse": 64}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Free bytes below which a rung is reached."""

    warn_bytes: int = 0
    trim_bytes: int = 0
    refuse_bytes: int = 0

    def rung(self, free_bytes: int, free_inodes: int, inodes: int, *, factor: float = 1.0) -> str:
        """Return the highest rung whose bound, times `factor`, is not free.

        A small file system has few inodes in all: their bounds are at most a share of those.
        """
        found = "ok"
        for rung, bound, share in (
            ("warn", self.warn_bytes, 8),
            ("trim", self.trim_bytes, 16),
            ("refuse", self.refuse_bytes, 32),
        ):
            few = free_inodes < min(INODES[rung], inodes / share) * factor
            if free_bytes < bound * factor or few:
                found = rung
        return found


@dataclass(frozen=True, slots=True)
class Measured:
    """What is free to us, and the rung."""

    free_bytes: int
    free_inodes: int
    level: str


def make_way(folder: Path) -> None:
    """Let the reserve go where the disk is full: else nobody could open the database."""
    if not folder.is_dir():
        return
    facts = os.statvfs(folder)
    if facts.f_bavail * facts.f_frsize < OPENING_BYTES or (facts.f_files and not facts.f_favail):
        _reserve_of(folder).unlink(missing_ok=True)


def _reserve_of(folder: Path) -> Path:
    return folder / "db" / "reserve"


class Room:
    """The ladder of one state folder."""

    def __init__(self, folder: Path, database: Database, bounds: Bounds) -> None:
        self._folder, self._database, self.bounds = folder, database, bounds
        self._reserve = _reserve_of(folder)

    def measure(self) -> Measured:
        """Return what is free now; write the rung down when it changed."""
        facts = os.statvfs(self._folder)
        free_bytes = facts.f_bavail * facts.f_frsize
        # A file system that does not count inodes (btrfs) says 0 of 0.
        inodes = facts.f_files or 1 << 30
        free_inodes = facts.f_favail if facts.f_files else inodes
        # The reserve is never room for images: where it was let go, it will be taken back.
        usable = free_bytes if self._reserve.exists() else max(0, free_bytes - RESERVE_BYTES)
        before = self._known()
        level = self.bounds.rung(usable, free_inodes, inodes)
        if RUNGS.index(level) < RUNGS.index(before):
            leaving = self.bounds.rung(usable, free_inodes, inodes, factor=LEAVE)
            level = RUNGS[min(RUNGS.index(leaving), RUNGS.index(before))]
        if level != before:
            self._write(level)
        return Measured(free_bytes, free_inodes, level)

    def must_admit(self) -> None:
        """Raise `SpoolFull` on the rung `refuse`, until it is left."""
        if self.measure().level == "refuse":
            raise SpoolFull("the disk is on the rung refuse")

    def keep_reserve(self) -> None:
        """Hold the reserve while there is room, let it go when there is none."""
        if self.measure().level == "refuse":
            self._reserve.unlink(missing_ok=True)
        elif not self._reserve.exists():
            self._make_reserve()

    def _make_reserve(self) -> None:
        fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        except OSError as fault:
            self._reserve.unlink(missing_ok=True)
            if fault.errno not in (errno.ENOSPC, errno.EOPNOTSUPP, errno.EDQUOT):
                raise
        finally:
            os.close(fd)

    def _known(self) -> str:
        try:
            rows = self._database.read("SELECT value FROM fact WHERE name = 'room'")
        except sqlite3.OperationalError:  # without it, only what is free now counts
            return "ok"
        return rows[0]["value"] if rows and rows[0]["value"] in RUNGS else "ok"

    def _write(self, level: str) -> None:
        if level == "refuse":
            self._reserve.unlink(missing_ok=True)
        # A full disk must not keep anyone from knowing that it is full.
        with contextlib.suppress(sqlite3.OperationalError):
            self._database.write(
                lambda db: db.execute(
                    "INSERT INTO fact VALUES ('room', ?) ON CONFLICT DO UPDATE SET"
                    " value = excluded.value",
                    (level,),
                )
            )
