"""ageing: time that can be trusted, and what is given up by it.

Takes      CLOCK_BOOTTIME, which never steps
Gives      seconds that this box has been running since its first day, over all boots
Holds      deliveries that waited for longer than `give_up_s`: a person decides; never deleted
Repeats    a crash forgets at most the seconds since the last tick

A wall clock that jumps a year neither expires nor freezes anything: it is not asked. Hours without
power do not count, since nobody could have tried. Waits of a few minutes do stand in wall time;
when the clock steps they are cut back to the longest.
"""

import sqlite3

from spool.clock import Clock
from spool.database import Database
from spool.rows import CHECK_WAIT_MOST_S, note

ROWS_MOST = 500
#: A clock that moves by more against the boot's has been set; slower, it is only being corrected.
STEP_S = 5.0


def trusted_s(db: sqlite3.Connection, clock: Clock) -> float:
    """Return the trusted seconds now."""
    row = db.execute("SELECT * FROM trusted_time WHERE id = 1").fetchone()
    if row is None:
        return 0.0
    since = clock.boottime() - row["boottime"] if row["boot_id"] == clock.boot_id else 0.0
    return float(row["seconds"] + max(0.0, since))


def tick(db: sqlite3.Connection, clock: Clock) -> float:
    """Write down the time that went by and return the trusted seconds."""
    now = trusted_s(db, clock)
    db.execute(
        "INSERT INTO trusted_time VALUES (1, ?, ?, ?) ON CONFLICT DO UPDATE SET"
        " boot_id = excluded.boot_id, boottime = excluded.boottime, seconds = excluded.seconds",
        (clock.boot_id, clock.boottime(), now),
    )
    return now


class Ageing:
    """What the stage `tend` calls."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._booted_at: float | None = None  #: by the wall clock, as it was when last seen

    def tick(self) -> float:
        """Write down the time that went by and return the trusted seconds."""
        return self._database.write(lambda db: tick(db, self._clock))

    def follow_clock(self, longest_s: float) -> bool:
        """Let nobody wait for longer than `longest_s` once the clock has stepped; tell whether."""
        booted_at = self._clock.utc() - self._clock.boottime()
        known, self._booted_at = self._booted_at, booted_at
        if known is not None and abs(booted_at - known) < STEP_S:
            return False
        self._database.write(lambda db: self._cut_waits(db, longest_s))
        return True

    def give_up(self, give_up_s: float) -> int:
        """Hold what waited for longer than `give_up_s`; return how many, at most `ROWS_MOST`."""
        return self._database.write(lambda db: self._give_up(db, give_up_s))

    def _cut_waits(self, db: sqlite3.Connection, longest_s: float) -> None:
        now = self._clock.utc()
        for table, column, state, most_s in (
            ("instance", "not_before", "state = 'received'", longest_s),
            ("delivery", "not_before", "state = 'queued'", longest_s),
            ("delivery", "check_at", "state = 'sent' AND settled_at = 0", CHECK_WAIT_MOST_S),
        ):
            db.execute(
                f"UPDATE {table} SET {column} = :most WHERE {state} AND {column} > :most",
                {"most": now + most_s},
            )

    def _give_up(self, db: sqlite3.Connection, give_up_s: float) -> int:
        before = trusted_s(db, self._clock) - give_up_s
        if before <= 0:
            return 0
        rows = db.execute(
            "UPDATE delivery SET state = 'held', lease = '', error_code = 'gave-up' WHERE id IN"
            " (SELECT id FROM delivery WHERE state = 'queued' AND waits_since < ? LIMIT ?)"
            " RETURNING id, instance_id",
            (before, ROWS_MOST),
        ).fetchall()
        for row in rows:
            note(
                db,
                self._clock.utc(),
                "tend",
                "held",
                "gave-up",
                instance_id=row["instance_id"],
                delivery_id=row["id"],
            )
        return len(rows)
