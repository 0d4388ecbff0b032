"""delivering: queued -> sent or held, one destination at a time.

Attempts and backoff belong to a delivery: one dead destination burns nobody else's.
"""

import sqlite3

from spool.ageing import trusted_s
from spool.blobs import Blobs
from spool.clock import Clock
from spool.database import Database
from spool.earlier import IS_BEHIND
from spool.errors import LostClaim
from spool.model import Delivery, Rendition
from spool.retiring import settle
from spool.rows import (
    FREE,
    RENDITION_COLUMNS,
    Leases,
    Turns,
    insert_rendition,
    must_be_one,
    note,
    rendition_of,
)

_NEXT_DOOR = (
    "SELECT min(door) FROM delivery WHERE destination = :to AND state = 'queued'"
    " AND priority = :priority AND door > :door"
)
_SEEK = (
    "SELECT id FROM delivery d WHERE destination = :to AND state = 'queued'"
    f" AND priority = :priority AND door = :door AND not_before <= :now AND {FREE}"
    f" AND NOT {IS_BEHIND} ORDER BY not_before, id LIMIT 1"
)
_CLAIM = (
    "UPDATE delivery SET lease = :lease, lease_until = :until, attempts = attempts + 1"
    f" WHERE id = ({_SEEK}) RETURNING *"
)
_RENDITION = f"SELECT {RENDITION_COLUMNS} FROM rendition r WHERE r.id = ?"
_MINE = " WHERE id = ? AND state = 'queued' AND lease = ?"


