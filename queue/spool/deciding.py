"""deciding: what a person may do with an item of the queue; the history keeps each decision.

A decision that must outlive the database stands beside the blob before the row changes.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spool.clock import Clock
from spool.database import Database
from spool.decisions import Decided, Decisions
from spool.model import OPERATOR, UNREADABLE
from spool.moving import Moves, hold, hold_instance
from spool.rounds import IS_LESS, best_rendition, is_live, is_ready, open_round
from spool.rows import note


class WrongState(Exception):
    """The item is not in a state that allows this; `args` are the item's id and its state."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a decision did with one item; `refused_in` is the state in which it could not."""

    instance_id: int
    refused_in: str | None = None


class _Undone(Exception):
    """The moves were only tried; `args[0]` are their outcomes."""


#: One transaction of a decision about many items: whatever of these is reached first.
ROWS_MOST, TRANSACTION_S = 500, 0.02

#: What keeps an item here, and the code that says so.
HOLDS = {"hold": OPERATOR, UNREADABLE: UNREADABLE}

#: These are about the instance, whatever destination is named.
WHOLE = ("withdraw", "restore")

_WAITING = (
    "SELECT '' AS destination FROM instance WHERE id = :id AND state = 'received'"
    " UNION SELECT destination FROM delivery WHERE instance_id = :id AND state = 'queued'"
)
#: What the destination got last, where that lost something.
_LESS_THERE = (
    "SELECT 1 FROM delivery d WHERE d.instance_id = :id AND d.destination = :to"
    " AND d.round = (SELECT max(round) FROM delivery WHERE instance_id = :id"
    f" AND destination = :to) AND {IS_LESS}"
)


