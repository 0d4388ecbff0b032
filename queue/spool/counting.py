"""counting: what a person or a program is told about the spool. Short reads only."""

import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from spool.clock import Clock
from spool.database import Database
from spool.model import DeliveryState, InstanceState

#: An instance and one destination; "" stands for the whole instance.
Target = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Filter:
    """What to list or to decide; an empty word matches everything."""

    state: str = ""  #: of the instance, or of one of its deliveries
    destination: str = ""
    door: str = ""  #: `ae:US1`, or only the name behind the colon
    study_instance_uid: str = ""
    error_code: str = ""  #: of a delivery's last try
    reason: str = ""  #: for which the instance is held or merged
    received_before: float = 0.0  #: UTC seconds; 0: whenever it came
    most: int = 1000
    after_id: int = 0  #: page on: only instances above this id


@dataclass(frozen=True, slots=True)
class File:
    """A file that a row names."""

    rendition_id: int
    instance_id: int
    blob: str
    bytes: int  #: of the data set
    sha256: str


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
        rows = self._database.read(
            f"SELECT * FROM instance i WHERE {where_clause(wanted)} ORDER BY id LIMIT :most",
            asdict(wanted),
        )
        return [self._whole(row) for row in rows]

    def targets(self, wanted: Filter) -> list[Target]:
        """Return all that matches as what a person decides about: whole instances, or deliveries.

        A filter that speaks of deliveries means those alone: what is retried for one archive's
        error is not released for another. `most` does not count here.
        """
        found: dict[int, list[str]] = {}
        for instance_id, destination in self._database.read(_targets(wanted), asdict(wanted)):
            found.setdefault(instance_id, []).append(destination)
        return [
            (instance_id, to)
            for instance_id, all_of_it in found.items()
            for to in ([""] if "" in all_of_it else all_of_it)
        ]

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

    def files(self, after_id: int = 0, most: int = 500) -> list[File]:
        """Return the next files that must be there, in the order of their ids."""
        rows = self._database.read(
            "SELECT id, instance_id, blob, bytes, sha256 FROM rendition"
            " WHERE gone_at = 0 AND id > ? ORDER BY id LIMIT ?",
            (after_id, most),
        )
        return [File(*row) for row in rows]

    def is_gone(self, rendition_id: int) -> bool:
        """Tell whether the row calls its file gone by now."""
        query = "SELECT 1 FROM rendition WHERE id = ? AND gone_at = 0"
        return not self._database.read(query, (rendition_id,))

    def totals(self) -> tuple[int, int]:
        """Return the number of files that must be there, and their data sets' bytes."""
        (row,) = self._database.read(
            "SELECT count(*), coalesce(sum(bytes), 0) FROM rendition WHERE gone_at = 0"
        )
        return int(row[0]), int(row[1])

    def in_trash(self) -> int:
        """Return how many withdrawn instances can still be brought back."""
        (row,) = self._database.read(
            "SELECT count(*) FROM instance WHERE state = 'withdrawn' AND EXISTS"
            " (SELECT 1 FROM rendition WHERE instance_id = instance.id AND gone_at = 0)"
        )
        return int(row[0])

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


_OF_INSTANCE = {
    "door": ":door IN (i.door, substr(i.door, instr(i.door, ':') + 1))",
    "study_instance_uid": "i.study_instance_uid = :study_instance_uid",
    "reason": "i.reason = :reason",
    "received_before": "i.received_at < :received_before",
}
_OF_DELIVERY = {
    "destination": "d.destination = :destination",
    "error_code": "d.error_code = :error_code",
}


def _parts(wanted: Filter, clauses: dict[str, str]) -> list[str]:
    return [clause for name, clause in clauses.items() if getattr(wanted, name)]


def where_clause(wanted: Filter) -> str:
    """Return the SQL condition on instance `i`; the filter's words are its parameters."""
    parts = ["i.id > :after_id", *_parts(wanted, _OF_INSTANCE)]
    delivery = _parts(wanted, _OF_DELIVERY)
    if delivery:
        parts.append(_has(delivery))
    if wanted.state:
        parts.append(f"(i.state = :state OR {_has([*delivery, 'd.state = :state'])})")
    return " AND ".join(parts)


def _has(parts: list[str]) -> str:
    return f"i.id IN (SELECT d.instance_id FROM delivery d WHERE {' AND '.join(parts)})"


def _targets(wanted: Filter) -> str:
    """Return the query for what `wanted` means exactly: a delivery, where it speaks of one."""
    common = ["i.id > :after_id", *_parts(wanted, _OF_INSTANCE)]
    delivery = _parts(wanted, _OF_DELIVERY)
    state = ["(d.state = :state OR i.state = :state)" if delivery else "d.state = :state"]
    queries = []
    if not delivery:
        whole = [*common, *(["i.state = :state"] if wanted.state else [])]
        queries.append(f"SELECT i.id, '' FROM instance i WHERE {' AND '.join(whole)}")
    if delivery or wanted.state:
        single = [*common, *delivery, *(state if wanted.state else [])]
        queries.append(
            "SELECT i.id, d.destination FROM delivery d JOIN instance i ON i.id = d.instance_id"
            f" WHERE {' AND '.join(single)}"
        )
    return " UNION ".join(queries) + " ORDER BY 1, 2"
