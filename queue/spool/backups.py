"""backups: the database copied while it is used, each day, and all of it for another box.

A daily copy is the ground on which `repair` rebuilds; the blobs beside it need none, since they
describe themselves. A whole backup holds a copy of the database and every blob that it names; it is
written by `write_whole` and read by `restore_whole`, which believes nothing that it does not prove.

References: sqlite.org/backup.html.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from spool.blobfile import verify
from spool.blobs import Blobs, sync_folder
from spool.database import Database, connect
from spool.decisions import SUFFIX
from spool.errors import Damaged

KEEP = 7
_PREFIX, _ENDING = "spool-", ".db"


class NotABackup(Exception):
    """The folder holds no whole backup; `args[0]` says what is wrong."""


def daily(database: Database, folder: Path, utc_s: float) -> Path | None:
    """Write today's copy of the database, unless it is there; remove those older than `KEEP`."""
    today = folder / time.strftime(f"{_PREFIX}%Y%m%d{_ENDING}", time.gmtime(utc_s))
    if today.exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    copy_database(database.path, today)
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
    with closing(connect(source)) as original, closing(sqlite3.connect(part)) as copy:
        # All at once: a copy in steps starts anew with each write of another process.
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    _sync(part)
    part.replace(target)
    sync_folder(target.parent)


def is_sound(path: Path) -> bool:
    """Tell whether SQLite finds nothing wrong with a copy."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return bool(db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False


def write_whole(database: Database, blobs: Blobs, target: Path) -> int:
    """Write database and blobs to the empty folder `target`; return the number of blobs.

    The caller keeps retirement away meanwhile, so that no blob goes before it is copied.
    """
    (target / "db").mkdir(parents=True)
    copy_database(database.path, target / "db" / "spool.db")
    count = 0
    for name, _ in _named(target / "db" / "spool.db"):
        for one in (blobs.path(name), blobs.path(name + SUFFIX)):
            if one.exists():
                _copy(one, target / "spool" / "blobs" / name.split("/")[0] / one.name)
        count += 1
    return count


def restore_whole(source: Path, state_dir: Path) -> int:
    """Put a whole backup into the empty `state_dir`; return the number of blobs.

    Raises
    ------
    NotABackup
        A database that is not sound, a blob that is missing or not what the database says, or a
        name that would leave the folder. Nothing is in force before all of it is proved.
    """
    database = source / "db" / "spool.db"
    if not is_sound(database):
        raise NotABackup("the database")
    count = 0
    for name, sha256 in _named(database):
        _prove(source, name, sha256)
        for one in (name, name + SUFFIX):
            if (source / "spool" / "blobs" / one).exists():
                _copy(source / "spool" / "blobs" / one, state_dir / "spool" / "blobs" / one)
        count += 1
    _copy(database, state_dir / "db" / "spool.db")
    return count


def _named(database: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        yield from db.execute("SELECT blob, sha256 FROM rendition WHERE gone_at = 0").fetchall()


def _prove(source: Path, name: str, sha256: str) -> None:
    root = source / "spool" / "blobs"
    path = root / name
    inside = name.count("/") == 1 and ".." not in name.split("/")
    if not inside or path.is_symlink() or path.parent.is_symlink():
        raise NotABackup(f"the name {name!r}")
    try:
        verify(path, sha256)
    except (Damaged, FileNotFoundError) as fault:
        raise NotABackup(f"{name}: {fault}") from fault


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
    _sync(target)
    sync_folder(target.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
