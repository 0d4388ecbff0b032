"""backups: the database copied while it is used, each day.

A daily copy is the ground on which `repair` rebuilds; the blobs beside it need none, since they
describe themselves. `whole` copies both.

References: sqlite.org/backup.html, sqlite.org/uri.html.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from spool.blobs import sync_folder
from spool.database import Database
from spool.soundness import fault_of

KEEP = 7
_PREFIX, _ENDING = "spool-", ".db"


def daily(database: Database, folder: Path, utc_s: float) -> Path | None:
    """Write today's copy of the database, unless it is there; remove those older than `KEEP`.

    A copy that is not sound tells that the database is not: the older ones stay.
    """
    today = folder / time.strftime(f"{_PREFIX}%Y%m%d{_ENDING}", time.gmtime(utc_s))
    if today.exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    copy_database(database.path, today)
    if not is_sound(today):
        today.unlink()
        database.damaged.set()
        return None
    for old in copies(folder)[KEEP:]:
        old.unlink()
    return today


def copies(folder: Path) -> list[Path]:
    """Return the daily copies, the newest first."""
    return sorted(folder.glob(f"{_PREFIX}*{_ENDING}"), reverse=True)


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that others may be writing; whole and synced when this returns."""
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        with closing(read_only(source)) as original, closing(sqlite3.connect(part)) as copy:
            # All at once: a copy in steps starts anew with each write of another process.
            original.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        sync_file(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)  # no room for it: half a copy only takes more
    sync_folder(target.parent)


def is_sound(path: Path) -> bool:
    """Tell whether nothing is wrong with a copy."""
    try:
        return path.is_file() and not fault_of(path)
    except sqlite3.OperationalError:
        return False


def read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that changes nothing and makes no file."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable (man 2 fsync)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
