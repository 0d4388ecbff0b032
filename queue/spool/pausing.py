"""pausing: a person lets nothing be sent to a destination, nor asked of it, until it is resumed.

It is a row, so that it outlives a restart; every claim looks at it. Like every decision of a person
it must outlive the database too: a small synced file says the same, written before the row.
"""

import json
import os
import sqlite3
from typing import Any

from spool.blobs import Blobs, sync_folder
from spool.clock import Clock
from spool.database import Database
from spool.rows import note

FILE = "paused.json"
#: SQL: the destination `:to` is not paused.
NOT_PAUSED = "NOT EXISTS (SELECT 1 FROM pause WHERE destination = :to)"


class Pausing:
    """Pause and resume destinations; `who` signs in the history."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._path = blobs.folder.parent / FILE

    def pause(self, destination: str, who: str) -> bool:
        """Let nothing be claimed for the destination; tell whether that is new."""
        rows = self._rows()
        if destination not in rows:
            self._keep(rows | {destination: {"at": self._clock.utc(), "who": who}})
        return self._database.write(lambda db: self._pause(db, destination, who))

    def resume(self, destination: str, who: str) -> bool:
        """Let it go on; tell whether it was paused."""
        rows = self._rows()
        rows.pop(destination, None)
        self._keep(rows)
        return self._database.write(lambda db: self._resume(db, destination, who))

    def is_paused(self, destination: str) -> bool:
        """Tell whether a person has paused the destination."""
        query = "SELECT 1 FROM pause WHERE destination = ?"
        return bool(self._database.read(query, (destination,)))

    def come_into_force(self) -> bool:
        """Pause what the file says, after the database was lost; False where it says nothing."""
        try:
            said = json.loads(self._path.read_bytes())
            rows = [(name, one["at"], one["who"]) for name, one in said.items()]
        except FileNotFoundError:  # nobody has ever paused anything
            return True
        except (ValueError, KeyError, TypeError, AttributeError):  # it is rotten
            return False

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM pause")
            db.executemany("INSERT INTO pause VALUES (?, ?, ?)", rows)

        self._database.write(work)
        return True

    def _pause(self, db: sqlite3.Connection, destination: str, who: str) -> bool:
        now = self._clock.utc()
        done = db.execute(
            "INSERT INTO pause VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (destination, now, who)
        ).rowcount
        if done:
            note(db, now, who, "pause", destination)
        return bool(done)

    def _resume(self, db: sqlite3.Connection, destination: str, who: str) -> bool:
        done = db.execute("DELETE FROM pause WHERE destination = ?", (destination,)).rowcount
        if done:
            note(db, self._clock.utc(), who, "resume", destination)
        return bool(done)

    def _rows(self) -> dict[str, Any]:
        rows = self._database.read("SELECT * FROM pause")
        return {row["destination"]: {"at": row["at"], "who": row["who"]} for row in rows}

    def _keep(self, paused: dict[str, Any]) -> None:
        """Put the file in the other's place; durable when this returns."""
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(json.dumps(paused, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())
        new.rename(self._path)
        sync_folder(self._path.parent)
