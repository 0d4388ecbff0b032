"""whole: all of a spool in a folder, written while it is used, for this box or another.

Takes      an open spool, or a folder that `write_whole` has finished
Gives      db/spool.db, spool/blobs/ and, written last, backup.json: without it nothing counts
Holds      nothing; a file that was damaged or gone already is copied as it is, and named
Repeats    a backup that was cut off is worth nothing; a restore that was cut off before its end
           leaves nothing in force, one at its end is finished by the next start

A restore proves names, links and hashes while it copies to `restoring/`; one rename, to
`restored/`, puts all of it in force.

References: man 2 rename, man 2 fsync.
"""

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from spool.backups import copies, copy_database, is_sound, read_only, sync_file
from spool.blobfile import verify
from spool.blobs import Blobs, sync_folder
from spool.database import Database
from spool.decisions import SUFFIX
from spool.errors import Damaged

MANIFEST, RESTORING, RESTORED = "backup.json", "restoring", "restored"
_BLOBS = Path("spool", "blobs")
_NAME = re.compile(r"\d{8}/[0-9A-Za-z.-]+\.dcm")

#: Told (files done, files in all) while it goes on.
Told = Callable[[int, int], object]


class NotABackup(Exception):
    """The folder holds no whole backup; `args[0]` says what is wrong."""


class NotEmpty(Exception):
    """The state folder knows images already; `args[0]` says where."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a whole backup holds."""

    blobs: int
    unsound: list[str]  #: names of blobs that were damaged or gone already


def write_whole(database: Database, blobs: Blobs, target: Path, told: Told) -> Copied:
    """Write database and blobs to the empty folder `target`.

    The caller keeps retirement away meanwhile, so that no blob goes before it is copied.

    Raises
    ------
    OSError, sqlite3.OperationalError
        `target` cannot be written, or is full; what stands there is no backup.
    """
    copy = target / "db" / "spool.db"
    copy.parent.mkdir(parents=True)
    unsound: dict[str, str] = {}
    while True:
        copy_database(database.path, copy)
        named = dict(_named(copy))
        unsound = _copy_blobs(blobs.folder, target / _BLOBS, named, told)
        if not _went(database, unsound):
            break  # else one was merged meanwhile: the copy of the database is behind
    found = Copied(len(named), sorted(unsound))
    _sync_tree(target)
    _write_manifest(target, found)
    return found


def restore_whole(source: Path, state_dir: Path, told: Told) -> Copied:
    """Put a whole backup into `state_dir`, in which nothing runs and no image is known.

    It is in force when this returns: the next start moves it to its places (`finish_restore`).

    Raises
    ------
    NotABackup
        It was cut off; its database is not sound; a blob is missing, or is not what the database
        says; a name leads out of the folder. Nothing is in force.
    NotEmpty
    OSError
        Nothing is in force.
    """
    _must_be_empty(state_dir)
    copied = _read_manifest(source)
    database, staged = source / "db" / "spool.db", state_dir / RESTORING
    if database.is_symlink() or not is_sound(database):
        raise NotABackup("the database")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        _stage(source, staged, copied, told)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    staged.rename(state_dir / RESTORED)
    sync_folder(state_dir)
    return copied


def finish_restore(state_dir: Path, utc_s: float) -> bool:
    """Move what a restore put in force to its places, before anybody opens the database."""
    shutil.rmtree(state_dir / RESTORING, ignore_errors=True)
    restored, target = state_dir / RESTORED, state_dir / "db" / "spool.db"
    if not restored.is_dir():
        return False
    if (restored / "db" / "spool.db").exists():  # the last to be moved
        _set_aside(state_dir, utc_s)
        _move_blobs(restored / _BLOBS, state_dir / _BLOBS)
        target.parent.mkdir(exist_ok=True)
        (restored / "db" / "spool.db").rename(target)
        sync_folder(target.parent)
    shutil.rmtree(restored)
    return True


def _named(database: Path) -> Iterator[tuple[str, str]]:
    with closing(read_only(database)) as db:
        yield from db.execute("SELECT blob, sha256 FROM rendition WHERE gone_at = 0").fetchall()


