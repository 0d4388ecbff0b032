"""moving: what each decision of a person does to the rows.

Each move takes (db, instance id, destination, "" for the whole instance) and returns how many rows
it moved; 0: nothing of it is in a state that allows it, and nothing was changed.
"""

import sqlite3
from collections.abc import Callable

from spool.ageing import trusted_s
from spool.clock import Clock
from spool.model import OPERATOR
from spool.retiring import settle
from spool.rounds import best_rendition

Move = Callable[[sqlite3.Connection, int, str], int]


class Moves:
    """The moves by the names of their decisions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.named: dict[str, Move] = {
            "hold": hold,
            "release": self.release,
            "retry": self.retry,
            "cancel": self.cancel,
            "withdraw": self.withdraw,
            "restore": restore,
            "resend": self.resend,
        }

    def cancel(self, db: sqlite3.Connection, instance_id: int, destination: str) -> int:
        touched = db.execute(
            "UPDATE delivery SET state = 'cancelled', lease = '' WHERE instance_id = ?"
            " AND state IN ('queued', 'held') AND ? IN ('', destination)",
            (instance_id, destination),
        ).rowcount
        if touched:
            settle(db, self._clock, instance_id)
        return touched

    def withdraw(self, db: sqlite3.Connection, instance_id: int, _: str) -> int:
        touched = db.execute(
            "UPDATE instance SET state = 'withdrawn', lease = '', withdrawn_at = ?"
            " WHERE id = ? AND state IN ('received', 'ready', 'held')",
            (max(trusted_s(db, self._clock), 1e-3), instance_id),
        ).rowcount
        if touched:
            self.cancel(db, instance_id, "")
        return touched

    def resend(self, db: sqlite3.Connection, instance_id: int, destination: str) -> int:
        touched = db.execute(
            "INSERT INTO delivery (instance_id, destination, round, rendition_id, priority, door,"
            " waits_since) SELECT d.instance_id, d.destination, d.round + 1,"
            " iif(r.gone_at = 0, r.id, :best), d.priority, d.door, :since"
            " FROM delivery d JOIN rendition r ON r.id = d.rendition_id"
            " JOIN instance i ON i.id = d.instance_id"
            " WHERE d.instance_id = :id AND :to IN ('', d.destination) AND i.state = 'ready'"
            f" AND (r.gone_at = 0 OR (:best AND r.role IN {_EQUAL}))"
            " AND d.state IN ('sent', 'confirmed', 'cancelled', 'superseded')"
            " AND d.round = (SELECT max(round) FROM delivery l WHERE l.instance_id = d.instance_id"
            " AND l.destination = d.destination) ORDER BY d.destination",
            {
                "id": instance_id,
                "to": destination,
                "best": best_rendition(db, instance_id),
                "since": trusted_s(db, self._clock),
            },
        ).rowcount
        if touched:
            db.execute("UPDATE instance SET settled_at = 0 WHERE id = ?", (instance_id,))
        return touched

    def release(self, db: sqlite3.Connection, instance_id: int, destination: str) -> int:
        """Let go what is held; where nothing is, take for enough what was sent and is stuck."""
        touched = self._again(db, instance_id, destination, "('held')", waive=True)
        return touched or self._accept(db, instance_id, destination)

    def _accept(self, db: sqlite3.Connection, instance_id: int, destination: str) -> int:
        """Ask no more about what was sent: by name, or what there is a reason for to be asked on.

        Who releases the whole instance says nothing of what is just on its way to be confirmed.
        """
        touched = db.execute(
            "UPDATE delivery SET settled_at = ?, lease = '', transaction_uid = '',"
            " error_text = iif(error_code = '', error_text, ''), error_code = ''"
            " WHERE instance_id = ? AND state = 'sent' AND settled_at = 0"
            " AND (destination = ? OR (? = '' AND error_code <> ''))",
            (max(trusted_s(db, self._clock), 1e-3), instance_id, destination, destination),
        ).rowcount
        if touched:
            settle(db, self._clock, instance_id)
        return touched

    def retry(self, db: sqlite3.Connection, instance_id: int, destination: str) -> int:
        return self._again(db, instance_id, destination, "('held', 'queued')", waive=False)

    def _again(
        self,
        db: sqlite3.Connection,
        instance_id: int,
        destination: str,
        states: str,
        *,
        waive: bool,
    ) -> int:
        """Queue what is in `states`; its waiting begins anew, or it would be given up at once.

        What was held because its own file is damaged goes as it was received: nothing was sent yet.
        """
        db.execute(_AS_RECEIVED, (instance_id, destination))
        touched = db.execute(
            "UPDATE delivery SET state = 'queued', not_before = 0, attempts = 0, refusals = 0,"
            " away = 0, error_code = '', error_text = '', waits_since = ?"
            f" WHERE instance_id = ? AND state IN {states} AND lease = ''"
            " AND ? IN ('', destination)",
            (trusted_s(db, self._clock), instance_id, destination),
        ).rowcount
        return touched if destination else touched + _examine_again(db, instance_id, waive=waive)


#: Renditions in whose place another that says the same may go, once their own file is gone.
_EQUAL = "('received', 'compressed', 'fallback', 'htj2k')"
#: The received bytes in place of a damaged rendition of them, if their file is there.
_AS_RECEIVED = (
    "UPDATE delivery SET rendition_id = r.id FROM rendition r WHERE delivery.instance_id = ?1"
    " AND ?2 IN ('', delivery.destination) AND delivery.state = 'held'"
    " AND delivery.error_code = 'damaged' AND r.instance_id = delivery.instance_id"
    " AND r.role = 'received' AND r.gone_at = 0"
)


def hold(db: sqlite3.Connection, instance_id: int, destination: str, code: str = OPERATOR) -> int:
    touched = db.execute(
        "UPDATE delivery SET state = 'held', lease = '', error_code = ?, error_text = ''"
        " WHERE instance_id = ? AND state = 'queued' AND ? IN ('', destination)",
        (code, instance_id, destination),
    ).rowcount
    return touched if destination else touched + hold_instance(db, instance_id, code)


def hold_instance(db: sqlite3.Connection, instance_id: int, code: str = OPERATOR) -> int:
    return db.execute(
        "UPDATE instance SET state = 'held', reason = ?, detail = '', lease = ''"
        " WHERE id = ? AND state = 'received'",
        (code, instance_id),
    ).rowcount


def _examine_again(db: sqlite3.Connection, instance_id: int, *, waive: bool) -> int:
    waived = "trim(waived || ' ' || reason)" if waive else "waived"
    return db.execute(
        f"UPDATE instance SET state = 'received', waived = {waived}, reason = '', detail = '',"
        " not_before = 0, attempts = 0 WHERE id = ? AND state IN ('held', 'received')"
        " AND lease = ''",
        (instance_id,),
    ).rowcount


def restore(db: sqlite3.Connection, instance_id: int, _: str) -> int:
    return db.execute(
        "UPDATE instance SET state = 'received', reason = '', detail = '', withdrawn_at = 0,"
        " attempts = 0, settled_at = 0 WHERE id = ? AND state = 'withdrawn' AND EXISTS"
        " (SELECT 1 FROM rendition WHERE instance_id = instance.id AND gone_at = 0)",
        (instance_id,),
    ).rowcount
