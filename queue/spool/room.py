"""Room on the disk that holds the spool."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Room:
    free_bytes: int
    free_inodes: int
    level: str  #: ok, warn, refuse


def measure(folder: Path, *, warn_bytes: int, reserve_bytes: int) -> Room:
    """Return what is free to us on the file system of `folder` (man 3 statvfs)."""
    facts = os.statvfs(folder)
    free_bytes = facts.f_bavail * facts.f_frsize
    # A file system that does not count inodes (btrfs) says 0 of 0.
    free_inodes = facts.f_favail if facts.f_files else 1 << 30
    return Room(free_bytes, free_inodes, _level(free_bytes, free_inodes, warn_bytes, reserve_bytes))


def _level(free_bytes: int, free_inodes: int, warn_bytes: int, reserve_bytes: int) -> str:
    if free_bytes < reserve_bytes or free_inodes < 64:
        return "refuse"
    return "warn" if free_bytes < warn_bytes or free_inodes < 1024 else "ok"
