"""operating: what a person, or failover, decides about a destination as a whole.

Takes      the destination's name, and who decides
Gives      a pause; deliveries opened, moved or cancelled, in short transactions (`backlog`)
Holds      at its new destination: what a person holds, or did not want there
Repeats    what was done already is not done twice: no delivery is doubled

What is moved or cancelled is also said beside the blobs, before the rows: a rebuilt database sends
it where it was to go, and not to the old place.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

from spool.ageing import ROWS_MOST
from spool.backlog import FORGOTTEN, Backlog, Candidate, Turning
from spool.blobs import Blobs
from spool.clock import Clock
from spool.counting import Filter, where_clause
from spool.database import Database
from spool.decisions import Decided, Decisions
from spool.failover import Failover
from spool.pausing import Pausing
from spool.refusals import refusals
from spool.rounds import IS_LESS, IS_LIVE
from spool.rows import note

CANCEL, MOVE = "cancel", "move:"

#: What was taken, is here, and was never meant for this destination. What a person holds, and what
#: is wanted nowhere, is not offered; what only a forgotten destination was to get, is.
_OFFERED = (
    "SELECT i.id, i.id FROM instance i WHERE i.state = 'ready' AND i.received_at >= :since"
    f" AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.instance_id = i.id AND"
    f" ((d.destination = :to AND NOT {IS_LESS})"
    " OR (d.state = 'held' AND d.error_code IN ('operator', 'decision-unreadable'))))"
    " AND (EXISTS (SELECT 1 FROM delivery d WHERE d.instance_id = i.id AND (d.state <> 'cancelled'"
    f" OR d.error_code = '{FORGOTTEN}'))"
    " OR NOT EXISTS (SELECT 1 FROM delivery d WHERE d.instance_id = i.id))"
)
_LIVE_THERE = (
    f"SELECT 1 FROM delivery d WHERE d.instance_id = :id AND d.destination = :to AND {IS_LIVE}"
)
_MAY_GO = (
    "SELECT 1 FROM instance i WHERE i.id = :id AND i.state = 'ready'"
    f" AND NOT EXISTS ({_LIVE_THERE}) AND EXISTS (SELECT 1 FROM rendition r"
    " WHERE r.instance_id = i.id AND r.gone_at = 0 AND r.proved = 1 AND r.role <> 'lossy')"
)
_BACKLOG = (
    "SELECT d.id, d.instance_id, d.id AS delivery_id, d.state, d.error_code FROM delivery d"
    " JOIN instance i ON i.id = d.instance_id WHERE d.destination = :from"
    " AND i.state <> 'withdrawn' AND (d.state IN ('queued', 'held')"
    " OR (:all AND d.state = 'sent' AND d.settled_at = 0))"
    " AND d.id > :after ORDER BY d.id LIMIT :most"
)
#: Its own, and those of each way to ask it: `query@NAME` and so on.
_FORGET_BREAKERS = (
    "DELETE FROM destination WHERE name = :name OR substr(name, -length(:name) - 1) = '@' || :name"
)


class Operating:
    """What the `destination` verbs call; `who` signs in the history."""

    def __init__(
        self, database: Database, blobs: Blobs, decisions: Decisions, clock: Clock
    ) -> None:
        self._database, self._clock = database, clock
        self._backlog = Backlog(database, decisions, clock)
        pausing = Pausing(database, blobs, clock)
        failover = Failover(database, self._backlog, clock)
        self.pause, self.resume, self.is_paused = pausing.pause, pausing.resume, pausing.is_paused
        self.stand_in, self.stand_down = failover.stand_in, failover.stand_down
        self.stands_in = failover.stands_in

    def refusals(self, destination: str) -> list[tuple[str, int, float, int]]:
        """Return (code, count, UTC seconds of the last, an instance's id), most frequent first."""
        return refusals(self._database, destination)

    def offer(
        self, destination: str, wanted: Filter, since: float, who: str, *, dry_run: bool = False
    ) -> int:
        """Send what is still here, matches, and came after `since` (UTC seconds), there as well.

        Each instance that has no delivery there gets one, with its best proved rendition. Returns
        how many.
        """
        turning, at = Turning(self._clock, who), self._clock.utc()
        return self._backlog.each(
            lambda after: self._offered(destination, wanted, since, after),
            lambda one: (Decided("resend", who, at, destination),),
            lambda db, one: turning.open_at(db, one, destination, "offered"),
            meets=lambda one: not one.held_as and self._may_go(one.instance_id, destination),
            dry_run=dry_run,
        )

    def offer_these(
        self, instance_ids: Iterable[int], destination: str, who: str, *, dry_run: bool = False
    ) -> list[int]:
        """Send these there as well, also where a person had cancelled them; return which.

        What is withdrawn, not decided yet, or without files is left out, and what is live there.
        """
        rest = [Candidate(number, number) for number in sorted(set(instance_ids))]
        turning, at, done = Turning(self._clock, who), self._clock.utc(), set[int]()

        def opened(db: sqlite3.Connection, one: Candidate) -> bool:
            is_new = turning.open_at(db, one, destination, "offered")
            done.update([one.instance_id] * is_new)
            return is_new

        def met(one: Candidate) -> bool:
            may_go = self._may_go(one.instance_id, destination)
            done.update([one.instance_id] * (may_go and dry_run))
            return may_go

        self._backlog.each(
            lambda after: [one for one in rest if one.id > after][:ROWS_MOST],
            lambda one: (Decided("resend", who, at, destination),),
            opened,
            meets=met,
            dry_run=dry_run,
        )
        return sorted(done)

    def move_backlog(self, source: str, to: str, who: str, *, dry_run: bool = False) -> int:
        """Send what waits for `source`, queued or held, to `to` instead; return how many."""
        return self._move(source, to, who, whole=False, dry_run=dry_run)

    def forget_destination(
        self, name: str, what_becomes: str, who: str, *, dry_run: bool = False
    ) -> int:
        """Say what becomes of what waits for a destination that is gone; return of how many.

        Parameters
        ----------
        what_becomes
            "cancel": it goes nowhere; what was sent counts as safe there. "move:NAME": it goes to
            NAME, and so does what was sent and never confirmed.
        """
        if what_becomes.startswith(MOVE):
            to = what_becomes.removeprefix(MOVE)
            met = self._move(name, to, who, whole=True, dry_run=dry_run)
        elif what_becomes == CANCEL:
            met = self._cancel(name, who, dry_run=dry_run)
        else:
            raise ValueError(what_becomes)
        if not dry_run:
            self.resume(name, who)
            self._database.write(lambda db: self._forget(db, name, what_becomes, who))
        return met

    def _move(self, source: str, to: str, who: str, *, whole: bool, dry_run: bool) -> int:
        if source == to:
            raise ValueError(f"{source} to itself")
        turning, at = Turning(self._clock, who), self._clock.utc()

        def say(one: Candidate) -> Sequence[Decided]:
            moved = [Decided("cancel", who, at, source)]
            if self._goes(one.instance_id, to):  # nothing is said of what goes there already
                return moved
            moved.append(Decided("resend", who, at, to))
            return moved + [Decided("hold", who, at, to)] * bool(one.held_as)

        return self._backlog.each(
            lambda after: [
                self._backlog.with_decision(one, to)
                for one in self._waiting(source, after, whole=whole)
            ],
            say,
            lambda db, one: turning.move_to(db, one, to),
            meets=lambda one: self._may_move(one.instance_id, to),
            dry_run=dry_run,
        )

    def _cancel(self, name: str, who: str, *, dry_run: bool) -> int:
        turning, at = Turning(self._clock, who), self._clock.utc()
        return self._backlog.each(
            lambda after: self._waiting(name, after, whole=True),
            lambda one: (Decided("cancel", who, at, name),),
            lambda db, one: turning.end(db, one, FORGOTTEN, name),
            dry_run=dry_run,
        )

    def _forget(self, db: sqlite3.Connection, name: str, what_becomes: str, who: str) -> None:
        """Know nothing more of it as a whole; what it got stays known."""
        for table in ("stand_in", "refusal"):
            db.execute(f"DELETE FROM {table} WHERE destination = ?", (name,))
        db.execute(_FORGET_BREAKERS, {"name": name})
        note(db, self._clock.utc(), who, "forget", f"{name} {what_becomes}")

    def _offered(self, to: str, wanted: Filter, since: float, after: int) -> Sequence[Candidate]:
        page = replace(wanted, after_id=after)
        query = f"{_OFFERED} AND {where_clause(page)} ORDER BY i.id LIMIT :rows"
        values = asdict(page) | {"since": since, "to": to, "rows": ROWS_MOST}
        found = [Candidate(*row) for row in self._database.read(query, values)]
        return [self._backlog.with_decision(one, to) for one in found]

    def _waiting(self, source: str, after: int, *, whole: bool) -> Sequence[Candidate]:
        values = {"from": source, "after": after, "all": whole, "most": ROWS_MOST}
        return [Candidate(*row) for row in self._database.read(_BACKLOG, values)]

    def _may_go(self, instance_id: int, to: str) -> bool:
        """Tell whether it is here, decided about, and does not go there already."""
        return bool(self._database.read(_MAY_GO, {"id": instance_id, "to": to}))

    def _may_move(self, instance_id: int, to: str) -> bool:
        """Tell whether it goes there, or may: what is lost here stays where it is held."""
        return self._goes(instance_id, to) or self._may_go(instance_id, to)

    def _goes(self, instance_id: int, to: str) -> bool:
        return bool(self._database.read(_LIVE_THERE, {"id": instance_id, "to": to}))
