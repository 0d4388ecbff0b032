"""delivering: queued -> sent or held, one destination at a time.

Attempts and backoff belong to a delivery: one dead destination burns nobody else's.
"""

import sqlite3

from spool.ageing import trusted_s
from spool.blobs import Blobs
from spool.clock import Clock
from spool.database import Database
from spool.earlier import IS_BEHIND
from spool.model import Delivery, Priority, Rendition
from spool.pausing import NOT_PAUSED
from spool.refusals import refused
from spool.retiring import settle
from spool.rows import (
    IS_FREE,
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
    "SELECT d.id, d.priority, d.door, (SELECT bytes FROM rendition WHERE id = d.rendition_id)"
    " AS bytes FROM delivery d WHERE d.destination = :to AND d.state = 'queued'"
    f" AND d.priority = :priority AND d.door = :door AND d.not_before <= :now AND {IS_FREE}"
    f" AND NOT {IS_BEHIND} AND {NOT_PAUSED} ORDER BY d.not_before, d.id LIMIT 1"
)
_CLAIM = (
    "UPDATE delivery SET lease = ?, lease_until = ?, attempts = attempts + 1, tried = 1"
    " WHERE id = ? RETURNING *"
)
_RENDITION = f"SELECT {RENDITION_COLUMNS} FROM rendition r WHERE r.id = ?"
_MINE = " WHERE id = ? AND state = 'queued' AND lease = ?"

#: The archive is asked about what it took after so long, where nobody says otherwise, seconds.
CHECK_AFTER_S = 5.0


#: So many tries in a row have each a line in the history.
TOLD_EACH = 8


