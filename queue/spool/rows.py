"""rows: what the parts of the store share: leases, the history's pen, rows as models."""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from spool.blobs import Blobs
from spool.clock import Clock
from spool.errors import LostClaim
from spool.model import Blob, Priority, Rendition, Role

#: How long a stage may work on one item before another may take it, seconds. A stage that ends
#: gives back its own at its next start, so this only ends the claim of a thread that hangs: it is
#: longer than the largest cine takes over the slowest line.
LEASE_S = 21600.0
#: Nothing that is put off waits longer, seconds: a wait beyond it comes of a clock that stepped.
WAIT_MOST_S = 900.0
#: The longest wait between two questions about what was sent, seconds.
CHECK_WAIT_MOST_S = 3600.0

RENDITION_COLUMNS = (
    "r.id AS r_id, r.role AS r_role, r.sop_instance_uid AS r_sop_instance_uid,"
    " r.sop_class_uid AS r_sop_class_uid, r.transfer_syntax_uid AS r_transfer_syntax_uid,"
    " r.blob AS r_blob, r.dataset_offset AS r_dataset_offset, r.bytes AS r_bytes,"
    " r.sha256 AS r_sha256, r.made_from AS r_made_from, r.recipe AS r_recipe,"
    " r.proved AS r_proved"
)


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim's mark: it ends at `until` of this boot, or with the boot."""

    token: str
    until: float


class Leases:
    """Makes leases, and says which have ended: those of another boot, or past their time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def new(self) -> Lease:
        token = f"{self.clock.boot_id}/{secrets.token_hex(8)}"
        return Lease(token, self.clock.boottime() + LEASE_S)

    def values(self) -> dict[str, Any]:
        """Return what `FREE` needs."""
        return {"boot": f"{self.clock.boot_id}/*", "up": self.clock.boottime()}


#: SQL: nobody works on this row; `IS_FREE` of the delivery `d`.
FREE = "(lease = '' OR lease NOT GLOB :boot OR lease_until <= :up)"
IS_FREE = "(d.lease = '' OR d.lease NOT GLOB :boot OR d.lease_until <= :up)"


class Turns:
    """Fair turns: after one door's item comes the next door's, at the same priority.

    So a study of 3,000 slices from one sender does not keep another's image waiting. Only the last
    door of each priority is remembered; a restart begins with the first, which costs nobody more
    than one turn.
    """

    def __init__(self) -> None:
        self._last: dict[int, str] = {}

    def claim(
        self, db: sqlite3.Connection, next_door: str, claim: str, values: dict[str, Any]
    ) -> sqlite3.Row | None:
        """Return the row that `claim` gives for the most urgent priority and the next door."""
        row = self.look(db, next_door, claim, values)
        if row:
            self.took(row)
        return row

    def look(
        self,
        db: sqlite3.Connection,
        next_door: str,
        seek: str,
        values: dict[str, Any],
        priorities: Iterable[int] = tuple(map(int, Priority)),
    ) -> sqlite3.Row | None:
        """Return what `seek` gives, with its priority and door; the turn is not over by that."""
        for priority in priorities:
            for door in _doors(
                db, next_door, values | {"priority": priority}, self._last.get(priority, "")
            ):
                row = db.execute(seek, values | {"priority": priority, "door": door}).fetchone()
                if row:
                    return row  # type: ignore[no-any-return]
        return None

    def took(self, row: sqlite3.Row) -> None:
        """Say that the row was taken: it is the next door's turn."""
        self._last[row["priority"]] = row["door"]


def _doors(
    db: sqlite3.Connection, next_door: str, values: dict[str, Any], last: str
) -> Iterator[str]:
    """Give each door with something waiting once, beginning after `last`: one seek a door."""
    found, wrapped = last, False
    while True:
        (door,) = db.execute(next_door, values | {"door": found}).fetchone()
        if wrapped and (door is None or door > last):
            return
        if door is None:
            found, wrapped = "", True
            continue
        yield door
        found = door


def must_be_one(cursor: sqlite3.Cursor, what: str) -> None:
    """Raise `LostClaim` unless the guarded UPDATE met exactly its row."""
    if cursor.rowcount != 1:
        raise LostClaim(what)


def note(
    db: sqlite3.Connection,
    at: float,
    who: str,
    what: str,
    detail: str = "",
    *,
    instance_id: int | None = None,
    delivery_id: int | None = None,
) -> None:
    """Append to the history: keys and UIDs only, nothing of the patient."""
    db.execute(
        "INSERT INTO history (at, instance_id, delivery_id, who, what, detail)"
        " VALUES (?,?,?,?,?,?)",
        (at, instance_id, delivery_id, who, what, detail),
    )


def rendition_of(row: sqlite3.Row, blobs: Blobs) -> Rendition:
    """Return the rendition in a row that was selected with `RENDITION_COLUMNS`."""
    name = row["r_blob"]
    blob = Blob(name, blobs.path(name), row["r_dataset_offset"], row["r_bytes"], row["r_sha256"])
    return Rendition(
        Role(row["r_role"]),
        row["r_sop_instance_uid"],
        row["r_sop_class_uid"],
        row["r_transfer_syntax_uid"],
        blob,
        row["r_made_from"] or 0,
        row["r_recipe"],
        bool(row["r_proved"]),
        row["r_id"],
    )


def insert_rendition(db: sqlite3.Connection, instance_id: int, one: Rendition, at: float) -> int:
    """Write the row of a durable blob and return its id."""
    cursor = db.execute(
        "INSERT INTO rendition (instance_id, role, sop_instance_uid, sop_class_uid,"
        " transfer_syntax_uid, blob, dataset_offset, bytes, sha256, made_from, recipe, proved,"
        " made_at) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            instance_id,
            one.role,
            one.sop_instance_uid,
            one.sop_class_uid,
            one.transfer_syntax_uid,
            one.blob.name,
            one.blob.dataset_offset,
            one.blob.dataset_bytes,
            one.blob.sha256,
            one.made_from or None,
            one.recipe,
            one.proved,
            at,
        ),
    )
    return int(cursor.lastrowid or 0)
