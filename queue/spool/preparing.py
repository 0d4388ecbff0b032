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
from spool.earlier import (
    CONTENT_COLUMNS,
    EarlierOnes,
    content_of,
    make_followers_due,
    say_who_waits,
    write_content,
)
from spool.model import (
    OPERATOR,
    UNREADABLE,
    Arrival,
    Content,
    Decision,
    DeliveryState,
    Instance,
    InstanceState,
    Priority,
    Role,
)
from spool.retiring import settle
from spool.rows import (
    FREE,
    RENDITION_COLUMNS,
    WAIT_MOST_S,
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
    f"SELECT {RENDITION_COLUMNS}, {', '.join(CONTENT_COLUMNS)} FROM rendition r"
    " WHERE r.instance_id = ? AND r.role = 'received'"
)
_KEPT = (
    f"SELECT {RENDITION_COLUMNS} FROM rendition r WHERE r.instance_id = ? AND r.gone_at = 0"
    " ORDER BY r.id"
)

#: What a person had decided about a destination before its delivery was made.
_DECIDED = {
    "cancel": (DeliveryState.CANCELLED, ""),
    "hold": (DeliveryState.HELD, OPERATOR),
    UNREADABLE: (DeliveryState.HELD, UNREADABLE),
}


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
        self.earlier = EarlierOnes(database, blobs)

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
        most = self._clock.utc() + WAIT_MOST_S
        self._database.write(
            lambda db: db.execute(
                "UPDATE instance SET lease = '', not_before = min(not_before, ?)"
                " WHERE state = 'received' AND (lease <> '' OR not_before > ?)",
                (most, most),
            )
        )

    def give_back(self) -> None:
        """End every claim of a stage that lives, and could not write what became of them."""
        self._database.write(
            lambda db: db.execute(
                "UPDATE instance SET lease = '', attempts = 0"
                " WHERE state = 'received' AND lease <> ''"
            )
        )

    def know(self, instance: Instance, content: Content | None) -> None:
        """Write down what was found out of its content, so that it need not be read again."""
        if content != instance.content:
            self._database.write(lambda db: write_content(db, instance, content))

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

    def merge(self, instance: Instance, kept_id: int, how: str = "") -> None:
        """Say that this re-send added nothing to instance `kept_id`; its files go.

        `how` is for the history: in what it differs although it says the same.
        """
        self._database.write(lambda db: self._merge(db, instance, kept_id, how))
        for one in instance.kept:
            self._blobs.discard(one.blob.name)

    def defer(self, instance: Instance, code: str, detail: str, delay_s: float) -> None:
        """Try again after `delay_s`."""
        self._database.write(lambda db: self._defer(db, instance, code, detail, delay_s))

    def _claim(self, db: sqlite3.Connection) -> Instance | None:
        lease, now = self._leases.new(), self._clock.utc()
        values = self._leases.values() | {"lease": lease.token, "until": lease.until, "now": now}
        row = self._turns.claim(db, _NEXT_DOOR, _CLAIM, values)
        return self._instance(db, row) if row else None

    def _instance(self, db: sqlite3.Connection, row: sqlite3.Row) -> Instance:
        found = db.execute(_RECEIVED, (row["id"],)).fetchone()
        kept = db.execute(_KEPT, (row["id"],)).fetchall()
        received = rendition_of(found, self._blobs)
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
            row["id"],
            arrival,
            row["received_at"],
            row["attempts"],
            waived,
            received,
            row["lease"],
            tuple(rendition_of(one, self._blobs) for one in kept),
            content_of(found),
        )

    def _ready(self, db: sqlite3.Connection, instance: Instance, decision: Decision) -> None:
        now = self._clock.utc()
        ids = [one.id or insert_rendition(db, instance.id, one, now) for one in decision.renditions]
        write_content(db, instance, decision.content)
        self._deliver_all(db, instance, decision, ids)
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
        if not decision.cancelled:  # what nobody ever got stays here
            settle(db, self._clock, instance.id)
        make_followers_due(db, instance)
        for what, detail in decision.notes:
            note(db, now, self.WHO, what, detail, instance_id=instance.id)
        note(db, now, self.WHO, "ready", instance_id=instance.id)

    def _deliver_all(
        self, db: sqlite3.Connection, instance: Instance, decision: Decision, ids: list[int]
    ) -> None:
        decided, added = self._decided(instance)
        rendition_ids = _what_goes(instance, decision, ids, added)
        for destination, rendition_id in rendition_ids.items():
            what = decided.get(destination, decided.get("", ""))
            state, code = _DECIDED.get(what, (DeliveryState.QUEUED, ""))
            if decision.cancelled:
                state, code = DeliveryState.CANCELLED, decision.cancelled
            values = {"state": state, "code": code, "behind": decision.behind}
            self._deliver(db, instance, values | {"to": destination, "rendition": rendition_id})
        say_who_waits(db, instance.id)

    def _decided(self, instance: Instance) -> tuple[dict[str, str], set[str]]:
        """Return what persons decided by destination, and where they sent it beside its routes."""
        names = dict.fromkeys((instance.received.blob.name, instance.at_hand.blob.name))
        return self._decisions.in_force(*names), self._decisions.added(*names)

    def _deliver(
        self, db: sqlite3.Connection, instance: Instance, values: dict[str, object]
    ) -> None:
        """Open a round, where none is there that was sent, or may be: it is frozen as it is."""
        db.execute(
            "INSERT INTO delivery (instance_id, destination, round, rendition_id, priority, door,"
            " waits_since, state, error_code, behind)"
            " SELECT :id, :to, 1 + coalesce(max(round), 0), :rendition, :priority, :door, :since,"
            " :state, :code, :behind FROM delivery WHERE instance_id = :id AND destination = :to"
            " HAVING coalesce(sum(state NOT IN ('cancelled', 'superseded')"
            " OR (state = 'cancelled' AND :state = 'cancelled')), 0) = 0",
            values
            | {
                "id": instance.id,
                "priority": instance.arrival.priority,
                "door": instance.arrival.door,
                "since": trusted_s(db, self._clock),
            },
        )

    def _merge(self, db: sqlite3.Connection, instance: Instance, kept_id: int, how: str) -> None:
        self._leave(db, instance, InstanceState.MERGED, "sent-again", str(kept_id), how)
        db.execute(
            "UPDATE rendition SET gone_at = ? WHERE instance_id = ?",
            (self._clock.utc(), instance.id),
        )

    def _leave(
        self,
        db: sqlite3.Connection,
        instance: Instance,
        state: InstanceState,
        code: str,
        detail: str,
        how: str = "",
    ) -> None:
        done = db.execute(
            "UPDATE instance SET state = ?, reason = ?, detail = ?, lease = ''"
            " WHERE id = ? AND state = 'received' AND lease = ?",
            (state, code, detail, instance.id, instance.lease),
        )
        must_be_one(done, f"instance {instance.id}")
        make_followers_due(db, instance)
        text = " ".join(filter(None, (code, detail, how)))
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


def _what_goes(
    instance: Instance, decision: Decision, ids: list[int], added: set[str]
) -> dict[str, int]:
    """Return destination -> rendition id: where a person sent it, it goes whole.

    There what other routes send without loss, else what is at hand, whatever its own route wants.
    """
    wanted = {to: instance.received.id if at < 0 else ids[at] for to, at in decision.deliveries}
    lossy = {
        number
        for number, one in zip(ids, decision.renditions, strict=True)
        if one.role is Role.LOSSY
    }
    whole = next((one for one in wanted.values() if one not in lossy), instance.at_hand.id)
    by_route = {to: one for to, one in wanted.items() if to not in added or one not in lossy}
    return dict.fromkeys(sorted(added), whole) | by_route
