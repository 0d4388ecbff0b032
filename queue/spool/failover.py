"""failover: while a destination is away, another gets what waits for it.

Takes      what is queued for the first, each look anew
Gives      deliveries at the fallback; when the first is back, by rule: "send-too" leaves it all,
           "keep-there" cancels at the first what the fallback has firmly
Holds      nothing
Repeats    what the fallback was given already, or was not to get, it is not given again

Nothing leaves the queue of the first before the fallback has it: confirmed, or sent where nothing
firmer is asked of it.
"""

import sqlite3
from collections.abc import Sequence

from spool.ageing import ROWS_MOST
from spool.backlog import STAYS, Backlog, Candidate, Turning
from spool.clock import Clock
from spool.database import Database
from spool.decisions import Decided
from spool.rounds import IS_LESS
from spool.rows import note

WHO = "failover"
KEEP_THERE, SEND_TOO = "keep-there", "send-too"

#: What lost something, and is at the fallback by its own route, stands for nothing.
IS_LESS_THERE = IS_LESS.replace("d.", "f.")
_WAITS = (
    "SELECT d.id, d.instance_id, d.id AS delivery_id, d.state, d.error_code FROM delivery d"
    " JOIN instance i ON i.id = d.instance_id WHERE d.destination = :from AND d.state = 'queued'"
    " AND i.state = 'ready' AND d.id > :after AND NOT EXISTS (SELECT 1 FROM delivery f"
    f" WHERE f.instance_id = d.instance_id AND f.destination = :to AND NOT {IS_LESS_THERE})"
    " ORDER BY d.id LIMIT :most"
)
#: What was opened at the fallback after it had waited here: what a person sends again, goes.
_IS_THERE = (
    "SELECT d.id, d.instance_id, d.id AS delivery_id, d.state, d.error_code FROM delivery d"
    " WHERE d.destination = :from AND d.state = 'queued' AND d.id > :after AND EXISTS"
    " (SELECT 1 FROM delivery f WHERE f.instance_id = d.instance_id AND f.destination = :to"
    " AND f.stands_for = :from AND f.id > d.id"
    " AND (f.state = 'confirmed' OR (f.state = 'sent' AND f.settled_at > 0)))"
    " ORDER BY d.id LIMIT :most"
)


class Failover:
    """What the stage `forward` calls for a destination that has a fallback."""

    def __init__(self, database: Database, backlog: Backlog, clock: Clock) -> None:
        self._database, self._backlog, self._clock = database, backlog, clock
        self._turning = Turning(clock, WHO)

    def stands_in(self, destination: str) -> str:
        """Return the fallback that stands in for the destination now, "" for none."""
        query = "SELECT fallback FROM stand_in WHERE destination = ?"
        rows = self._database.read(query, (destination,))
        return str(rows[0]["fallback"]) if rows else ""

    def stand_in(self, away: str, to: str) -> int:
        """Send what waits for `away` to `to` as well; return how many deliveries are new."""
        if self.stands_in(away) != to:
            self._database.write(lambda db: self._begin(db, away, to))
        return self._backlog.each(
            lambda after: self._waiting(away, to, after),
            lambda one: (),
            lambda db, one: self._turning.open_at(db, one, to, "stands in", stands_for=away),
            meets=lambda one: not one.held_as,
        )

    def stand_down(self, back: str, to: str, rule: str) -> int:
        """End the failover by `rule`; return how many deliveries were cancelled at `back`."""
        self._database.write(lambda db: self._end(db, back))
        if rule != KEEP_THERE:
            return 0
        at = self._clock.utc()
        return self._backlog.each(
            lambda after: self._found(_IS_THERE, back, to, after),
            lambda one: (Decided("cancel", WHO, at, back),),
            lambda db, one: self._turning.end(db, one, STAYS, to),
        )

    def _waiting(self, away: str, to: str, after: int) -> Sequence[Candidate]:
        found = self._found(_WAITS, away, to, after)
        return [self._backlog.with_decision(one, to) for one in found]

    def _found(self, query: str, source: str, to: str, after: int) -> Sequence[Candidate]:
        values = {"from": source, "to": to, "after": after, "most": ROWS_MOST}
        return [Candidate(*row) for row in self._database.read(query, values)]

    def _begin(self, db: sqlite3.Connection, away: str, to: str) -> None:
        now = self._clock.utc()
        db.execute(
            "INSERT INTO stand_in VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET"
            " fallback = excluded.fallback, since = excluded.since",
            (away, to, now),
        )
        note(db, now, WHO, "stand in", f"{to} for {away}")

    def _end(self, db: sqlite3.Connection, back: str) -> None:
        if db.execute("DELETE FROM stand_in WHERE destination = ?", (back,)).rowcount:
            note(db, self._clock.utc(), WHO, "stand down", back)
