"""counting: what a person or a program is told about the spool. Short reads only."""

import sqlite3
from dataclasses import dataclass
from typing import Any

from spool.clock import Clock
from spool.database import Database
from spool.model import DeliveryState, InstanceState


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list; an empty word matches everything."""

    state: str = ""  #: of the instance, or of one of its deliveries
    destination: str = ""
    door: str = ""
    study_instance_uid: str = ""
    most: int = 1000
    after_id: int = 0  #: page on: only instances above this id


class Counting:
    """Counts and lists of what the database knows now."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def instances(self) -> dict[str, int]:
        """Return the count of each instance state, zero included."""
        found = {str(state): 0 for state in InstanceState}
        rows = self._database.read("SELECT state, n FROM tally WHERE machine = 'instance'")
        return found | {row["state"]: row["n"] for row in rows}

    def deliveries(self) -> dict[str, dict[str, int]]:
        """Return, for each destination, the count of each delivery state."""
        found: dict[str, dict[str, int]] = {}
        rows = self._database.read("SELECT * FROM tally WHERE machine = 'delivery'")
        for row in rows:
            counts = found.setdefault(row["destination"], {str(one): 0 for one in DeliveryState})
            counts[row["state"]] = row["n"]
        return found

    def received_since(self, at: float) -> int:
        """Return the bytes received since `at` (UTC seconds)."""
        rows = self._database.read(
            "SELECT coalesce(sum(bytes), 0) AS n FROM rendition WHERE made_at >= ?", (at,)
        )
        return int(rows[0]["n"])

    def find(self, wanted: Filter) -> list[dict[str, Any]]:
        """Return the instances that match, oldest first, each with renditions and deliveries."""
        where, values = _where(wanted)
        rows = self._database.read(
            f"SELECT * FROM instance i WHERE {where} ORDER BY id LIMIT :most", values
        )
        return [self._whole(row) for row in rows]

    def show(self, key: str) -> list[dict[str, Any]]:
        """Return the instance with this id, or all with this SOP Instance UID, with history."""
        column = "id" if key.isdecimal() else "sop_instance_uid"
        rows = self._database.read(
            f"SELECT * FROM instance WHERE {column} = ? OR id IN"
            " (SELECT instance_id FROM rendition WHERE sop_instance_uid = ?) ORDER BY id",
            (key, key),
        )
        return [self._whole(row) | {"history": self._history(row["id"])} for row in rows]

    def blob_names(self) -> set[str]:
        """Return the name of every blob that a row names."""
        return {row["blob"] for row in self._database.read("SELECT blob FROM rendition")}

    def integrity(self) -> str:
        """Return "ok", or what SQLite finds wrong (PRAGMA integrity_check)."""
        return "; ".join(row[0] for row in self._database.read("PRAGMA integrity_check(10)"))

    def _whole(self, row: sqlite3.Row) -> dict[str, Any]:
        renditions = self._database.read(
            "SELECT * FROM rendition WHERE instance_id = ? ORDER BY id", (row["id"],)
        )
        deliveries = self._database.read(
            "SELECT * FROM delivery WHERE instance_id = ? ORDER BY id", (row["id"],)
        )
        return dict(row) | {
            "renditions": [dict(one) for one in renditions],
            "deliveries": [dict(one) for one in deliveries],
        }

    def _history(self, instance_id: int) -> list[dict[str, Any]]:
        rows = self._database.read(
            "SELECT * FROM history WHERE instance_id = ? ORDER BY id", (instance_id,)
        )
        return [dict(row) for row in rows]


def _where(wanted: Filter) -> tuple[str, dict[str, Any]]:
    values = {"most": wanted.most, "after": wanted.after_id}
    parts = ["i.id > :after"]
    delivery = "EXISTS (SELECT 1 FROM delivery d WHERE d.instance_id = i.id AND {})"
    for name, clause in {
        "state": f"(i.state = :state OR {delivery.format('d.state = :state')})",
        "destination": delivery.format("d.destination = :destination"),
        "door": "i.door = :door",
        "study_instance_uid": "i.study_instance_uid = :study_instance_uid",
    }.items():
        if value := getattr(wanted, name):
            parts.append(clause)
            values[name] = value
    return " AND ".join(parts), values
