"""rounds: a delivery is never changed to send something else, a new round of it is opened.

Takes      an instance, a destination and a rendition, inside a transaction
Gives      a new delivery there, behind whatever keeps the instance's others waiting
Holds      what the caller says
"""

import sqlite3

from spool.ageing import trusted_s
from spool.clock import Clock
from spool.model import DeliveryState

#: SQL: the rendition of the delivery `d` lost something: it never stands for the image.
IS_LESS = "(SELECT role FROM rendition WHERE id = d.rendition_id) = 'lossy'"
#: SQL: by the delivery `d` its destination gets the image, or has it.
IS_LIVE = f"d.state NOT IN ('cancelled', 'superseded') AND NOT {IS_LESS}"

#: Of equal ones the better: what a person corrected, then what all archives take, made smaller.
_BEST = (
    "SELECT id FROM rendition WHERE instance_id = ? AND gone_at = 0 AND proved = 1"
    " AND role IN ('corrected', 'compressed', 'received', 'htj2k', 'fallback')"
    " ORDER BY CASE role WHEN 'corrected' THEN 0 WHEN 'compressed' THEN 1 WHEN 'received' THEN 2"
    " WHEN 'htj2k' THEN 3 ELSE 4 END, id LIMIT 1"
)

_FROZEN = (
    "SELECT r.id FROM delivery d JOIN rendition r ON r.id = d.rendition_id WHERE d.id = ?"
    " AND r.role IN ('corrected', 'deidentified') AND r.gone_at = 0"
)


def open_round(
    db: sqlite3.Connection,
    clock: Clock,
    instance_id: int,
    destination: str,
    rendition_id: int,
    state: DeliveryState = DeliveryState.QUEUED,
    code: str = "",
    text: str = "",
    *,
    stands_for: str = "",
) -> int:
    """Open the next round of the delivery and return its id; the instance is no longer settled."""
    cursor = db.execute(
        "INSERT INTO delivery (instance_id, destination, round, rendition_id, priority, door,"
        " waits_since, state, error_code, error_text, stands_for, behind)"
        " SELECT i.id, :to, 1 + coalesce((SELECT max(round) FROM delivery"
        " WHERE instance_id = i.id AND destination = :to), 0), :rendition, i.priority, i.door,"
        " :since, :state, :code, :text, :stands_for,"
        " coalesce((SELECT max(behind) FROM delivery WHERE instance_id = i.id), 0)"
        " FROM instance i WHERE i.id = :id",
        {
            "id": instance_id,
            "to": destination,
            "rendition": rendition_id,
            "since": trusted_s(db, clock),
            "state": state,
            "code": code,
            "text": text,
            "stands_for": stands_for,
        },
    )
    db.execute("UPDATE instance SET settled_at = 0 WHERE id = ?", (instance_id,))
    return int(cursor.lastrowid or 0)


def best_rendition(db: sqlite3.Connection, instance_id: int) -> int:
    """Return the best proved rendition that is still there and lost nothing; 0 without one."""
    row = db.execute(_BEST, (instance_id,)).fetchone()
    return int(row["id"]) if row else 0


def going_rendition(db: sqlite3.Connection, instance_id: int, delivery_id: int) -> int:
    """Return what another destination gets in place of the delivery's rendition; 0: nothing.

    What was corrected or de-identified for a destination is not undone on the way to another.
    """
    row = db.execute(_FROZEN, (delivery_id,)).fetchone()
    return int(row["id"]) if row else best_rendition(db, instance_id)


def is_live(db: sqlite3.Connection, instance_id: int, destination: str) -> bool:
    """Tell whether the destination gets it, or has it; what lost something is not it."""
    query = f"SELECT 1 FROM delivery d WHERE d.instance_id = ? AND d.destination = ? AND {IS_LIVE}"
    return bool(db.execute(query, (instance_id, destination)).fetchone())


def is_ready(db: sqlite3.Connection, instance_id: int) -> bool:
    """Tell whether prepare has decided about it, and nobody took it back."""
    query = "SELECT 1 FROM instance WHERE id = ? AND state = 'ready'"
    return bool(db.execute(query, (instance_id,)).fetchone())
