"""committing: storage commitment transactions, written down before the archive hears of them.

Takes      deliveries under a claim of `confirming`; what the archive reports, through any process
Gives      outcomes, each with its delivery under a claim, until they are acted on
Defers     a transaction holds its deliveries back from other questions until it is reported,
           refused, or closed as overdue
Repeats    a report may come in any order: before `asked`, twice, in parts, after the deadline; a
           kill leaves a transaction that is reported or becomes overdue

A rebuilt database knows no transaction of the days it lost; what they were about is sent again.

References: PS3.4 annex J (Storage Commitment Push Model); PS3.3 C.14.
"""

import sqlite3
import uuid
from collections.abc import Sequence

from spool.ageing import tick, trusted_s
from spool.blobs import Blobs
from spool.clock import Clock
from spool.confirming import claim_sent
from spool.database import Database
from spool.errors import LostClaim
from spool.model import Outcome, Sent, Transaction
from spool.rows import IS_FREE, Leases, note

#: What came of a transaction is known for so long after its end, for a report that comes late.
KEEP_S = 90 * 86400.0
#: So many old transactions go at each new one.
FORGET_MOST = 20

_ANSWERED = "destination = :to AND answered = 1 AND acted = 0"
_STILL_SENT = (
    "EXISTS (SELECT 1 FROM delivery d WHERE d.id = commitment_item.delivery_id"
    " AND d.state = 'sent' AND d.settled_at = 0)"
)
#: A success that a failure overtook: one that came later, or that a later transaction brought.
_IS_OVERTAKEN = (
    "failure IS NULL AND EXISTS (SELECT 1 FROM commitment_item f"
    " WHERE f.delivery_id = commitment_item.delivery_id AND f.answered = 1"
    " AND f.failure IS NOT NULL"
    " AND (f.id > commitment_item.id OR f.answer_no > commitment_item.answer_no))"
)
#: Two transactions about a delivery may have been reported: the newest answer counts.
_OUTCOMES = (
    "SELECT max(c.answer_no), c.id, c.uid, c.delivery_id, c.failure FROM commitment_item c"
    " JOIN delivery d ON d.id = c.delivery_id WHERE c.destination = :to AND c.answered = 1"
    f" AND c.acted = 0 AND {IS_FREE} GROUP BY c.delivery_id ORDER BY c.id LIMIT :most"
)
#: The deliveries that wait for the report of the transaction `:uid`.
_TIED = (
    " WHERE id IN (SELECT delivery_id FROM commitment_item WHERE uid = :uid)"
    " AND transaction_uid = :uid AND state = 'sent'"
)
_ANSWER = (
    "UPDATE commitment_item SET answered = 1, failure = :failure,"
    " answer_no = 1 + (SELECT max(answer_no) FROM commitment_item a"
    " WHERE a.delivery_id = commitment_item.delivery_id)"
    " WHERE uid = :uid AND sop_instance_uid = :of AND sop_class_uid = :class AND acted = 0"
    " AND (answered = 0 OR failure IS NULL OR :failure IS NOT NULL)"
)
_HAS_TIED = f"EXISTS (SELECT 1 FROM delivery {_TIED.replace(':uid', 'commitment.uid')})"
_HAS_UNACTED = (
    "EXISTS (SELECT 1 FROM commitment_item i WHERE i.uid = commitment.uid"
    " AND i.answered = 1 AND i.acted = 0)"
)


