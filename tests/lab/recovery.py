"""recovery: the state folder that a cut left, and whether it keeps every promise.

Takes      the image of a drive after the power went, and what was acknowledged before
Gives      the state folder in a folder of this machine; each broken promise in words
Raises     `Unrecoverable`: not even the file system can be read

References: man 8 e2fsck (exit code), man 8 debugfs (rdump).
"""

import hashlib
import sqlite3
import subprocess
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from tests.lab.pictures import Picture

NOT_CORRECTED = 4  #: e2fsck: this bit and those above say that errors are left
STATE = "state"  #: the state folder, in the root of the drive


class Unrecoverable(Exception):
    """The file system on the image is damaged; `args[0]` is what e2fsck said."""


def recover(image: Path, folder: Path) -> Path:
    """Do what the next boot does to the file system; return a copy of the state folder."""
    check = ["e2fsck", "-p", str(image)]
    checked = subprocess.run(check, capture_output=True, text=True)
    if checked.returncode >= NOT_CORRECTED:
        raise Unrecoverable(checked.stdout + checked.stderr)
    folder.mkdir()
    command = ["debugfs", "-R", f"rdump /{STATE} {folder}", str(image)]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True)
    if not (folder / STATE).is_dir():
        raise Unrecoverable(dumped.stderr)
    return folder / STATE


def broken(state_dir: Path, acked: Iterable[Picture]) -> list[str]:
    """Return a line for each acknowledged object that is not there as it came, and what else is.

    Also a row whose file is missing, acknowledged or not: the file comes before its row.
    """
    try:
        with closing(sqlite3.connect(state_dir / "db" / "spool.db")) as db:
            said = [str(text) for (text,) in db.execute("PRAGMA integrity_check")]
            rows = _received(db)
    except sqlite3.Error as fault:
        return [f"the database: {fault}", *(f"{one.uid}: no row" for one in acked)]
    blobs = state_dir / "spool" / "blobs"
    found = [f"integrity: {text}" for text in said if text != "ok"]
    found += [f"{uid}: no file" for uid, row in rows.items() if not (blobs / row[0]).is_file()]
    return found + [line for one in acked for line in _faults(blobs, rows, one)]


Rows = dict[str, tuple[str, int, int, str]]  #: blob, offset, bytes and SHA-256 of the data set


def _received(db: sqlite3.Connection) -> Rows:
    query = (
        "SELECT sop_instance_uid, blob, dataset_offset, bytes, sha256 FROM rendition"
        " WHERE role = 'received'"
    )
    return {uid: tuple(rest) for uid, *rest in db.execute(query)}


def _faults(blobs: Path, rows: Rows, picture: Picture) -> list[str]:
    if picture.uid not in rows:
        return [f"{picture.uid}: no row"]
    blob, offset, count, sha256 = rows[picture.uid]
    if not (blobs / blob).is_file():
        return []  # said already
    kept = (blobs / blob).read_bytes()[offset:]
    equal = kept == picture.data and count == len(kept)
    if not equal or hashlib.sha256(kept).hexdigest() != sha256:
        return [f"{picture.uid}: other bytes"]
    return []