def _copy_blobs(source: Path, target: Path, named: dict[str, str], told: Told) -> dict[str, str]:
    """Copy what is not there yet; return the names of what is unsound in `source`, and how."""
    unsound = {}
    for count, (name, sha256) in enumerate(named.items(), 1):
        if not (target / name).exists():
            _copy(source / name, target / name)
        _copy(source / (name + SUFFIX), target / (name + SUFFIX))
        if damage := _damage(target / name, sha256):
            if not _damage(source / name, sha256):
                raise OSError(None, f"not what was written: {damage}", str(target / name))
            unsound[name] = damage
        told(count, len(named))
    return unsound


def _went(database: Database, names: Iterable[str]) -> bool:
    query = "SELECT 1 FROM rendition WHERE blob = ? AND gone_at > 0"
    return any(database.read(query, (name,)) for name in names)


def _damage(path: Path, sha256: str) -> str:
    try:
        verify(path, sha256)
    except FileNotFoundError:
        return "missing"
    except Damaged as fault:
        return str(fault)
    return ""


def _stage(source: Path, staged: Path, copied: Copied, told: Told) -> None:
    """Copy to `staged` what proves to be what the database says."""
    try:
        named = dict(_named(source / "db" / "spool.db"))
    except sqlite3.DatabaseError as fault:
        raise NotABackup(f"the database: {fault}") from fault
    for count, (name, sha256) in enumerate(named.items(), 1):
        _must_be_inside(source / _BLOBS, name)
        for one in (name, name + SUFFIX):
            _copy(source / _BLOBS / one, staged / _BLOBS / one)
        damage = _damage(staged / _BLOBS / name, sha256)
        if damage and name not in copied.unsound:
            raise NotABackup(f"{name}: {damage}")
        told(count, len(named))
    _copy(source / "db" / "spool.db", staged / "db" / "spool.db")
    _sync_tree(staged)


def _must_be_inside(blobs: Path, name: str) -> None:
    path = blobs / name
    links = (path, path.with_name(path.name + SUFFIX), path.parent, blobs, blobs.parent)
    if not _NAME.fullmatch(name) or any(one.is_symlink() for one in links):
        raise NotABackup(f"the name {name!r}")


def _must_be_empty(state_dir: Path) -> None:
    """Raise `NotEmpty` for a state folder that knows images; one that only ran once knows none."""
    database = state_dir / "db" / "spool.db"
    if any((state_dir / _BLOBS).glob("*/*")):
        raise NotEmpty(str(state_dir / _BLOBS))
    for one in (database, *copies(state_dir / "backup")):
        if one.exists() and _knows_images(one):
            raise NotEmpty(str(one))


def _knows_images(database: Path) -> bool:
    try:
        with closing(read_only(database)) as db:
            return bool(db.execute("SELECT EXISTS (SELECT 1 FROM instance)").fetchone()[0])
    except sqlite3.DatabaseError:
        return True  # nobody can tell


def _read_manifest(source: Path) -> Copied:
    try:
        said = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        return Copied(said["blobs"], said["unsound"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as fault:
        raise NotABackup(MANIFEST) from fault


def _write_manifest(target: Path, found: Copied) -> None:
    (target / MANIFEST).write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    sync_file(target / MANIFEST)
    sync_folder(target)
    sync_folder(target.parent)


def _set_aside(state_dir: Path, utc_s: float) -> None:
    """Move the database of an empty state folder, and its copies, out of the way."""
    found = [*(state_dir / "db").glob("spool.db*"), *copies(state_dir / "backup")]
    stamp = time.strftime("%Y%m%dT%H%M%SZ-empty", time.gmtime(utc_s))
    target = state_dir / "set-aside" / stamp
    for one in found:
        target.mkdir(parents=True, exist_ok=True)
        one.rename(target / one.name)


def _move_blobs(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for day in sorted(source.iterdir()) if source.is_dir() else ():
        day.rename(target / day.name)  # over an empty folder of that day, if there is one
    sync_folder(target)


def _copy(source: Path, target: Path) -> None:
    """Copy a file that may be gone already; synced when this returns."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target, follow_symlinks=False)
    except FileNotFoundError:
        if not source.exists():
            return
        raise
    sync_file(target)


def _sync_tree(folder: Path) -> None:
    for one in (folder, *folder.rglob("*")):
        if one.is_dir():
            sync_folder(one)
