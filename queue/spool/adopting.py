"""adopting: a file without a row gets one again.

Takes      blobs that no row names: a crash came between file and row, or the database was lost
Gives      what was received as a new instance, what was made of it back to its instance
Holds      damaged: a file that is not what was written, as far as it still says what it is
Repeats    a file that got its row is no longer without one
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spool.blobfile import Described, describe, salvage
from spool.blobs import Blobs
from spool.clock import Clock
from spool.database import Database
from spool.errors import Damaged
from spool.model import Arrival, Blob, Priority, Rendition, Role
from spool.receiving import insert_instance
from spool.rows import insert_rendition, note

WHO = "repair"
#: So many works are one transaction: a transaction each would take minutes for a full disk.
BATCH = 200

_Work = Callable[[sqlite3.Connection], object]

#: The instance that a blob was made from: another with the same bytes may stand under other orders.
_SOURCE = (
    "SELECT r.id, r.instance_id, r.blob,"
    " i.state IN ('received', 'ready', 'held', 'withdrawn') AS lives,"
    " EXISTS (SELECT 1 FROM rendition c WHERE c.instance_id = i.id AND c.role = :role"
    " AND c.sop_instance_uid = :uid AND c.gone_at = 0) AS has_such"
    " FROM rendition r JOIN instance i ON i.id = r.instance_id"
    " WHERE r.sop_instance_uid = :made_from_uid AND r.sha256 = :made_from"
    " AND :source_blob IN ('', r.blob) AND i.state <> 'merged'"
    " ORDER BY lives DESC, r.id LIMIT 1"
)
#: What is made for each destination that wants it: the archive may have these very bytes already.
_MADE = (Role.COMPRESSED, Role.HTJ2K, Role.LOSSY)


@dataclass(slots=True)
class Adopted:
    """What became of files without a row."""

    taken_in: int = 0
    attached: int = 0
    removed: int = 0
    damaged: list[str] = field(default_factory=list)


class Adopting:
    """Gives each file an owner."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database, self._blobs, self._clock = database, blobs, clock

    def take_in(self, names: list[str]) -> Adopted:
        """Take in blobs without a row: first what came, then what was made of it."""
        done, described, works = Adopted(), [], list[_Work]()
        for name in names:
            try:
                described.append((name, describe(self._blobs.path(name))))
            except (Damaged, OSError) as fault:
                done.damaged.append(name)
                works += self._damaged(name, str(fault))
        described.sort(key=lambda one: (one[1].about.get("received_at", 0), one[0]))
        came = [one for one in described if one[1].about.get("role") == Role.RECEIVED]
        works += [self._adoption(name, said) for name, said in came]
        done.taken_in += len(came)
        self._write(works)
        for name, said in described:
            if said.about.get("role") != Role.RECEIVED:
                self._find_source(name, said, done)
        return done

    def _write(self, works: list[_Work]) -> None:
        for start in range(0, len(works), BATCH):
            batch = works[start : start + BATCH]
            self._database.write(lambda db, batch=batch: [work(db) for work in batch])  # type: ignore[misc]

    def _adoption(self, name: str, said: Described, damage: str = "") -> _Work:
        """Return the work that makes an instance of the file, held where it is damaged."""
        about, now = said.about, self._clock.utc()
        arrival = Arrival(
            about["sop_class_uid"],
            about["sop_instance_uid"],
            about["transfer_syntax_uid"],
            about.get("door", WHO),
            about.get("peer_address", ""),
            about.get("station", ""),
            Priority(about.get("priority", Priority.NORMAL)),
        )
        blob, at = self._blob(name, said), about.get("received_at", now)

        def work(db: sqlite3.Connection) -> None:
            instance_id = insert_instance(db, arrival, blob, received_at=at, at=now)
            note(db, now, WHO, "received", blob.sha256, instance_id=instance_id)
            if damage:
                db.execute(
                    "UPDATE instance SET state = 'held', reason = 'damaged', detail = ?"
                    " WHERE id = ?",
                    (damage, instance_id),
                )
                note(db, now, WHO, "held", f"damaged {damage}", instance_id=instance_id)

        return work

    def _damaged(self, name: str, damage: str) -> list[_Work]:
        """Return the work that holds a damaged file; none where it says nothing of itself."""
        said = salvage(self._blobs.path(name))
        return [self._adoption(name, said, damage)] if said else []

    def _find_source(self, name: str, said: Described, done: Adopted) -> None:
        """Give a blob that was made back to its instance, so that the same bytes are sent again.

        One whose source is lost, or was dropped for want of room, is all that is left: it is taken
        in itself; held, where it may say less, or something else, than what had come. What is left
        over can be made again, and goes.
        """
        about = said.about
        key = {
            "role": about.get("role"),
            "uid": about["sop_instance_uid"],
            "made_from_uid": about.get("made_from_uid", about["sop_instance_uid"]),
            "made_from": about.get("made_from", ""),
            "source_blob": about.get("made_from_blob", ""),
        }
        source = next(iter(self._database.read(_SOURCE, key)), None)
        if source and self._is_missed(source, about):
            self._write([lambda db: self._attach(db, source, name, said)])
            done.attached += 1
        elif not source or (_can_take(source) and self._is_lost(source)):
            self._write([self._adoption(name, said, _doubt(about))])
            done.taken_in += 1
        else:
            self._blobs.discard(name)
            done.removed += 1

    def _is_missed(self, source: sqlite3.Row, about: dict[str, Any]) -> bool:
        """Tell whether the instance lacks it. Only what equals a lost source stands in for it."""
        role = about.get("role")
        stands_in = role == Role.COMPRESSED or not self._is_lost(source)
        return role in _MADE and stands_in and _can_take(source)

    def _is_lost(self, source: sqlite3.Row) -> bool:
        return not self._blobs.path(source["blob"]).exists()

    def _attach(
        self, db: sqlite3.Connection, source: sqlite3.Row, name: str, said: Described
    ) -> None:
        about = said.about
        made = Rendition(
            Role(about["role"]),
            about["sop_instance_uid"],
            about["sop_class_uid"],
            about["transfer_syntax_uid"],
            self._blob(name, said),
            made_from=source["id"],
            recipe="found again",
            proved=about["role"] != Role.LOSSY,  # that one is equal to nothing
        )
        insert_rendition(db, source["instance_id"], made, self._clock.utc())

    def _blob(self, name: str, said: Described) -> Blob:
        path = self._blobs.path(name)
        return Blob(name, path, said.dataset_offset, said.dataset_bytes, said.sha256)


def _can_take(source: sqlite3.Row) -> bool:
    return bool(source["lives"]) and not source["has_such"]


def _doubt(about: dict[str, Any]) -> str:
    """Return why what was made may not go everywhere in place of its lost source; "": it may."""
    role = about.get("role")
    says_other = role in (Role.LOSSY, Role.CORRECTED, Role.DEIDENTIFIED)
    return f"{role}, and what it was made from is gone" if says_other else ""
