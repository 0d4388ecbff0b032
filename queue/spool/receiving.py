"""receiving: a durable file becomes an instance.

Takes      the pieces of a data set, and who brought it
Gives      an instance in `received`: file, folder and row are synced when `keep` returns
Holds      nothing; it decides nothing
Repeats    a crash between file and row leaves a blob without a row, which nobody was promised
"""

import sqlite3
from dataclasses import asdict

from spool.blobs import Blobs, Incoming
from spool.clock import Clock
from spool.database import Database
from spool.errors import SpoolFull
from spool.model import Arrival, Blob, Rendition, Role
from spool.room import Room
from spool.rows import insert_rendition, note


class Receiving:
    """What the doors call."""

    def __init__(self, database: Database, blobs: Blobs, room: Room, clock: Clock) -> None:
        self._database, self._blobs, self._clock = database, blobs, clock
        self._room = room

    def begin(self, arrival: Arrival) -> Incoming:
        """Return a place for the data set.

        Raises
        ------
        SpoolFull
            There is no room; nothing was kept of it.
        """
        self._room.must_admit()
        about = asdict(arrival) | {"role": Role.RECEIVED, "received_at": self._clock.utc()}
        return self._blobs.begin(about)

    def keep(self, incoming: Incoming, arrival: Arrival) -> int:
        """Return the new instance's id once file, folder and row are on the disk.

        Raises
        ------
        SpoolFull
            No room for the file or the row; nothing is kept.
        """
        blob = incoming.keep()
        try:
            return self._database.write(lambda db: self._insert(db, arrival, blob))
        except sqlite3.OperationalError as error:
            # Where the disk fails, the row may be there after a restart, and needs its file then;
            # where it is only full, or busy, the row is surely not there.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_IOERR:
                self._blobs.discard(blob.name)
            raise SpoolFull(f"the database cannot write: {error}") from error

    def _insert(self, db: sqlite3.Connection, arrival: Arrival, blob: Blob) -> int:
        now = self._clock.utc()
        instance_id = insert_instance(db, arrival, blob, received_at=now, at=now)
        note(db, now, arrival.door, "received", blob.sha256, instance_id=instance_id)
        return instance_id


def insert_instance(
    db: sqlite3.Connection, arrival: Arrival, blob: Blob, *, received_at: float, at: float
) -> int:
    """Write the rows of a durable blob that somebody brought; return the instance's id."""
    cursor = db.execute(
        "INSERT INTO instance (sop_instance_uid, sop_class_uid, door, peer_address, station,"
        " priority, received_at) VALUES (?,?,?,?,?,?,?)",
        (
            arrival.sop_instance_uid,
            arrival.sop_class_uid,
            arrival.door,
            arrival.peer_address,
            arrival.station,
            arrival.priority,
            received_at,
        ),
    )
    instance_id = int(cursor.lastrowid or 0)
    received = Rendition(
        Role.RECEIVED,
        arrival.sop_instance_uid,
        arrival.sop_class_uid,
        arrival.transfer_syntax_uid,
        blob,
        proved=True,
    )
    insert_rendition(db, instance_id, received, at)
    return instance_id
