"""deciding: what a person may do with an item of the queue; the history keeps each decision."""

import sqlite3

from spool.clock import Clock
from spool.database import Database
from spool.rows import note


class WrongState(Exception):
    """The item is not in a state that allows this; `args` are the item's id and its state."""


class Deciding:
    """Hold, release and retry; `who` signs in the history."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def hold(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Keep the instance, or its delivery to one destination, from going anywhere.

        Raises
        ------
        WrongState
            Nothing of it waits: it was sent, or is held already.
        """
        self._database.write(lambda db: self._hold(db, instance_id, who, destination))

    def release(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Let what is held go on as it is: the reason for which prepare held it is set aside.

        Raises
        ------
        WrongState
            Nothing of it is held.
        """
        self._database.write(lambda db: self._again(db, instance_id, who, destination, waive=True))

    def retry(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Try again now what waits or is held; prepare looks at it as if it had just come.

        Raises
        ------
        WrongState
            Nothing of it waits or is held.
        """
        self._database.write(lambda db: self._again(db, instance_id, who, destination, waive=False))

    def _hold(self, db: sqlite3.Connection, instance_id: int, who: str, destination: str) -> None:
        touched = db.execute(
            "UPDATE delivery SET state = 'held', lease = '', error_code = 'operator',"
            " error_text = ''"
            " WHERE instance_id = ? AND state = 'queued' AND ? IN ('', destination)",
            (instance_id, destination),
        ).rowcount
        if not destination:
            touched += db.execute(
                "UPDATE instance SET state = 'held', reason = 'operator', detail = '', lease = ''"
                " WHERE id = ? AND state = 'received'",
                (instance_id,),
            ).rowcount
        self._finish(db, instance_id, who, "hold", destination, touched)

    def _again(
        self, db: sqlite3.Connection, instance_id: int, who: str, destination: str, *, waive: bool
    ) -> None:
        states = "('held')" if waive else "('held', 'queued')"
        touched = db.execute(
            "UPDATE delivery SET state = 'queued', not_before = 0, attempts = 0, refusals = 0,"
            f" error_code = '', error_text = '' WHERE instance_id = ? AND state IN {states}"
            " AND lease = '' AND ? IN ('', destination)",
            (instance_id, destination),
        ).rowcount
        if not destination:
            touched += self._examine_again(db, instance_id, waive=waive)
        what = "release" if waive else "retry"
        self._finish(db, instance_id, who, what, destination, touched)

    def _examine_again(self, db: sqlite3.Connection, instance_id: int, *, waive: bool) -> int:
        waived = "trim(waived || ' ' || reason)" if waive else "waived"
        return db.execute(
            f"UPDATE instance SET state = 'received', waived = {waived}, reason = '', detail = '',"
            " not_before = 0, attempts = 0 WHERE id = ? AND state IN ('held', 'received')"
            " AND lease = ''",
            (instance_id,),
        ).rowcount

    def _finish(
        self,
        db: sqlite3.Connection,
        instance_id: int,
        who: str,
        what: str,
        destination: str,
        touched: int,
    ) -> None:
        if not touched:
            row = db.execute("SELECT state FROM instance WHERE id = ?", (instance_id,)).fetchone()
            raise WrongState(instance_id, row["state"] if row else "")
        note(db, self._clock.utc(), who, what, destination, instance_id=instance_id)
