"""backlog: what many deliveries of one destination become, in short transactions.

Takes      candidates in the order of their ids; each is looked at anew inside its transaction
Gives      deliveries opened, moved or cancelled; how many were met
Holds      what a person holds, or cancelled where it is to go now, is opened held
Repeats    what was done already is no candidate any more: nothing is doubled. What a person decides
           stands beside the blobs before the rows change, since it must outlive the database
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from spool.ageing import ROWS_MOST, trusted_s
from spool.clock import Clock
from spool.database import Database
from spool.decisions import Decided, Decisions
from spool.model import OPERATOR, UNREADABLE, DeliveryState
from spool.retiring import settle
from spool.rounds import going_rendition, is_live, is_ready, open_round
from spool.rows import note

TRANSACTION_S = 0.02
#: The codes of what was cancelled together with all the others.
MOVED, FORGOTTEN, STAYS = "moved", "forgotten", "stays-there"
IN_BULK = (MOVED, FORGOTTEN, STAYS)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance, and the delivery of it that is met; 0 where it is about the instance."""

    id: int  #: that the candidates are ordered by
    instance_id: int
    delivery_id: int = 0
    state: str = ""
    error_code: str = ""
    decided: str = ""  #: what a person had decided about its new destination

    @property
    def held_as(self) -> str:
        """Return the code with which it is held at its new destination too; "": it is not."""
        if self.state == DeliveryState.HELD and self.error_code in (OPERATOR, UNREADABLE):
            return self.error_code
        return OPERATOR if self.decided in ("hold", "cancel", UNREADABLE) else ""


_LAST_THERE = (
    "SELECT state, error_code FROM delivery WHERE instance_id = ? AND destination = ?"
    " ORDER BY round DESC LIMIT 1"
)

Find = Callable[[int], Sequence[Candidate]]
Act = Callable[[sqlite3.Connection, Candidate], bool]
Meets = Callable[[Candidate], bool]
Say = Callable[[Candidate], Sequence[Decided]]


class Backlog:
    """Does one thing with many candidates."""

    def __init__(self, database: Database, decisions: Decisions, clock: Clock) -> None:
        self._database, self._decisions, self._clock = database, decisions, clock

    def each(
        self, find: Find, say: Say, act: Act, *, meets: Meets = bool, dry_run: bool = False
    ) -> int:
        """Give every candidate to `act`, what `say` says of it written before; return how many.

        Parameters
        ----------
        find
            Gives the next candidates above an id, at most `ROWS_MOST`.
        meets
            Tells which of them are met.
        """
        met, after = 0, 0
        while page := find(after):
            after = page[-1].id
            found = [one for one in page if meets(one)]
            if dry_run:
                met += len(found)
                continue
            self._decisions.write_all(
                (blob, decided)
                for one in found
                for decided in say(one)
                for blob in self.blobs_of(one.instance_id)
            )
            met += sum(self._acted(found, act))
        return met

    def with_decision(self, one: Candidate, destination: str) -> Candidate:
        """Return it with what a person decided about it there, or about the whole of it.

        That it was moved away from there as part of a backlog says nothing of this one.
        """
        row = self._database.read(_LAST_THERE, (one.instance_id, destination))
        if row and row[0]["state"] == "cancelled" and row[0]["error_code"] in IN_BULK:
            return one
        decided = self._decisions.in_force(*self.blobs_of(one.instance_id))
        return replace(one, decided=decided.get(destination, decided.get("", "")))

    def blobs_of(self, instance_id: int) -> list[str]:
        """Return the blobs that a rebuilt database may know the instance by."""
        rows = self._database.read(
            "SELECT blob FROM rendition WHERE instance_id = ? AND gone_at <= 0 ORDER BY id",
            (instance_id,),
        )
        return [row["blob"] for row in rows]

    def _acted(self, found: Sequence[Candidate], act: Act) -> Iterator[bool]:
        rest = found
        while rest:
            done = self._database.write(lambda db, rest=rest: _act(db, rest, act))  # type: ignore[misc]
            yield from done
            rest = rest[len(done) :]


def _act(db: sqlite3.Connection, rest: Sequence[Candidate], act: Act) -> list[bool]:
    """Act on as many as a transaction may, at least one."""
    end, rows_most = time.monotonic() + TRANSACTION_S, db.total_changes + ROWS_MOST
    done: list[bool] = []
    for one in rest:
        done.append(act(db, one))
        if db.total_changes >= rows_most or time.monotonic() >= end:
            break
    return done


class Turning:
    """What is done with one candidate; `who` signs in the history."""

    def __init__(self, clock: Clock, who: str) -> None:
        self._clock, self._who = clock, who

    def open_at(
        self, db: sqlite3.Connection, one: Candidate, to: str, what: str, *, stands_for: str = ""
    ) -> bool:
        """Open a delivery of the instance there; tell whether one is new."""
        rendition_id = going_rendition(db, one.instance_id, one.delivery_id)
        if not self._may_open(db, one, to, rendition_id):
            return False
        self._open(db, one, to, rendition_id, stands_for)
        self._note(db, one, what, to)
        return True

    def move_to(self, db: sqlite3.Connection, one: Candidate, to: str) -> bool:
        """End the delivery and open one there, unless it has one; tell whether it moved."""
        rendition_id = going_rendition(db, one.instance_id, one.delivery_id)
        opens = self._may_open(db, one, to, rendition_id)
        if not opens and not is_live(db, one.instance_id, to):
            return False
        if not self.end(db, one, MOVED, to):
            return False
        if opens:
            self._open(db, one, to, rendition_id)
        return True

    def end(self, db: sqlite3.Connection, one: Candidate, what: str, detail: str) -> bool:
        """Cancel what waits; of what was sent, ask no more. Tell whether it was still there."""
        if one.state == DeliveryState.SENT:
            done = db.execute(
                "UPDATE delivery SET settled_at = ?, lease = '', transaction_uid = ''"
                " WHERE id = ? AND state = 'sent' AND settled_at = 0",
                (max(trusted_s(db, self._clock), 1e-3), one.delivery_id),
            )
        else:
            done = db.execute(
                "UPDATE delivery SET state = 'cancelled', lease = '', error_code = ?,"
                " error_text = ? WHERE id = ? AND state IN ('queued', 'held')",
                (what, detail, one.delivery_id),
            )
        if done.rowcount:
            self._note(db, one, what, detail)
            settle(db, self._clock, one.instance_id)
        return bool(done.rowcount)

    def _may_open(self, db: sqlite3.Connection, one: Candidate, to: str, rendition_id: int) -> bool:
        is_wanted = bool(rendition_id) and is_ready(db, one.instance_id)
        return is_wanted and not is_live(db, one.instance_id, to)

    def _open(
        self,
        db: sqlite3.Connection,
        one: Candidate,
        to: str,
        rendition_id: int,
        stands_for: str = "",
    ) -> None:
        code = one.held_as
        state = DeliveryState.HELD if code else DeliveryState.QUEUED
        open_round(
            db,
            self._clock,
            one.instance_id,
            to,
            rendition_id,
            state,
            code,
            stands_for=stands_for,
        )

    def _note(self, db: sqlite3.Connection, one: Candidate, what: str, detail: str) -> None:
        note(
            db,
            self._clock.utc(),
            self._who,
            what,
            detail,
            instance_id=one.instance_id,
            delivery_id=one.delivery_id or None,
        )