class Delivering:
    """What the stage `forward` calls."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock, leases: Leases) -> None:
        self._database, self._blobs, self._clock, self._leases = database, blobs, clock, leases
        self._turns: dict[str, Turns] = {}

    def claim(self, destination: str) -> Delivery | None:
        """Return the most urgent delivery that is due there, or None."""
        found = self.claim_batch(destination, 1, 0)
        return found[0] if found else None

    def claim_batch(self, destination: str, count_most: int, bytes_most: int) -> list[Delivery]:
        """Return the most urgent ones that are due there, all of one priority, in fair turns.

        Parameters
        ----------
        bytes_most
            Of their data sets together; the first goes whatever its size.
        """
        return self._database.write(
            lambda db: self._claim_batch(db, destination, count_most, bytes_most)
        )

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
        """End the leases of a stage that is gone; cut waits that a stepped clock made absurd.

        The history tells of each attempt that a kill cut off.
        """
        most = self._clock.utc() + longest_s
        self._database.write(lambda db: self._end_leases(db, destination, most))

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

    def sent(
        self,
        delivery: Delivery,
        detail: str = "",
        *,
        settles: bool = False,
        check_after_s: float = CHECK_AFTER_S,
    ) -> None:
        """Say that the archive answered success; `detail` is its warning, if any.

        Parameters
        ----------
        settles
            Nothing firmer is asked of this destination, so the instance may retire.
        check_after_s
            Else: after so long it is due to be asked about.
        """
        check_at = self._clock.utc() + check_after_s
        self._database.write(lambda db: self._sent(db, delivery, detail, check_at, settles=settles))

    def defer(
        self, delivery: Delivery, code: str, text: str, delay_s: float, *, away: bool = False
    ) -> None:
        """Try again after `delay_s`, or, if the destination is `away`, when it is back."""
        self._database.write(
            lambda db: self._defer(db, delivery, code, text, delay_s, refusals=0, away=away)
        )

    def refuse(self, delivery: Delivery, code: str, text: str, delay_s: float) -> None:
        """Count a refusal of the object itself, and try again after `delay_s`."""
        self._database.write(
            lambda db: self._defer(db, delivery, code, text, delay_s, refusals=1, away=False)
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

    def _claim_batch(
        self, db: sqlite3.Connection, destination: str, count_most: int, bytes_most: int
    ) -> list[Delivery]:
        values = self._leases.values() | {"now": self._clock.utc(), "to": destination}
        turns = self._turns.setdefault(destination, Turns())
        priorities, left, found = tuple(map(int, Priority)), bytes_most, list[Delivery]()
        while len(found) < count_most:
            row = turns.look(db, _NEXT_DOOR, _SEEK, values, priorities)
            if row is None or (found and row["bytes"] > left):
                break
            turns.took(row)
            found.append(self._take(db, row["id"]))
            priorities, left = (row["priority"],), left - row["bytes"]
        return found

    def _take(self, db: sqlite3.Connection, delivery_id: int) -> Delivery:
        lease = self._leases.new()
        row = db.execute(_CLAIM, (lease.token, lease.until, delivery_id)).fetchone()
        rendition = db.execute(_RENDITION, (row["rendition_id"],)).fetchone()
        return _delivery_of(row, rendition_of(rendition, self._blobs))

    def _end_leases(self, db: sqlite3.Connection, destination: str, most: float) -> None:
        cut_off = db.execute(
            "SELECT id, instance_id, attempts FROM delivery"
            " WHERE destination = ? AND state = 'queued' AND lease <> ''",
            (destination,),
        ).fetchall()
        for row in cut_off:
            about = {"instance_id": row["instance_id"], "delivery_id": row["id"]}
            detail = f"try {row['attempts']}"
            note(db, self._clock.utc(), f"forward@{destination}", "interrupted", detail, **about)
        db.execute(
            "UPDATE delivery SET lease = '', not_before = min(not_before, ?)"
            " WHERE destination = ? AND state = 'queued' AND (lease <> '' OR not_before > ?)",
            (most, destination, most),
        )

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
        self,
        db: sqlite3.Connection,
        delivery: Delivery,
        detail: str,
        check_at: float,
        *,
        settles: bool,
    ) -> None:
        settled_at = max(trusted_s(db, self._clock), 1e-3) if settles else 0
        done = db.execute(
            "UPDATE delivery SET state = 'sent', lease = '', sent_at = ?, settled_at = ?,"
            " check_at = ?, checks = 0, silent = 0, error_code = '', error_text = ?" + _MINE,
            (self._clock.utc(), settled_at, check_at, detail, delivery.id, delivery.lease),
        )
        must_be_one(done, f"delivery {delivery.id}")
        self._note(db, delivery, "sent", detail)
        settle(db, self._clock, delivery.instance_id)

    def _defer(
        self,
        db: sqlite3.Connection,
        delivery: Delivery,
        code: str,
        text: str,
        delay_s: float,
        *,
        refusals: int,
        away: bool,
    ) -> None:
        due_at = self._clock.utc() + delay_s
        row = db.execute("SELECT error_code FROM delivery WHERE id = ?", (delivery.id,)).fetchone()
        done = db.execute(
            "UPDATE delivery SET lease = '', not_before = ?, error_code = ?, error_text = ?,"
            " refusals = refusals + ?, away = ?" + _MINE,
            (due_at, code, text, refusals, away, delivery.id, delivery.lease),
        )
        must_be_one(done, f"delivery {delivery.id}")
        if refusals:
            self._note(db, delivery, "refused", f"{code} {text}".strip())
            refused(db, delivery.destination, code, self._clock.utc(), delivery.instance_id)
        elif row["error_code"] != code or _is_told(delivery.attempts):
            self._note(db, delivery, "deferred", f"{code} {text} try {delivery.attempts}")

    def _hold(self, db: sqlite3.Connection, delivery: Delivery, code: str, text: str) -> None:
        done = db.execute(
            "UPDATE delivery SET state = 'held', lease = '', error_code = ?, error_text = ?"
            + _MINE,
            (code, text, delivery.id, delivery.lease),
        )
        must_be_one(done, f"delivery {delivery.id}")
        self._note(db, delivery, "held", f"{code} {text}".strip())
        refused(db, delivery.destination, code, self._clock.utc(), delivery.instance_id)

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


def _is_told(attempts: int) -> bool:
    """Tell whether this try has its line: each of the first, then ever fewer.

    A line at each of them would be millions in an outage of two weeks.
    """
    return attempts <= TOLD_EACH or attempts & (attempts - 1) == 0


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
