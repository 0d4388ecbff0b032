"""preparing: received -> ready, held or merged, in one transaction each.

A claim is a lease; a stage that starts ends every lease of its own (`end_leases`), since its lock
proves that it is alone.
"""

import sqlite3

from spool.ageing import trusted_s
from spool.blobs import Blobs
from spool.clock import Clock
from spool.database import Database
from spool.decisions import Decisions
from spool.model import Arrival, Decision, DeliveryState, Instance, InstanceState, Priority
from spool.rows import (
    FREE,
    LEASE_S,
    RENDITION_COLUMNS,
    Leases,
    Turns,
    insert_rendition,
    must_be_one,
    note,
    rendition_of,
)

_NEXT_DOOR = (
    "SELECT min(door) FROM instance WHERE state = 'received' AND gate = ''"
    " AND priority = :priority AND door > :door"
)
_SEEK = (
    "SELECT id FROM instance WHERE state = 'received' AND gate = '' AND priority = :priority"
    f" AND door = :door AND not_before <= :now AND {FREE} ORDER BY not_before, id LIMIT 1"
)
_CLAIM = (
    "UPDATE instance SET lease = :lease, lease_until = :until, attempts = attempts + 1"
    f" WHERE id = ({_SEEK}) RETURNING *"
)
_RECEIVED = (
    f"SELECT {RENDITION_COLUMNS} FROM rendition r WHERE r.instance_id = ? AND r.role = 'received'"
)

#: What a person had decided about a destination before its delivery was made.
_DECIDED = {"cancel": DeliveryState.CANCELLED, "hold": DeliveryState.HELD}


