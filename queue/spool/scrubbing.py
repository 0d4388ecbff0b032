"""scrubbing: read every file again, slowly, so that a failing card is known in time.

Takes      the rendition whose last check is the longest ago
Gives      the time of its check
Holds      what a damaged file belongs to: `damaged`; the study's other images go on
"""

import sqlite3
from dataclasses import dataclass

from spool.ageing import trusted_s
from spool.blobfile import verify
from spool.blobs import Blobs
from spool.clock import Clock
from spool.database import Database
from spool.errors import Damaged
from spool.rows import note

DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check found; `damage` is "" for a sound file."""

    instance_id: int
    blob: str
    bytes: int
    damage: str


class Scrubbing:
    """What the stage `tend` and `check --spool` call."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database, self._blobs, self._clock = database, blobs, clock

    def check_next(self, interval_s: float) -> Checked | None:
        """Check the file that waits longest, if its last check was `interval_s` ago.

        The interval is trusted time (`ageing`): a clock that is set back stops no check.
        """
        rows = self._database.read(
            "SELECT * FROM rendition WHERE gone_at = 0 ORDER BY checked_at LIMIT 1"
        )
        if not rows or (rows[0]["checked_at"] and not self._is_due(rows[0], interval_s)):
            return None
        return self._check(rows[0])

    def damage_of(self, blob: str, sha256: str) -> str:
        """Return what is wrong with a file: "" for nothing, "missing", or the damaged part."""
        try:
            verify(self._blobs.path(blob), sha256)
        except FileNotFoundError:
            return "missing"
        except Damaged as fault:
            return str(fault)
        except OSError as fault:
            return f"unreadable: {fault.strerror}"
        return ""

    def hold(self, rendition_id: int, instance_id: int, damage: str) -> bool:
        """Hold all that would send, or be made from, this rendition.

        Tell whether it is damaged indeed: one that was retired meanwhile is only gone.
        """
        return self._database.write(lambda db: self._hold(db, rendition_id, instance_id, damage))

    def _check(self, row: sqlite3.Row) -> Checked:
        damage = self.damage_of(row["blob"], row["sha256"])
        if damage and not self.hold(row["id"], row["instance_id"], damage):
            damage = ""
        self._database.write(
            lambda db: db.execute(
                "UPDATE rendition SET checked_at = ? WHERE id = ?",
                (max(trusted_s(db, self._clock), 1e-3), row["id"]),
            )
        )
        return Checked(row["instance_id"], row["blob"], row["bytes"], damage)

    def _is_due(self, row: sqlite3.Row, interval_s: float) -> bool:
        now_s = self._database.write(lambda db: trusted_s(db, self._clock))
        return bool(row["checked_at"] <= now_s - interval_s)

    def _hold(
        self, db: sqlite3.Connection, rendition_id: int, instance_id: int, damage: str
    ) -> bool:
        row = db.execute("SELECT gone_at FROM rendition WHERE id = ?", (rendition_id,)).fetchone()
        if row["gone_at"]:
            return False
        held = db.execute(
            "UPDATE delivery SET state = 'held', lease = '', error_code = ?, error_text = ?"
            " WHERE rendition_id = ? AND state = 'queued'",
            (DAMAGED, damage, rendition_id),
        ).rowcount
        held += db.execute(
            "UPDATE instance SET state = 'held', lease = '', reason = ?, detail = ?"
            " WHERE id = ? AND state = 'received'",
            (DAMAGED, damage, instance_id),
        ).rowcount
        what = "held" if held else "damaged"
        detail = f"{DAMAGED} {damage}"
        note(db, self._clock.utc(), "tend", what, detail, instance_id=instance_id)
        return True
