"""incidents: what happened to the spool as a whole, shown until a person has seen it."""

import sqlite3
from dataclasses import dataclass

from spool.clock import Clock
from spool.database import Database


@dataclass(frozen=True, slots=True)
class Happened:
    """One incident; `detail` is technical and without patient data."""

    at: float  #: UTC seconds
    code: str
    detail: str


class Incidents:
    """Write down what happened, and what was seen of it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def unseen(self) -> list[Happened]:
        """Return what nobody has seen yet, oldest first."""
        rows = self._database.read("SELECT at, code, detail FROM incident WHERE seen = 0")
        return [Happened(*row) for row in rows]

    def write_down(self, code: str, detail: str) -> None:
        """Keep it until somebody has seen it."""
        row = (self._clock.utc(), code, detail)
        self._database.write(
            lambda db: db.execute("INSERT INTO incident (at, code, detail) VALUES (?,?,?)", row)
        )

    def see(self, who: str) -> int:
        """Say that `who` has seen all of them; return how many."""
        return self._database.write(lambda db: self._see(db, who))

    def _see(self, db: sqlite3.Connection, who: str) -> int:
        rows = db.execute("UPDATE incident SET seen = 1 WHERE seen = 0 RETURNING code").fetchall()
        db.executemany(
            "INSERT INTO history (at, who, what, detail) VALUES (?, ?, 'seen', ?)",
            [(self._clock.utc(), who, row["code"]) for row in rows],
        )
        return len(rows)
