"""deciding: what a person may do with an item of the queue; the history keeps each decision.

A decision that must outlive the database stands beside the blob before the row changes.
"""

import contextlib
import sqlite3
from collections.abc import Callable

from spool.ageing import trusted_s
from spool.clock import Clock
from spool.database import Database
from spool.decisions import Decided, Decisions
from spool.retiring import settle
from spool.rows import note


class WrongState(Exception):
    """The item is not in a state that allows this; `args` are the item's id and its state."""


class _Undone(Exception):
    """A move was only tried."""


#: A row's part of a decision: (db, instance id, destination) -> how many rows it moved.
_Move = Callable[[sqlite3.Connection, int, str], int]


class Deciding:
    """The verbs of a person; `who` signs in the history.

    Each raises `WrongState` when nothing of the item is in a state that allows it. An empty
    `destination` means the whole instance.
    """

    def __init__(self, database: Database, decisions: Decisions, clock: Clock) -> None:
        self._database, self._decisions, self._clock = database, decisions, clock

    def hold(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Keep the instance, or its delivery to one destination, from going anywhere."""
        self._decide("hold", _hold, instance_id, who, destination)

    def release(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Let what is held go on as it is: the reason for which prepare held it is set aside."""
        self._decide("release", _release, instance_id, who, destination)

    def retry(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Try again now what waits or is held; prepare looks at it as if it had just come."""
        self._decide("retry", _retry, instance_id, who, destination)

    def cancel(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Do not send to this destination, or to none, what was not sent yet."""
        self._decide("cancel", self._cancel, instance_id, who, destination)

    def withdraw(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Take the whole instance back: into the trash, and nowhere else any more."""
        self._decide("withdraw", self._withdraw, instance_id, who, "")

    def restore(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Bring a withdrawn instance back out of the trash; it is prepared anew."""
        self._decide("restore", _restore, instance_id, who, "")

    def resend(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Send again what was sent, in a new round with the same rendition."""
        self._decide("resend", self._resend, instance_id, who, destination)

    def come_into_force(self, instance_id: int, blob: str) -> list[str]:
        """Apply what stands beside the blob and not in the rows; return what that was."""
        applied = []
        moves: dict[str, _Move] = {
            "hold": _hold,
            "cancel": self._cancel,
            "withdraw": self._withdraw,
        }
        for destination, what in self._decisions.in_force(blob).items():
            if move := moves.get(what):
                touched = self._database.write(
                    lambda db, move=move, to=destination: move(db, instance_id, to)  # type: ignore[misc]
                )
                applied += [what] if touched else []
        return applied

    def _decide(self, what: str, move: _Move, instance_id: int, who: str, destination: str) -> None:
        decided = Decided(what, who, self._clock.utc(), destination)
        self._must_be_possible(move, instance_id, decided)
        for blob in self._blobs_of(instance_id):
            self._decisions.write(blob, decided)
        self._database.write(lambda db: self._move(db, move, instance_id, decided))

    def _must_be_possible(self, move: _Move, instance_id: int, decided: Decided) -> None:
        """Try the move and undo it: what is refused must not stand beside the blob."""

        def work(db: sqlite3.Connection) -> None:
            self._move(db, move, instance_id, decided)
            raise _Undone

        with contextlib.suppress(_Undone):
            self._database.write(work)

    def _blobs_of(self, instance_id: int) -> list[str]:
        """Return the blob that a rebuilt database would know the instance by."""
        rows = self._database.read(
            "SELECT blob FROM rendition WHERE instance_id = ? AND gone_at = 0 ORDER BY id LIMIT 1",
            (instance_id,),
        )
        return [row["blob"] for row in rows]

    def _move(
        self, db: sqlite3.Connection, move: _Move, instance_id: int, decided: Decided
    ) -> None:
        if not move(db, instance_id, decided.destination):
            row = db.execute("SELECT state FROM instance WHERE id = ?", (instance_id,)).fetchone()
            raise WrongState(instance_id, row["state"] if row else "")
        note(
            db, decided.at, decided.who, decided.what, decided.destination, instance_id=instance_id
        )

    def _cancel(self, db: sqlite3.Connection, instance_id: int, destination: str) -> int:
        touched = db.execute(
            "UPDATE delivery SET state = 'cancelled', lease = '' WHERE instance_id = ?"
            " AND state IN ('queued', 'held') AND ? IN ('', destination)",
            (instance_id, destination),
        ).rowcount
        settle(db, self._clock, instance_id)
        return touched

    def _withdraw(self, db: sqlite3.Connection, instance_id: int, _: str) -> int:
        touched = db.execute(
            "UPDATE instance SET state = 'withdrawn', lease = '', withdrawn_at = ?"
            " WHERE id = ? AND state IN ('received', 'ready', 'held')",
            (max(trusted_s(db, self._clock), 1e-3), instance_id),
        ).rowcount
        if touched:
            self._cancel(db, instance_id, "")
        return touched

    def _resend(self, db: sqlite3.Connection, instance_id: int, destination: str) -> int:
        touched = db.execute(
            "INSERT INTO delivery (instance_id, destination, round, rendition_id, priority, door,"
            " waits_since) SELECT d.instance_id, d.destination, d.round + 1, d.rendition_id,"
            " d.priority, d.door, ? FROM delivery d JOIN rendition r ON r.id = d.rendition_id"
            " JOIN instance i ON i.id = d.instance_id"
            " WHERE d.instance_id = ? AND ? IN ('', d.destination) AND i.state = 'ready'"
            " AND r.gone_at = 0 AND d.state IN ('sent', 'confirmed', 'cancelled')"
            " AND d.round = (SELECT max(round) FROM delivery l WHERE l.instance_id = d.instance_id"
            " AND l.destination = d.destination)",
            (trusted_s(db, self._clock), instance_id, destination),
        ).rowcount
        if touched:
            db.execute("UPDATE instance SET settled_at = 0 WHERE id = ?", (instance_id,))
        return touched


def _hold(db: sqlite3.Connection, instance_id: int, destination: str) -> int:
    touched = db.execute(
        "UPDATE delivery SET state = 'held', lease = '', error_code = 'operator', error_text = ''"
        " WHERE instance_id = ? AND state = 'queued' AND ? IN ('', destination)",
        (instance_id, destination),
    ).rowcount
    if not destination:
        touched += db.execute(
            "UPDATE instance SET state = 'held', reason = 'operator', detail = '', lease = ''"
            " WHERE id = ? AND state = 'received'",
            (instance_id,),
        ).rowcount
    return touched


def _release(db: sqlite3.Connection, instance_id: int, destination: str) -> int:
    return _again(db, instance_id, destination, states="('held')", waive=True)


def _retry(db: sqlite3.Connection, instance_id: int, destination: str) -> int:
    return _again(db, instance_id, destination, states="('held', 'queued')", waive=False)


def _again(
    db: sqlite3.Connection, instance_id: int, destination: str, *, states: str, waive: bool
) -> int:
    touched = db.execute(
        "UPDATE delivery SET state = 'queued', not_before = 0, attempts = 0, refusals = 0,"
        f" away = 0, error_code = '', error_text = '' WHERE instance_id = ? AND state IN {states}"
        " AND lease = '' AND ? IN ('', destination)",
        (instance_id, destination),
    ).rowcount
    return touched if destination else touched + _examine_again(db, instance_id, waive=waive)


def _examine_again(db: sqlite3.Connection, instance_id: int, *, waive: bool) -> int:
    waived = "trim(waived || ' ' || reason)" if waive else "waived"
    return db.execute(
        f"UPDATE instance SET state = 'received', waived = {waived}, reason = '', detail = '',"
        " not_before = 0, attempts = 0 WHERE id = ? AND state IN ('held', 'received')"
        " AND lease = ''",
        (instance_id,),
    ).rowcount


def _restore(db: sqlite3.Connection, instance_id: int, _: str) -> int:
    return db.execute(
        "UPDATE instance SET state = 'received', reason = '', detail = '', withdrawn_at = 0,"
        " attempts = 0 WHERE id = ? AND state = 'withdrawn' AND EXISTS (SELECT 1 FROM rendition"
        " WHERE instance_id = instance.id AND gone_at = 0)",
        (instance_id,),
    ).rowcount
