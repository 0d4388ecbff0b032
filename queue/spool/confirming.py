"""confirming: sent -> confirmed, held, or superseded by a new round, one destination at a time.

Takes      what was sent, nothing firmer is known of, and is due to be asked about
Gives      confirmed; or the round is superseded, and a new one sends the same bytes again
Defers     asked again: it stays `sent`, with the code of why
Holds      what the archive altered; what was lost there three times in a row: `keeps-vanishing`
Repeats    asked twice is asked once; the claim is a lease like any other
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

from spool.ageing import ROWS_MOST, trusted_s
from spool.blobs import Blobs
from spool.clock import Clock
from spool.database import Database
from spool.decisions import Decided, Decisions
from spool.model import DeliveryState, Rendition, Sent
from spool.pausing import NOT_PAUSED
from spool.refusals import refused
from spool.retiring import settle
from spool.rounds import open_round
from spool.rows import (
    CHECK_WAIT_MOST_S,
    IS_FREE,
    RENDITION_COLUMNS,
    Leases,
    must_be_one,
    note,
    rendition_of,
)

KEEPS_VANISHING = "keeps-vanishing"
#: So many rounds in a row may be lost at the archive; the next one waits for a person.
VANISHED_MOST = 3

#: A round that is sent again already is asked about when that has come to something.
_TO_ASK = (
    "FROM delivery d WHERE d.destination = :to AND d.state = 'sent' AND d.settled_at = 0"
    " AND d.transaction_uid = '' AND NOT EXISTS (SELECT 1 FROM delivery l"
    " WHERE l.instance_id = d.instance_id AND l.destination = d.destination"
    " AND l.round > d.round AND l.state IN ('queued', 'sent'))"
    f" AND {NOT_PAUSED}"
)
_DUE = f"SELECT d.id {_TO_ASK} AND d.check_at <= :now AND {IS_FREE} ORDER BY d.check_at LIMIT :most"
_NEXT = f"SELECT d.check_at {_TO_ASK} AND d.lease = '' ORDER BY d.check_at LIMIT 1"
_SENT = (
    f"SELECT d.*, i.study_instance_uid, i.series_instance_uid, {RENDITION_COLUMNS},"
    # CROSS: the few of one UID first, never all deliveries of the destination.
    " NOT EXISTS (SELECT 1 FROM rendition o CROSS JOIN delivery e ON e.instance_id = o.instance_id"
    " AND e.destination = d.destination AND e.rendition_id = o.id"
    " WHERE o.sop_instance_uid = r.sop_instance_uid AND o.sha256 <> r.sha256"
    " AND (e.tried = 1 OR e.attempts > 0)) AS first_of_uid"
    " FROM delivery d JOIN rendition r ON r.id = d.rendition_id"
    " JOIN instance i ON i.id = d.instance_id WHERE d.id = ?"
)
#: How often each round up to this one was handed over, and what the last time was answered.
_ANSWERS = (
    "SELECT e.attempts, (SELECT h.detail FROM history h WHERE h.instance_id = e.instance_id"
    " AND h.delivery_id = e.id AND h.what = 'sent' ORDER BY h.id DESC LIMIT 1) AS answer"
    " FROM delivery e WHERE e.instance_id = :instance_id AND e.destination = :destination"
    " AND e.round <= :round ORDER BY e.round"
)
_MINE = " WHERE id = ? AND state = 'sent' AND lease = ?"


class Confirming:
    """What the stage `confirm` calls.

    What moves a delivery raises `LostClaim` when it is no longer this claim's.
    """

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        decisions: Decisions,
        clock: Clock,
        leases: Leases,
    ) -> None:
        self._database, self._blobs, self._clock, self._leases = database, blobs, clock, leases
        self._decisions = decisions

    def claim(self, destination: str, most: int = 100) -> list[Sent]:
        """Return what is due to be asked about there, the longest due first."""
        return self._database.write(lambda db: self._claim(db, destination, most))

    def next_due_s(self, destination: str) -> float | None:
        """Return the seconds until the next one is due, None where there is none."""
        rows = self._database.read(_NEXT, {"to": destination})
        return max(0.0, rows[0]["check_at"] - self._clock.utc()) if rows else None

    def waiting(self, destination: str) -> tuple[int, float]:
        """Return how many are sent and not confirmed, and since when the oldest (UTC, or 0)."""
        (row,) = self._database.read(
            "SELECT count(*), coalesce(min(sent_at), 0) FROM delivery"
            " WHERE destination = ? AND state = 'sent' AND settled_at = 0",
            (destination,),
        )
        return int(row[0]), float(row[1])

    def end_leases(self, destination: str) -> None:
        """End the leases of a stage that is gone; cut waits that a stepped clock made absurd."""
        most = self._clock.utc() + CHECK_WAIT_MOST_S
        self._database.write(
            lambda db: db.execute(
                "UPDATE delivery SET lease = '', check_at = min(check_at, :most)"
                " WHERE destination = :to AND state = 'sent' AND settled_at = 0"
                " AND (lease <> '' OR check_at > :most)",
                {"to": destination, "most": most},
            )
        )

    def give_back(self, sent: Sent) -> None:
        """End the claim as if it had never been: nothing was asked."""
        self._database.write(
            lambda db: db.execute(
                "UPDATE delivery SET lease = '', checks = max(0, checks - 1)" + _MINE,
                (sent.delivery_id, sent.lease),
            )
        )

    def confirmed(self, sent: Sent, how: str) -> None:
        """Say that the archive has it; `how` that was found out."""
        self._database.write(lambda db: self._confirmed(db, sent, how))

    def later(self, sent: Sent, code: str, text: str, delay_s: float) -> None:
        """Leave it `sent`, with the code of why, and ask again after `delay_s`."""
        self._database.write(lambda db: self._later(db, sent, code, text, delay_s))

    def missing(self, sent: Sent, code: str, text: str) -> None:
        """Say that the archive does not have it: a new round sends the same rendition.

        No round is opened where a later one does that already, and none of what a person took
        back; it is held where a person cancelled the later one.
        """
        self._speak_again(sent)
        self._database.write(lambda db: self._missing(db, sent, code, text))

    def hold(self, sent: Sent, code: str, text: str) -> None:
        """Move the delivery to `held`: a person must look."""
        self._speak_again(sent, holds=True)
        self._database.write(lambda db: self._hold(db, sent, code, text))

    def note(self, sent: Sent, what: str, detail: str) -> None:
        """Write to the history what was found out beside it: keywords and UIDs, no values."""
        self._database.write(lambda db: self._note(db, sent, what, detail))

    def settle_unasked(self, destination: str) -> int:
        """Let `sent` be enough for what was sent; return for how many, at most `ROWS_MOST`.

        For a destination whose `confirm` is "none" by now: nobody will ask it any more, and what
        waits for that would never retire.
        """
        return self._database.write(lambda db: settle_sent(db, self._clock, destination))

    def _speak_again(self, sent: Sent, *, holds: bool = False) -> None:
        """Write that it is to go there again, where the last word beside the blobs is a cancel.

        That was said of what had not been sent then; a start would cancel for it what waits now.
        Whoever lost the claim says nothing: the cancel may be newer than that.
        """
        claim = (sent.delivery_id, sent.lease)
        if not self._database.read(f"SELECT 1 FROM delivery{_MINE}", claim):
            return
        key = {"id": sent.instance_id, "to": sent.destination, "round": sent.round}
        (row,) = self._database.read(_AFTER_LOSS, key | {"rendition": sent.rendition.id})
        blobs = [one["blob"] for one in self._database.read(_BLOBS, (sent.instance_id,))]
        decided = self._decisions.in_force(*blobs)
        last = decided.get(sent.destination, decided.get("", ""))
        if last == "cancel" and row["is_ready"] and (holds or not row["goes_again"]):
            who, at = f"confirm@{sent.destination}", self._clock.utc()
            self._decisions.write_all(
                (blob, Decided(what, who, at, sent.destination))
                for what in ("resend", "hold")[: 1 + (holds or row["is_cancelled"])]
                for blob in blobs
            )

    def _claim(self, db: sqlite3.Connection, destination: str, most: int) -> list[Sent]:
        values = self._leases.values() | {"to": destination, "now": self._clock.utc(), "most": most}
        rows = db.execute(_DUE, values).fetchall()
        return [claim_sent(db, self._blobs, self._leases, row["id"], checks=1) for row in rows]

    def _confirmed(self, db: sqlite3.Connection, sent: Sent, how: str) -> None:
        done = db.execute(
            "UPDATE delivery SET state = 'confirmed', settled_at = ?, lease = '',"
            " transaction_uid = '', error_text = iif(error_code = '', error_text, ''),"
            " error_code = ''" + _MINE,
            (max(trusted_s(db, self._clock), 1e-3), sent.delivery_id, sent.lease),
        )
        must_be_one(done, f"delivery {sent.delivery_id}")
        self._note(db, sent, "confirmed", how)
        settle(db, self._clock, sent.instance_id)

    def _later(
        self, db: sqlite3.Connection, sent: Sent, code: str, text: str, delay_s: float
    ) -> None:
        row = db.execute(
            "SELECT error_code FROM delivery WHERE id = ?", (sent.delivery_id,)
        ).fetchone()
        done = db.execute(
            "UPDATE delivery SET lease = '', transaction_uid = '', check_at = ?, error_code = ?,"
            " error_text = ?" + _MINE,
            (
                self._clock.utc() + min(delay_s, CHECK_WAIT_MOST_S),
                code,
                text,
                sent.delivery_id,
                sent.lease,
            ),
        )
        must_be_one(done, f"delivery {sent.delivery_id}")
        if row["error_code"] != code:  # a line at each try would fill the history
            self._note(db, sent, "asked again", f"{code} {text}".strip())

    def _missing(self, db: sqlite3.Connection, sent: Sent, code: str, text: str) -> None:
        self._leave(db, sent, DeliveryState.SUPERSEDED, code, text)
        self._note(db, sent, "missing", f"{code} {text}".strip())
        refused(db, sent.destination, code, self._clock.utc(), sent.instance_id)
        if next_one := self._next_round(db, sent, code):
            state, why, detail = next_one
            open_round(
                db,
                self._clock,
                sent.instance_id,
                sent.destination,
                sent.rendition.id,
                state,
                why,
                detail,
            )
            if state is DeliveryState.HELD:
                self._note(db, sent, "held", why)
        settle(db, self._clock, sent.instance_id)

    def _next_round(
        self, db: sqlite3.Connection, sent: Sent, code: str
    ) -> tuple[DeliveryState, str, str] | None:
        """Return state, code and text of the round to open; None where there is to be none."""
        row = db.execute(
            _AFTER_LOSS,
            {"id": sent.instance_id, "to": sent.destination, "round": sent.round}
            | {"rendition": sent.rendition.id},
        ).fetchone()
        if not row["is_ready"] or row["goes_again"]:
            return None
        if row["gone_at"]:  # comes back with its file
            return DeliveryState.HELD, "damaged", "missing"
        if row["is_cancelled"]:
            return DeliveryState.HELD, code, ""
        if row["vanished"] >= VANISHED_MOST:
            return DeliveryState.HELD, KEEPS_VANISHING, ""
        return DeliveryState.QUEUED, "", ""

    def _hold(self, db: sqlite3.Connection, sent: Sent, code: str, text: str) -> None:
        self._leave(db, sent, DeliveryState.HELD, code, text)
        self._note(db, sent, "held", f"{code} {text}".strip())
        refused(db, sent.destination, code, self._clock.utc(), sent.instance_id)

    def _leave(
        self, db: sqlite3.Connection, sent: Sent, state: DeliveryState, code: str, text: str
    ) -> None:
        done = db.execute(
            "UPDATE delivery SET state = ?, lease = '', transaction_uid = '', error_code = ?,"
            " error_text = ?" + _MINE,
            (state, code, text, sent.delivery_id, sent.lease),
        )
        must_be_one(done, f"delivery {sent.delivery_id}")

    def _note(self, db: sqlite3.Connection, sent: Sent, what: str, detail: str) -> None:
        note(
            db,
            self._clock.utc(),
            f"confirm@{sent.destination}",
            what,
            detail,
            instance_id=sent.instance_id,
            delivery_id=sent.delivery_id,
        )


_BLOBS = "SELECT blob FROM rendition WHERE instance_id = ? AND gone_at <= 0 ORDER BY id"
#: What decides about a new round: the instance, its later rounds, its file, how often it vanished.
_AFTER_LOSS = (
    "SELECT (SELECT state FROM instance WHERE id = :id) = 'ready' AS is_ready,"
    " EXISTS (SELECT 1 FROM delivery WHERE instance_id = :id AND destination = :to"
    " AND round > :round AND state NOT IN ('cancelled', 'superseded')) AS goes_again,"
    " EXISTS (SELECT 1 FROM delivery WHERE instance_id = :id AND destination = :to"
    " AND round > :round AND state = 'cancelled') AS is_cancelled,"
    " (SELECT gone_at FROM rendition WHERE id = :rendition) AS gone_at,"
    " (SELECT count(*) FROM delivery WHERE instance_id = :id AND destination = :to"
    " AND state = 'superseded' AND round > coalesce((SELECT max(round) FROM delivery"
    " WHERE instance_id = :id AND destination = :to AND state <> 'superseded'), 0)) AS vanished"
)


def claim_sent(
    db: sqlite3.Connection, blobs: Blobs, leases: Leases, delivery_id: int, *, checks: int
) -> Sent:
    """Put a lease on a sent delivery, count `checks`, and return it."""
    lease = leases.new()
    db.execute(
        "UPDATE delivery SET lease = ?, lease_until = ?, checks = checks + ? WHERE id = ?",
        (lease.token, lease.until, checks, delivery_id),
    )
    row = db.execute(_SENT, (delivery_id,)).fetchone()
    answers = db.execute(_ANSWERS, dict(row)).fetchall()
    return _sent_of(row, rendition_of(row, blobs), _answers(answers))


def settle_sent(db: sqlite3.Connection, clock: Clock, destination: str) -> int:
    """Let `sent` be enough for what is sent there, at most `ROWS_MOST`; return for how many."""
    rows = db.execute(
        "UPDATE delivery SET settled_at = ?, lease = '', transaction_uid = '' WHERE id IN"
        " (SELECT id FROM delivery WHERE destination = ? AND state = 'sent' AND settled_at = 0"
        " LIMIT ?) RETURNING id, instance_id",
        (max(trusted_s(db, clock), 1e-3), destination, ROWS_MOST),
    ).fetchall()
    for row in rows:
        about: dict[str, Any] = {"instance_id": row["instance_id"], "delivery_id": row["id"]}
        note(db, clock.utc(), f"confirm@{destination}", "not asked any more", **about)
        settle(db, clock, row["instance_id"])
    return len(rows)


def _answers(rows: Iterable[sqlite3.Row]) -> tuple[str | None, ...]:
    """Return what each try was answered, from the tries and the answer of each round."""
    found = list[str | None]()
    for row in rows:
        known = [] if row["answer"] is None else [row["answer"]]
        found += [None] * (row["attempts"] - len(known)) + known
    return tuple(found)


def _sent_of(row: sqlite3.Row, rendition: Rendition, answers: tuple[str | None, ...]) -> Sent:
    return Sent(
        row["id"],
        row["instance_id"],
        row["destination"],
        row["round"],
        rendition,
        row["study_instance_uid"],
        row["series_instance_uid"],
        row["sent_at"],
        row["checks"],
        row["lease"],
        bool(row["first_of_uid"]),
        row["silent"],
        answers,
    )