class Preparing:
    """What the stage `prepare` calls; `WHO` signs in the history."""

    WHO = "prepare"

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        decisions: Decisions,
        clock: Clock,
        leases: Leases,
    ) -> None:
        self._decisions = decisions
        self._database, self._blobs, self._clock, self._leases = database, blobs, clock, leases
        self._turns = Turns()

    def claim(self) -> Instance | None:
        """Return the most urgent instance that is due, or None."""
        return self._database.write(self._claim)

    def next_due_s(self) -> float | None:
        """Return the seconds until the next deferred instance is due, None where there is none."""
        rows = self._database.read(
            "SELECT min(not_before) AS due FROM instance WHERE state = 'received' AND gate = ''"
        )
        due = rows[0]["due"]
        return None if due is None else max(0.0, due - self._clock.utc())

    def end_leases(self) -> None:
        """End the leases of a stage that is gone; cut waits that a stepped clock made absurd."""
        most = self._clock.utc() + LEASE_S
        self._database.write(
            lambda db: db.execute(
                "UPDATE instance SET lease = '', not_before = min(not_before, ?)"
                " WHERE state = 'received' AND (lease <> '' OR not_before > ?)",
                (most, most),
            )
        )

    def others(self, instance: Instance) -> list[tuple[int, str, str]]:
        """Return (id, sha256, transfer syntax) of what came before under the same UID.

        What is broken does not count, nor does one whose file was lost: a whole one may come after
        it, and must not be thrown away for it.
        """
        rows = self._database.read(
            "SELECT i.id, r.sha256, r.transfer_syntax_uid, r.blob, i.state, r.gone_at"
            " FROM rendition r"
            " JOIN instance i ON i.id = r.instance_id"
            " WHERE r.sop_instance_uid = ? AND r.role = 'received' AND i.id < ?"
            " AND i.state <> 'merged' AND NOT (i.state = 'held' AND i.reason IN"
            " ('structure', 'uid-mismatch', 'no-sop-instance-uid', 'damaged')) ORDER BY i.id",
            (instance.arrival.sop_instance_uid, instance.id),
        )
        return [(row[0], row[1], row[2]) for row in rows if not self._is_lost(row)]

    def _is_lost(self, row: sqlite3.Row) -> bool:
        waits = row["state"] in ("received", "ready", "held") and not row["gone_at"]
        return waits and not self._blobs.path(row["blob"]).exists()

    def ready(self, instance: Instance, decision: Decision) -> None:
        """Put down renditions and deliveries, and move the instance to `ready`.

        Raises
        ------
        LostClaim
            The instance is no longer this claim's: nothing was written.
        """
        self._database.write(lambda db: self._ready(db, instance, decision))

    def hold(self, instance: Instance, code: str, detail: str) -> None:
        """Move the instance to `held`; nothing of it is sent before a person says so."""
        self._database.write(lambda db: self._leave(db, instance, InstanceState.HELD, code, detail))

    def merge(self, instance: Instance, kept_id: int) -> None:
        """Say that this re-send added nothing to instance `kept_id`; its blob goes."""
        self._database.write(lambda db: self._merge(db, instance, kept_id))
        self._blobs.discard(instance.received.blob.name)

    def defer(self, instance: Instance, code: str, detail: str, delay_s: float) -> None:
        """Try again after `delay_s`."""
        self._database.write(lambda db: self._defer(db, instance, code, detail, delay_s))

    def _claim(self, db: sqlite3.Connection) -> Instance | None:
        lease, now = self._leases.new(), self._clock.utc()
        values = self._leases.values() | {"lease": lease.token, "until": lease.until, "now": now}
        row = self._turns.claim(db, _NEXT_DOOR, _CLAIM, values)
        return self._instance(db, row) if row else None

    def _instance(self, db: sqlite3.Connection, row: sqlite3.Row) -> Instance:
        received = rendition_of(db.execute(_RECEIVED, (row["id"],)).fetchone(), self._blobs)
        arrival = Arrival(
            row["sop_class_uid"],
            row["sop_instance_uid"],
            received.transfer_syntax_uid,
            row["door"],
            row["peer_address"],
            row["station"],
            Priority(row["priority"]),
        )
        waived = frozenset(row["waived"].split())
        return Instance(
            row["id"], arrival, row["received_at"], row["attempts"], waived, received, row["lease"]
        )

    def _ready(self, db: sqlite3.Connection, instance: Instance, decision: Decision) -> None:
        now = self._clock.utc()
        ids = [insert_rendition(db, instance.id, one, now) for one in decision.renditions]
        sends = instance.received.id if decision.sends < 0 else ids[decision.sends]
        decided = self._decisions.in_force(instance.received.blob.name)
        for destination in decision.destinations:
            what = decided.get(destination, decided.get("", ""))
            state = _DECIDED.get(what, DeliveryState.QUEUED)
            self._deliver(db, instance, destination, sends, state)
        done = db.execute(
            "UPDATE instance SET state = 'ready', reason = '', detail = '', lease = '',"
            " attempts = 0, study_instance_uid = ?, series_instance_uid = ?, station = ?"
            " WHERE id = ? AND state = 'received' AND lease = ?",
            (
                decision.study_instance_uid,
                decision.series_instance_uid,
                decision.station or instance.arrival.station,
                instance.id,
                instance.lease,
            ),
        )
        must_be_one(done, f"instance {instance.id}")
        for what, detail in decision.notes:
            note(db, now, self.WHO, what, detail, instance_id=instance.id)
        note(db, now, self.WHO, "ready", instance_id=instance.id)

    def _deliver(
        self,
        db: sqlite3.Connection,
        instance: Instance,
        destination: str,
        rendition_id: int,
        state: DeliveryState,
    ) -> None:
        db.execute(
            "INSERT INTO delivery (instance_id, destination, round, rendition_id, priority, door,"
            " waits_since, state) VALUES (?, ?, 1 + (SELECT coalesce(max(round), 0) FROM delivery"
            " WHERE instance_id = ? AND destination = ?), ?, ?, ?, ?, ?)",
            (
                instance.id,
                destination,
                instance.id,
                destination,
                rendition_id,
                instance.arrival.priority,
                instance.arrival.door,
                trusted_s(db, self._clock),
                state,
            ),
        )

    def _merge(self, db: sqlite3.Connection, instance: Instance, kept_id: int) -> None:
        self._leave(db, instance, InstanceState.MERGED, "sent-again", str(kept_id))
        db.execute(
            "UPDATE rendition SET gone_at = ? WHERE id = ?",
            (self._clock.utc(), instance.received.id),
        )

    def _leave(
        self,
        db: sqlite3.Connection,
        instance: Instance,
        state: InstanceState,
        code: str,
        detail: str,
    ) -> None:
        done = db.execute(
            "UPDATE instance SET state = ?, reason = ?, detail = ?, lease = ''"
            " WHERE id = ? AND state = 'received' AND lease = ?",
            (state, code, detail, instance.id, instance.lease),
        )
        must_be_one(done, f"instance {instance.id}")
        text = f"{code} {detail}".strip()
        note(db, self._clock.utc(), self.WHO, state, text, instance_id=instance.id)

    def _defer(
        self, db: sqlite3.Connection, instance: Instance, code: str, detail: str, delay_s: float
    ) -> None:
        done = db.execute(
            # This claim came to its end: attempts count those that took the process with them.
            "UPDATE instance SET lease = '', not_before = ?, reason = ?, detail = ?, attempts = 0"
            " WHERE id = ? AND state = 'received' AND lease = ?",
            (self._clock.utc() + delay_s, code, detail, instance.id, instance.lease),
        )
        must_be_one(done, f"instance {instance.id}")
