"""retiring: ready -> retired, and everything else that frees the disk.

Takes      instances whose deliveries are all as firm as their destinations ask
Gives      room: the row moves first, then the file goes; the hash stays (a tombstone)
Holds      nothing
Repeats    a crash between row and file leaves a file whose row calls it gone: it goes at the start
"""

import sqlite3

from spool.ageing import ROWS_MOST, trusted_s
from spool.blobs import Blobs
from spool.clock import Clock
from spool.database import Database
from spool.decisions import Decisions
from spool.rows import note

WHO = "retire"

#: Every delivery is as firm as its destination asks, and there is one. A superseded round is no
#: longer one of them: where it was, there is a later one.
_FIRM = (
    "EXISTS (SELECT 1 FROM delivery WHERE instance_id = instance.id)"
    " AND NOT EXISTS (SELECT 1 FROM delivery WHERE instance_id = instance.id AND NOT"
    " (state IN ('confirmed', 'cancelled', 'superseded')"
    " OR (state = 'sent' AND settled_at > 0)))"
)

#: What may still be sent again as it was, and what is still to be read back, keeps its bytes.
_MAY_BE_TRIMMED = (
    "r.role = 'received' AND r.gone_at = 0"
    " AND EXISTS (SELECT 1 FROM instance i WHERE i.id = r.instance_id AND i.state = 'ready')"
    " AND EXISTS (SELECT 1 FROM rendition c WHERE c.made_from = r.id AND c.proved = 1"
    " AND c.role = 'compressed' AND c.gone_at = 0)"
    " AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.rendition_id = r.id"
    " AND (d.state IN ('queued', 'held') OR (d.state = 'sent' AND d.settled_at = 0)))"
)
_TRIMMABLE = (
    "SELECT r.id, r.blob, (SELECT blob FROM rendition c WHERE c.made_from = r.id AND c.proved = 1"
    " AND c.role = 'compressed' AND c.gone_at = 0 ORDER BY c.id LIMIT 1) AS stays"
    f" FROM rendition r WHERE {_MAY_BE_TRIMMED} LIMIT ?"
)
_DROP = (
    f"UPDATE rendition AS r SET gone_at = ? WHERE id = ? AND {_MAY_BE_TRIMMED}"
    " RETURNING blob, instance_id"
)


def settle(db: sqlite3.Connection, clock: Clock, instance_id: int) -> None:
    """Note when the last delivery of an instance became firm; not before it has any."""
    db.execute(
        f"UPDATE instance SET settled_at = ? WHERE id = ? AND state = 'ready' AND {_FIRM}",
        (max(trusted_s(db, clock), 1e-3), instance_id),
    )


class Retiring:
    """What the stage `retire` calls."""

    def __init__(
        self, database: Database, blobs: Blobs, decisions: Decisions, clock: Clock
    ) -> None:
        self._database, self._blobs, self._clock = database, blobs, clock
        self._decisions = decisions

    def retire(self, older_than_s: float, *, most: int = ROWS_MOST) -> int:
        """Retire the oldest that settled more than `older_than_s` ago; return how many."""
        gone = self._database.write(lambda db: self._retire(db, older_than_s, most))
        self._remove([name for _, names in gone for name in names])
        return len(gone)

    def empty_trash(self, older_than_s: float) -> int:
        """Retire what was withdrawn more than `older_than_s` ago; return how many."""
        gone = self._database.write(lambda db: self._empty_trash(db, older_than_s))
        self._remove([name for _, names in gone for name in names])
        return len(gone)

    def trim(self, *, most: int = ROWS_MOST) -> int:
        """Drop received bytes that a proved lossless rendition can give back; return how many."""
        rows = self._database.read(_TRIMMABLE, (most,))
        for row in rows:  # what a person decided must stand beside the file that stays
            self._decisions.carry_over(row["blob"], row["stays"])
        gone = self._database.write(lambda db: self._trim(db, [row["id"] for row in rows]))
        self._remove(gone)
        return len(gone)

    def unremoved(self) -> list[str]:
        """Return the blobs that a row calls gone, for a crash before they were removed."""
        rows = self._database.read("SELECT blob FROM rendition WHERE gone_at > 0")
        return [row["blob"] for row in rows if self._blobs.path(row["blob"]).exists()]

    def _remove(self, names: list[str]) -> None:
        for name in names:
            self._blobs.discard(name)
            self._decisions.forget(name)

    def _retire(
        self, db: sqlite3.Connection, older_than_s: float, most: int
    ) -> list[tuple[int, list[str]]]:
        before = trusted_s(db, self._clock) - older_than_s
        rows = db.execute(
            "UPDATE instance SET state = 'retired' WHERE id IN (SELECT id FROM instance"
            f" WHERE state = 'ready' AND settled_at > 0 AND settled_at <= ? AND {_FIRM}"
            " ORDER BY settled_at LIMIT ?) RETURNING id",
            (before, most),
        ).fetchall()
        return [(row["id"], self._forget(db, row["id"], "retired")) for row in rows]

    def _empty_trash(
        self, db: sqlite3.Connection, older_than_s: float
    ) -> list[tuple[int, list[str]]]:
        before = trusted_s(db, self._clock) - older_than_s
        rows = db.execute(
            "SELECT id FROM instance WHERE state = 'withdrawn' AND withdrawn_at > 0"
            " AND withdrawn_at <= ?"
            " AND EXISTS (SELECT 1 FROM rendition WHERE instance_id = instance.id AND gone_at = 0)"
            " ORDER BY withdrawn_at LIMIT ?",
            (before, ROWS_MOST),
        ).fetchall()
        return [(row["id"], self._forget(db, row["id"], "trash emptied")) for row in rows]

    def _forget(self, db: sqlite3.Connection, instance_id: int, what: str) -> list[str]:
        now = self._clock.utc()
        rows = db.execute(
            "UPDATE rendition SET gone_at = ? WHERE instance_id = ? AND gone_at = 0 RETURNING blob",
            (now, instance_id),
        ).fetchall()
        note(db, now, WHO, what, instance_id=instance_id)
        return [row["blob"] for row in rows]

    def _trim(self, db: sqlite3.Connection, ids: list[int]) -> list[str]:
        now, gone = self._clock.utc(), []
        for rendition_id in ids:
            for row in db.execute(_DROP, (now, rendition_id)).fetchall():
                note(db, now, WHO, "trimmed", "received bytes", instance_id=row["instance_id"])
                gone.append(row["blob"])
        return gone