class Delivering:
    """What the stage `forward` calls."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock, leases: Leases) -> None:
        self._database, self._blobs, self._clock, self._leases = database, blobs, clock, leases
        self._turns: dict[str, Turns] = {}

    def claim(self, destination: str) -> Delivery | None:
        """Return the most urgent delivery that is due there, or None."""
        return self._database.write(lambda db: self._claim(db, destination))

    def next_due_s(self, destination: str) -> float | None:
        """Return the seconds until the next queued delivery is due, None where there is none."""
        rows = self._database.read(
            "SELECT min(not_before) AS due FROM delivery d"
            f" WHERE destination = ? AND state = 'queued' AND NOT {IS_BEHIND}",
            (destination,),
        )
        due = rows[0]["due"]
        return None if due is None else max(0.0, due - self._clock.utc())

    def end_leases(self, destination: str, longest_s: float) -> None:
        """End the leases of a stage that is gone; cut waits that a stepped clock made absurd."""
        most = self._clock.utc() + longest_s
        self._database.write(
            lambda db: db.execute(
                "UPDATE delivery SET lease = '', not_before = min(not_before, ?)"
                " WHERE destination = ? AND state = 'queued' AND (lease <> '' OR not_before > ?)",
                (most, destination, most),
            )
        )

    def ahead(self, destination: str, most: int = 500) -> list[tuple[str, str]]:
        """Return the (SOP class, transfer syntax) pairs of what is next, for the contexts."""
        rows = self._database.read(
            "SELECT DISTINCT sop_class_uid, transfer_syntax_uid FROM (SELECT r.sop_class_uid,"
            " r.transfer_syntax_uid FROM delivery d JOIN rendition r ON r.id = d.rendition_id"
            " WHERE d.destination = ? AND d.state = 'queued'"
            " ORDER BY d.priority, d.not_before LIMIT ?)",
            (destination, most),
        )
        return [(row[0], row[1]) for row in rows]

    def renditions(self, delivery: Delivery) -> list[Rendition]:
        """Return every rendition of the delivery's instance that is still there, in order."""
        rows = self._database.read(
            f"SELECT {RENDITION_COLUMNS} FROM rendition r WHERE r.instance_id = ?"
            " AND r.gone_at = 0 ORDER BY r.id",
            (delivery.instance_id,),
        )
        return [rendition_of(row, self._blobs) for row in rows]

    def freeze(self, delivery: Delivery, rendition: Rendition) -> Delivery:
        """Make the delivery send `rendition` from now on, the same bytes at every try.

        A new rendition (id 0) gets its row in the same transaction.
        """
        return self._database.write(lambda db: self._freeze(db, delivery, rendition))

    def sent(self, delivery: Delivery, detail: str = "", *, settles: bool = False) -> None:
        """Say that the archive answered success; `detail` is its warning, if any.

        `settles`: nothing firmer is asked of this destination, so the instance may retire.
        """
        self._database.write(lambda db: self._sent(db, delivery, detail, settles=settles))

    def confirmed(self, delivery_id: int, detail: str) -> None:
        """Say that the archive has it; `detail` is how that was found out.

        Raises
        ------
        LostClaim
            The delivery is not `sent`.
        """
        self._database.write(lambda db: self._confirmed(db, delivery_id, detail))

    def defer(
        self, delivery: Delivery, code: str, text: str, delay_s: float, *, away: bool = False
    ) -> None:
        """Try again after `delay_s`, or, if the destination is `away`, when it is back."""
        self._database.write(
            lambda db: self._defer(db, delivery, code, text, delay_s, refused=0, away=away)
        )

    def refuse(self, delivery: Delivery, code: str, text: str, delay_s: float) -> None:
        """Count a refusal of the object itself, and try again after `delay_s`."""
        self._database.write(
            lambda db: self._defer(db, delivery, code, text, delay_s, refused=1, away=False)
        )

    def hold(self, delivery: Delivery, code: str, text: str) -> None:
        """Move the delivery to `held`: a person must look."""
        self._database.write(lambda db: self._hold(db, delivery, code, text))

    def give_back(self, delivery: Delivery) -> None:
        """End the claim as if it had never been: the stage stops."""
        self._database.write(
            lambda db: db.execute(
                "UPDATE delivery SET lease = '', attempts = attempts - 1" + _MINE,
                (delivery.id, delivery.lease),
            )
        )

    def _claim(self, db: sqlite3.Connection, destination: str) -> Delivery | None:
        lease, now = self._leases.new(), self._clock.utc()
        values = self._leases.values() | {
            "lease": lease.token,
            "until": lease.until,
            "now": now,
            "to": destination,
        }
        turns = self._turns.setdefault(destination, Turns())
        row = turns.claim(db, _NEXT_DOOR, _CLAIM, values)
        if row is None:
            return None
        rendition = db.execute(_RENDITION, (row["rendition_id"],)).fetchone()
        return _delivery_of(row, rendition_of(rendition, self._blobs))

    def _freeze(self, db: sqlite3.Connection, delivery: Delivery, rendition: Rendition) -> Delivery:
        now = self._clock.utc()
        rendition_id = rendition.id or insert_rendition(db, delivery.instance_id, rendition, now)
        done = db.execute(
            "UPDATE delivery SET rendition_id = ?" + _MINE,
            (rendition_id, delivery.id, delivery.lease),
        )
        must_be_one(done, f"delivery {delivery.id}")
        detail = f"{rendition.role} {rendition.transfer_syntax_uid} {rendition.recipe}".strip()
        self._note(db, delivery, "rendition", detail)
        row = db.execute("SELECT * FROM delivery WHERE id = ?", (delivery.id,)).fetchone()
        frozen = db.execute(_RENDITION, (rendition_id,)).fetchone()
        return _delivery_of(row, rendition_of(frozen, self._blobs))

    def _sent(
        self, db: sqlite3.Connection, delivery: Delivery, detail: str, *, settles: bool
    ) -> None:
        settled_at = max(trusted_s(db, self._clock), 1e-3) if settles else 0
        done = db.execute(
            "UPDATE delivery SET state = 'sent', lease = '', sent_at = ?, settled_at = ?,"
            " error_code = '', error_text = ?" + _MINE,
            (self._clock.utc(), settled_at, detail, delivery.id, delivery.lease),
        )
        must_be_one(done, f"delivery {delivery.id}")
        self._note(db, delivery, "sent", detail)
        settle(db, self._clock, delivery.instance_id)

    def _confirmed(self, db: sqlite3.Connection, delivery_id: int, detail: str) -> None:
        now = self._clock.utc()
        rows = db.execute(
            "UPDATE delivery SET state = 'confirmed', settled_at = ? WHERE id = ?"
            " AND state = 'sent' RETURNING instance_id, destination",
            (max(trusted_s(db, self._clock), 1e-3), delivery_id),
        ).fetchall()
        if not rows:
            raise LostClaim(f"delivery {delivery_id}")
        instance_id, who = rows[0]["instance_id"], f"confirm@{rows[0]['destination']}"
        note(db, now, who, "confirmed", detail, instance_id=instance_id, delivery_id=delivery_id)
        settle(db, self._clock, instance_id)

    def _defer(
        self,
        db: sqlite3.Connection,
        delivery: Delivery,
        code: str,
        text: str,
        delay_s: float,
        *,
        refused: int,
        away: bool,
    ) -> None:
        due_at = self._clock.utc() + delay_s
        done = db.execute(
            "UPDATE delivery SET lease = '', not_before = ?, error_code = ?, error_text = ?,"
            " refusals = refusals + ?, away = ?" + _MINE,
            (due_at, code, text, refused, away, delivery.id, delivery.lease),
        )
        must_be_one(done, f"delivery {delivery.id}")
        if refused:
            self._note(db, delivery, "refused", f"{code} {text}".strip())

    def _hold(self, db: sqlite3.Connection, delivery: Delivery, code: str, text: str) -> None:
        done = db.execute(
            "UPDATE delivery SET state = 'held', lease = '', error_code = ?, error_text = ?"
            + _MINE,
            (code, text, delivery.id, delivery.lease),
        )
        must_be_one(done, f"delivery {delivery.id}")
        self._note(db, delivery, "held", f"{code} {text}".strip())

    def _note(self, db: sqlite3.Connection, delivery: Delivery, what: str, detail: str) -> None:
        note(
            db,
            self._clock.utc(),
            f"forward@{delivery.destination}",
            what,
            detail,
            instance_id=delivery.instance_id,
            delivery_id=delivery.id,
        )


def _delivery_of(row: sqlite3.Row, rendition: Rendition) -> Delivery:
    return Delivery(
        row["id"],
        row["instance_id"],
        row["destination"],
        row["round"],
        row["attempts"],
        row["refusals"],
        rendition,
        row["lease"],
    )
