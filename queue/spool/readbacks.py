"""readbacks: an object that was asked for by C-MOVE comes to our own port, in another process.

Takes      the UID that `confirm` asks an archive for, then what came under it
Gives      the file that came, once
Holds      nothing: who sends an object that is not expected is an ordinary sender
Repeats    an expectation ends with the boot and after `EXPECT_S`: a killed stage leaves none behind

Two archives may have the same object. What one gives back must never count for the other: one at a
time is expected under a UID, and by the message that asked for it (PS3.7 9.1.1.1, (0000,1031)), so
that what comes late of an earlier one is none.
"""

import sqlite3
from pathlib import Path

from spool.clock import Clock
from spool.database import Database
from spool.model import CameBack

#: Longer than the largest object takes over the slowest line, seconds.
EXPECT_S = 21600.0
_EXPECTED = " WHERE sop_instance_uid = ? AND boot_id = ? AND until > ?"
_EXPECT = (
    "INSERT INTO readback (sop_instance_uid, destination, boot_id, until, message_id)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (sop_instance_uid) DO UPDATE SET"
    " destination = excluded.destination, boot_id = excluded.boot_id, until = excluded.until,"
    " message_id = excluded.message_id, path = '' WHERE destination = excluded.destination"
    " OR boot_id <> excluded.boot_id OR until <= ?"
)


class Readbacks:
    """What `confirm` and the DICOM port tell one another about objects that come back."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def expect(self, destination: str, sop_instance_uid: str, message_id: int = 0) -> bool:
        """Say that the archive was asked for the object; what came under it before is forgotten.

        Parameters
        ----------
        message_id
            Of the C-MOVE request; 0: not known.

        Returns
        -------
        False where the object is expected of another destination: to be asked for later.
        """
        now = self._clock.boottime()
        row = (sop_instance_uid, destination, self._clock.boot_id, now + EXPECT_S, message_id, now)
        return self._database.write(lambda db: bool(db.execute(_EXPECT, row).rowcount))

    def is_expected(self, sop_instance_uid: str, message_id: int = 0) -> bool:
        """Tell whether an archive was asked for this object, and nothing came yet.

        Parameters
        ----------
        message_id
            Of the C-MOVE that it comes of, as its sender says; 0: it does not, and then it is
            nobody's who was asked under a number (PS3.7 9.1.1.1.8).
        """
        query = (
            f"SELECT 1 FROM readback {_EXPECTED} AND path = ''"
            " AND (message_id = ? OR message_id = 0)"
        )
        return bool(self._database.read(query, (*self._key(sop_instance_uid), message_id)))

    def came(
        self,
        sop_instance_uid: str,
        path: Path,
        offset: int,
        bytes: int,  # noqa: A002  # the contract's word
        syntax: str,
    ) -> bool:
        """Say where the object lies that came; False where none is expected, or one came before.

        The file is the caller's to remove then.
        """
        row = (str(path), offset, bytes, syntax, *self._key(sop_instance_uid))
        return self._database.write(lambda db: _came(db, row))

    def take(self, sop_instance_uid: str) -> CameBack | None:
        """Return what came, for the caller to read and remove; None where nothing has yet."""
        return self._database.write(lambda db: _take(db, sop_instance_uid))

    def forget(self, sop_instance_uid: str) -> CameBack | None:
        """Expect it no more; return what came and nobody took, for the caller to remove."""
        return self._database.write(lambda db: _forget(db, sop_instance_uid))

    def _key(self, sop_instance_uid: str) -> tuple[str, str, float]:
        return sop_instance_uid, self._clock.boot_id, self._clock.boottime()


def _came(db: sqlite3.Connection, row: tuple[object, ...]) -> bool:
    done = db.execute(
        "UPDATE readback SET path = ?, dataset_offset = ?, bytes = ?, transfer_syntax_uid = ?"
        f"{_EXPECTED} AND path = ''",
        row,
    )
    return bool(done.rowcount)


def _take(db: sqlite3.Connection, sop_instance_uid: str) -> CameBack | None:
    row = db.execute(
        "DELETE FROM readback WHERE sop_instance_uid = ? AND path <> '' RETURNING *",
        (sop_instance_uid,),
    ).fetchone()
    return _came_back(row) if row else None


def _forget(db: sqlite3.Connection, sop_instance_uid: str) -> CameBack | None:
    row = db.execute(
        "DELETE FROM readback WHERE sop_instance_uid = ? RETURNING *", (sop_instance_uid,)
    ).fetchone()
    return _came_back(row) if row and row["path"] else None


def _came_back(row: sqlite3.Row) -> CameBack:
    return CameBack(
        Path(row["path"]), row["dataset_offset"], row["bytes"], row["transfer_syntax_uid"]
    )