class Committing:
    """What the stage `confirm` calls, and, for `reported`, whoever hears the archive."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock, leases: Leases) -> None:
        self._database, self._blobs, self._clock, self._leases = database, blobs, clock, leases

    def begin(self, destination: str, sents: Sequence[Sent], deadline_s: float) -> str:
        """Return the UID of a new transaction about these, once it is on the disk.

        Their claims go on until `asked`, `refused`, or what is done with each.

        Raises
        ------
        LostClaim
            None of them is this claim's any more.
        """
        uid = f"2.25.{uuid.uuid4().int}"  # PS3.5 B.2
        self._database.write(lambda db: self._begin(db, uid, destination, sents, deadline_s))
        return uid

    def asked(self, uid: str) -> None:
        """Say that the archive has taken the request: it will report."""
        self._database.write(lambda db: self._asked(db, uid))

    def refused(self, uid: str, code: str, text: str) -> None:
        """Say that the archive will not report: its deliveries are due to be asked otherwise."""
        self._database.write(lambda db: self._refused(db, uid, code, text))

    def reported(
        self,
        uid: str,
        done: Sequence[tuple[str, str]],
        failed: Sequence[tuple[str, str, int]],
    ) -> bool:
        """Write down what an archive reports; durable when this returns.

        Parameters
        ----------
        done, failed
            (SOP Class UID, SOP Instance UID), and the Failure Reason (0008,1197). What the
            transaction does not hold is left out; what failed once has failed.

        Returns
        -------
        False where no such transaction is known.
        """
        return self._database.write(lambda db: self._reported(db, uid, done, failed))

    def outcomes(self, destination: str, most: int = 100) -> list[Outcome]:
        """Return what was reported and not acted on yet, each delivery under a claim.

        Each must be given to `done`, whatever was done with its delivery.
        """
        return self._database.write(lambda db: self._outcomes(db, destination, most))

    def done(self, outcome: Outcome) -> None:
        """Say that the outcome was acted on; if that changed nothing, it is due to be asked."""
        self._database.write(lambda db: self._done(db, outcome))

    def overdue(self, destination: str) -> list[Transaction]:
        """Return the transactions that were not reported in time; `close` ends them."""
        return self._database.write(lambda db: self._overdue(db, destination))

    def cut_off(self, destination: str) -> list[str]:
        """Return the transactions whose request nobody knows the fate of, and nobody makes now.

        A kill came between `begin` and `asked`, and no report has come since. Only for the stage
        that is alone.
        """
        rows = self._database.read(
            "SELECT uid FROM commitment WHERE closed_at = 0 AND destination = ?"
            " AND asked_at = 0 AND reported_at = 0",
            (destination,),
        )
        return [row["uid"] for row in rows]

    def close(self, uid: str, why: str) -> None:
        """Wait for its report no longer; a report that comes all the same still counts.

        Its deliveries are due to be asked about. If the deadline is over, each counts it.
        """
        self._database.write(lambda db: self._close(db, uid, why))

    def _begin(
        self,
        db: sqlite3.Connection,
        uid: str,
        destination: str,
        sents: Sequence[Sent],
        deadline_s: float,
    ) -> None:
        now = self._clock.utc()
        self._forget_old(db, now)
        db.execute(
            "INSERT INTO commitment (uid, destination, begun_at, deadline) VALUES (?, ?, ?, ?)",
            (uid, destination, now, tick(db, self._clock) + deadline_s),
        )
        mine = [one for one in sents if self._tie(db, uid, one)]
        if not mine:
            raise LostClaim(f"transaction {uid}")
        for one in mine:
            self._note(db, destination, "commitment asked", uid, one)

    def _tie(self, db: sqlite3.Connection, uid: str, one: Sent) -> bool:
        done = db.execute(
            "UPDATE delivery SET transaction_uid = ? WHERE id = ? AND state = 'sent' AND lease = ?",
            (uid, one.delivery_id, one.lease),
        )
        if done.rowcount:
            rendition = one.rendition
            db.execute(
                "INSERT INTO commitment_item (uid, destination, delivery_id, sop_class_uid,"
                " sop_instance_uid) VALUES (?, ?, ?, ?, ?)",
                (
                    uid,
                    one.destination,
                    one.delivery_id,
                    rendition.sop_class_uid,
                    rendition.sop_instance_uid,
                ),
            )
        return bool(done.rowcount)

    def _asked(self, db: sqlite3.Connection, uid: str) -> None:
        db.execute("UPDATE commitment SET asked_at = ? WHERE uid = ?", (self._clock.utc(), uid))
        db.execute(f"UPDATE delivery SET lease = '' {_TIED}", {"uid": uid})

    def _refused(self, db: sqlite3.Connection, uid: str, code: str, text: str) -> None:
        values = {"uid": uid, "code": code, "text": text}
        db.execute(
            "UPDATE delivery SET lease = '', error_code = :code, error_text = :text, check_at = 0"
            f" {_TIED}",
            values,
        )
        self._end(db, uid, code)

    def _reported(
        self,
        db: sqlite3.Connection,
        uid: str,
        done: Sequence[tuple[str, str]],
        failed: Sequence[tuple[str, str, int]],
    ) -> bool:
        known = db.execute(
            "UPDATE commitment SET reported_at = ? WHERE uid = ?", (self._clock.utc(), uid)
        )
        for sop_class_uid, sop_instance_uid, failure in [*((*one, None) for one in done), *failed]:
            db.execute(
                _ANSWER,
                {"failure": failure, "uid": uid, "of": sop_instance_uid, "class": sop_class_uid},
            )
        return bool(known.rowcount)

    def _outcomes(self, db: sqlite3.Connection, destination: str, most: int) -> list[Outcome]:
        values = self._leases.values() | {"to": destination, "most": most}
        db.execute(
            f"UPDATE commitment_item SET acted = 1 WHERE {_ANSWERED}"
            f" AND (NOT {_STILL_SENT} OR {_IS_OVERTAKEN})",
            values,
        )
        return [
            Outcome(
                row["uid"],
                row["id"],
                claim_sent(db, self._blobs, self._leases, row["delivery_id"], checks=0),
                row["failure"],
            )
            for row in db.execute(_OUTCOMES, values).fetchall()
        ]

    def _done(self, db: sqlite3.Connection, outcome: Outcome) -> None:
        about = {"item": outcome.item_id, "id": outcome.sent.delivery_id}
        db.execute(  # older answers with it; one that has come meanwhile is newer
            "UPDATE commitment_item SET acted = 1 WHERE delivery_id = :id AND answered = 1"
            " AND answer_no <= (SELECT answer_no FROM commitment_item WHERE id = :item)",
            about,
        )
        db.execute(
            "UPDATE delivery SET transaction_uid = '', lease = iif(lease = :lease, '', lease)"
            " WHERE id = :id AND state = 'sent' AND transaction_uid IN"
            " (SELECT uid FROM commitment_item WHERE delivery_id = :id AND acted = 1)",
            about | {"lease": outcome.sent.lease},
        )
        db.execute(
            "UPDATE commitment SET closed_at = ?, why = 'reported' WHERE uid = ? AND closed_at = 0"
            f" AND NOT {_HAS_TIED} AND NOT {_HAS_UNACTED}",
            (self._clock.utc(), outcome.transaction_uid),
        )

    def _overdue(self, db: sqlite3.Connection, destination: str) -> list[Transaction]:
        values = {"to": destination, "now": trusted_s(db, self._clock), "at": self._clock.utc()}
        late = "closed_at = 0 AND destination = :to AND deadline <= :now"
        db.execute(
            f"UPDATE commitment SET closed_at = :at, why = 'answered otherwise' WHERE {late}"
            f" AND NOT {_HAS_TIED}",
            values,
        )
        rows = db.execute(
            "SELECT uid, (SELECT max(silent) FROM delivery"
            f" {_TIED.replace(':uid', 'commitment.uid')}) AS silent"
            f" FROM commitment WHERE {late} ORDER BY deadline LIMIT 100",
            values,
        ).fetchall()
        return [Transaction(row["uid"], destination, row["silent"] + 1) for row in rows]

    def _close(self, db: sqlite3.Connection, uid: str, why: str) -> None:
        row = db.execute("SELECT * FROM commitment WHERE uid = ?", (uid,)).fetchone()
        if row is None:
            return
        silent = int(row["deadline"] <= trusted_s(db, self._clock))
        if silent:
            for one in db.execute(f"SELECT id, instance_id FROM delivery {_TIED}", {"uid": uid}):
                note(
                    db,
                    self._clock.utc(),
                    f"confirm@{row['destination']}",
                    "no report",
                    f"{why} {uid}",
                    instance_id=one["instance_id"],
                    delivery_id=one["id"],
                )
            db.execute(f"UPDATE delivery SET silent = silent + 1 {_TIED}", {"uid": uid})
        self._end(db, uid, why)

    def _end(self, db: sqlite3.Connection, uid: str, why: str) -> None:
        """Let go what waits for it. Claims go on: what is done with each ends them."""
        db.execute(f"UPDATE delivery SET transaction_uid = '' {_TIED}", {"uid": uid})
        db.execute(
            "UPDATE commitment SET closed_at = ?, why = ? WHERE uid = ? AND closed_at = 0",
            (self._clock.utc(), why, uid),
        )

    def _forget_old(self, db: sqlite3.Connection, now: float) -> None:
        old = db.execute(
            "SELECT uid FROM commitment WHERE closed_at > 0 AND closed_at < ?"
            " ORDER BY closed_at LIMIT ?",
            (now - KEEP_S, FORGET_MOST),
        ).fetchall()
        for row in old:
            db.execute("DELETE FROM commitment_item WHERE uid = ?", (row["uid"],))
            db.execute("DELETE FROM commitment WHERE uid = ?", (row["uid"],))

    def _note(
        self, db: sqlite3.Connection, destination: str, what: str, detail: str, one: Sent
    ) -> None:
        note(
            db,
            self._clock.utc(),
            f"confirm@{destination}",
            what,
            detail,
            instance_id=one.instance_id,
            delivery_id=one.delivery_id,
        )
