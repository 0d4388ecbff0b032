"""refusals: what each destination refused, by code.

A table of its own, kept where a refusal is written: the history of a million deliveries is too
long to be counted for a question.
"""

import sqlite3

from spool.database import Database


def refused(
    db: sqlite3.Connection, destination: str, code: str, at: float, instance_id: int
) -> None:
    """Count one refusal; the last instance is kept as an example."""
    db.execute(
        "INSERT INTO refusal VALUES (?, ?, 1, ?, ?) ON CONFLICT DO UPDATE SET n = n + 1,"
        " last_at = excluded.last_at, instance_id = excluded.instance_id",
        (destination, code, at, instance_id),
    )


def refusals(database: Database, destination: str) -> list[tuple[str, int, float, int]]:
    """Return (code, count, UTC seconds of the last, an instance's id), the most frequent first."""
    rows = database.read(
        "SELECT code, n, last_at, instance_id FROM refusal WHERE destination = ?"
        " ORDER BY n DESC, code",
        (destination,),
    )
    return [tuple(row) for row in rows]