class Deciding:
    """The verbs of a person; `who` signs in the history.

    Each raises `WrongState` when nothing of the item is in a state that allows it. An empty
    `destination` means the whole instance.
    """

    def __init__(self, database: Database, decisions: Decisions, clock: Clock) -> None:
        self._database, self._decisions, self._clock = database, decisions, clock
        self._moves = Moves(clock).named

    def hold(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Keep the instance, or its delivery to one destination, from going anywhere."""
        self._decide("hold", instance_id, who, destination)

    def release(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Let what is held go on as it is: the reason for which prepare held it is set aside.

        Where nothing is held, what was sent and cannot be confirmed is taken for enough.
        """
        self._decide("release", instance_id, who, destination)

    def retry(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Try again now what waits or is held; prepare looks at it as if it had just come."""
        self._decide("retry", instance_id, who, destination)

    def cancel(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Do not send to this destination, or to none, what was not sent yet."""
        self._decide("cancel", instance_id, who, destination)

    def withdraw(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Take the whole instance back: into the trash, and nowhere else any more."""
        self._decide("withdraw", instance_id, who, destination)

    def restore(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Bring a withdrawn instance back out of the trash; it is prepared anew."""
        self._decide("restore", instance_id, who, destination)

    def resend(self, instance_id: int, who: str, *, destination: str = "") -> None:
        """Send again what was sent, in a new round: the same rendition, or what is left of it."""
        self._decide("resend", instance_id, who, destination)

    def decide(
        self, what: str, targets: Sequence[tuple[int, str]], who: str, *, dry_run: bool = False
    ) -> Iterator[Outcome]:
        """Decide about many (instance id, destination), in short transactions; give each outcome.

        Parameters
        ----------
        what
            The name of one of the verbs above.
        dry_run
            Only find out what would be possible.
        """
        rest = list(targets)
        while rest:
            tried = self._try(what, rest, who)
            given, rest = rest[: len(tried)], rest[len(tried) :]
            possible = [
                target
                for target, outcome in zip(given, tried, strict=True)
                if outcome.refused_in is None
            ]
            yield from (outcome for outcome in tried if dry_run or outcome.refused_in is not None)
            if possible and not dry_run:
                yield from self._put_down(what, possible, who)

    def come_into_force(self, instance_id: int) -> list[str]:
        """Apply what stands beside its blobs and not in the rows; return what that was.

        The last word about a destination counts there, whatever was said of the whole before. A
        line that is rotten holds the instance, until a person decides who was told of it.
        """
        blobs = self._blobs_of(instance_id)
        for blob in blobs:
            self._decisions.tell_rot(blob, self._clock.utc())
        decided, added = self._decisions.in_force(*blobs), self._decisions.added(*blobs)
        if not decided:
            return []
        return self._database.write(
            lambda db: self._come_into_force(db, instance_id, decided, added)
        )

    def _come_into_force(
        self, db: sqlite3.Connection, instance_id: int, decided: dict[str, str], added: set[str]
    ) -> list[str]:
        whole = decided.get("", "")
        applied = []
        if whole == "withdraw" and self._moves["withdraw"](db, instance_id, ""):
            applied.append("withdraw")
        if whole in HOLDS and hold_instance(db, instance_id, HOLDS[whole]):
            applied.append("hold")
        opened = [to for to in sorted(added) if self._send_there(db, instance_id, to)]
        applied += ["resend"] * len(opened)
        for destination in _open_destinations(db, instance_id):
            what = decided.get(destination, whole)
            if self._stops(db, instance_id, destination, what):
                applied.append("hold" if what in HOLDS else what)
        for what in applied:
            note(db, self._clock.utc(), "repair", what, instance_id=instance_id)
        return applied

    def _stops(self, db: sqlite3.Connection, instance_id: int, destination: str, what: str) -> bool:
        """Keep from going what a person does not want to go; tell whether anything was about to."""
        if what in HOLDS:
            return bool(hold(db, instance_id, destination, HOLDS[what]))
        return what == "cancel" and bool(self._moves[what](db, instance_id, destination))

    def _send_there(self, db: sqlite3.Connection, instance_id: int, destination: str) -> bool:
        """Open what a person opened after these rows were written."""
        if not is_ready(db, instance_id) or is_live(db, instance_id, destination):
            return False
        rendition_id = best_rendition(db, instance_id)
        if rendition_id:
            open_round(db, self._clock, instance_id, destination, rendition_id)
        return bool(rendition_id)

    def _decide(self, what: str, instance_id: int, who: str, destination: str) -> None:
        (outcome,) = self.decide(what, [(instance_id, destination)], who)
        if outcome.refused_in is not None:
            raise WrongState(instance_id, outcome.refused_in)

    def _try(self, what: str, targets: Sequence[tuple[int, str]], who: str) -> list[Outcome]:
        """Move and undo it: what is refused must not stand beside the blob."""

        def work(db: sqlite3.Connection) -> None:
            raise _Undone(self._move(db, what, targets, who))

        try:
            self._database.write(work)
        except _Undone as undone:
            outcomes: list[Outcome] = undone.args[0]
        return outcomes

    def _put_down(
        self, what: str, targets: Sequence[tuple[int, str]], who: str
    ) -> Iterator[Outcome]:
        at = self._clock.utc()
        self._decisions.write_all(
            (blob, Decided(self._word(what, instance_id, to), who, at, to))
            for instance_id, destination in targets
            for to in self._meant(what, instance_id, destination)
            for blob in self._blobs_of(instance_id)
        )
        rest = targets
        while rest:
            moved = self._moved(what, rest, who)
            yield from moved
            rest = rest[len(moved) :]

    def _meant(self, what: str, instance_id: int, destination: str) -> list[str]:
        """Return the destinations of which the decision speaks, "" for the whole.

        Who holds all holds what waits now, not what is sent again later.
        """
        if what in WHOLE:
            return [""]
        if what != "hold" or destination:
            return [destination]
        return [row["destination"] for row in self._database.read(_WAITING, {"id": instance_id})]

    def _word(self, what: str, instance_id: int, destination: str) -> str:
        """Return how the decision is remembered.

        A destination by name in a resend is where the image is to go, whole. Who sends again what
        lost something wants just that, and only lifts what was decided before.
        """
        key = {"id": instance_id, "to": destination}
        is_less = what == "resend" and destination and self._database.read(_LESS_THERE, key)
        return "release" if is_less else what

    def _moved(self, what: str, targets: Sequence[tuple[int, str]], who: str) -> list[Outcome]:
        return self._database.write(lambda db: self._move(db, what, targets, who))

    def _blobs_of(self, instance_id: int) -> list[str]:
        """Return the blobs that a rebuilt database may know the instance by.

        One that is missing may come back, and must find there what was decided meanwhile.
        """
        rows = self._database.read(
            "SELECT blob FROM rendition WHERE instance_id = ? AND gone_at <= 0 ORDER BY id",
            (instance_id,),
        )
        return [row["blob"] for row in rows]

    def _move(
        self,
        db: sqlite3.Connection,
        what: str,
        targets: Sequence[tuple[int, str]],
        who: str,
    ) -> list[Outcome]:
        """Move as many as a transaction may, at least one."""
        end, rows_most = time.monotonic() + TRANSACTION_S, db.total_changes + ROWS_MOST
        moved: list[Outcome] = []
        for instance_id, destination in targets:
            moved.append(self._move_one(db, what, instance_id, destination, who))
            if db.total_changes >= rows_most or time.monotonic() >= end:
                break
        return moved

    def _move_one(
        self, db: sqlite3.Connection, what: str, instance_id: int, destination: str, who: str
    ) -> Outcome:
        to = "" if what in WHOLE else destination
        if not self._moves[what](db, instance_id, to):
            row = db.execute("SELECT state FROM instance WHERE id = ?", (instance_id,)).fetchone()
            return Outcome(instance_id, row["state"] if row else "")
        note(db, self._clock.utc(), who, what, to, instance_id=instance_id)
        return Outcome(instance_id)


def _open_destinations(db: sqlite3.Connection, instance_id: int) -> list[str]:
    """Return where something of it is still to be sent."""
    rows = db.execute(
        "SELECT DISTINCT destination FROM delivery WHERE instance_id = ?"
        " AND state IN ('queued', 'held')",
        (instance_id,),
    )
    return [row["destination"] for row in rows.fetchall()]
