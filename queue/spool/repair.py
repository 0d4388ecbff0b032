"""repair: at the start, files and rows are reconciled both ways; a lost database is rebuilt.

Takes      the state folder, before any stage works in it
Gives      a database that is sound, and what happened as incidents for `status`
Holds      damaged: a row whose file is gone
           unproved: the same in an old copy, where nobody can tell whether it was delivered;
           one person's one decision
Repeats    every step finds its work anew; nothing is deleted but renditions that are made again

A database that SQLite finds unsound is set aside, never deleted, and the newest sound daily copy,
or an empty one, takes its place. Whatever blob no row names is taken in again, oldest first: the
archive gets the same UID and the same bytes, which is harmless twice. What a person decided stands
beside the blob and comes into force again.
"""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from spool import backups
from spool.blobfile import Described, describe
from spool.blobs import Blobs, sync_folder
from spool.clock import Clock
from spool.database import Database
from spool.deciding import Deciding
from spool.decisions import SUFFIX
from spool.errors import Damaged
from spool.model import Arrival, Blob, Priority, Rendition, Role
from spool.receiving import insert_instance
from spool.rows import insert_rendition, note

#: Up to this size the database is checked in full at each start, beyond it in its structure.
FULL_CHECK_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened to the spool as a whole."""

    code: str  #: database-rebuilt, database-emptied, taken-in-again, files-missing, blob-damaged
    detail: str


@dataclass(slots=True)
class Reconciled:
    """What the rows and files lacked of one another."""

    taken_in: int = 0
    attached: int = 0
    removed: int = 0
    missing: int = 0
    damaged: list[str] = field(default_factory=list)


def ensure_database(state_dir: Path, utc_s: float) -> list[Incident]:
    """Put a sound database in its place, before anybody opens it; say what had to be done."""
    path = state_dir / "db" / "spool.db"
    has_blobs = any((state_dir / "spool" / "blobs").glob("*/*.dcm"))
    if path.exists() and path.stat().st_size and _is_sound(path):
        return []
    if not path.exists() and not has_blobs:
        return []
    where = _set_aside(state_dir, utc_s)
    for copy in backups.copies(state_dir / "backup"):
        if backups.is_sound(copy):
            backups.copy_database(copy, path)
            return [Incident("database-rebuilt", f"{copy.name} {where}".strip())]
    return [Incident("database-emptied", where)]


class Repair:
    """Reconciles an open spool; only while no stage works in it."""

    def __init__(self, database: Database, blobs: Blobs, deciding: Deciding, clock: Clock) -> None:
        self._database, self._blobs, self._deciding = database, blobs, deciding
        self._clock = clock

    def reconcile(self, incidents: list[Incident]) -> Reconciled:
        """Give every file an owner and every row its file; write down what happened."""
        done = Reconciled()
        on_disk, rows = set(self._blobs.names()), self._rows()
        self._remove_gone(on_disk, rows, done)
        self._take_in(sorted(on_disk - rows.keys()), done)
        self._miss(on_disk, rows, done, is_old_copy=bool(incidents))
        self._apply_decisions()
        self._write_down(incidents, done)
        return done

    def _rows(self) -> dict[str, sqlite3.Row]:
        found = self._database.read(
            "SELECT r.*, i.state, i.settled_at FROM rendition r"
            " JOIN instance i ON i.id = r.instance_id"
        )
        return {row["blob"]: row for row in found}

    def _remove_gone(
        self, on_disk: set[str], rows: dict[str, sqlite3.Row], done: Reconciled
    ) -> None:
        for name in on_disk & rows.keys():
            if rows[name]["gone_at"]:
                self._blobs.discard(name)
                done.removed += 1

    def _take_in(self, names: list[str], done: Reconciled) -> None:
        """Take in blobs without a row: first what came, then what was made of it."""
        described: list[tuple[str, Described]] = []
        for name in names:
            try:
                described.append((name, describe(self._blobs.path(name))))
            except Damaged:
                done.damaged.append(name)
        described.sort(key=lambda one: (one[1].about.get("received_at", 0), one[0]))
        for name, said in described:
            if said.about["role"] == Role.RECEIVED:
                self._adopt(name, said)
                done.taken_in += 1
        for name, said in described:
            if said.about["role"] != Role.RECEIVED:
                self._attach(name, said, done)

    def _adopt(self, name: str, said: Described) -> None:
        about = said.about
        arrival = Arrival(
            about["sop_class_uid"],
            about["sop_instance_uid"],
            about["transfer_syntax_uid"],
            about.get("door", "repair"),
            about.get("peer_address", ""),
            about.get("station", ""),
            Priority(about.get("priority", Priority.NORMAL)),
        )
        now, blob = self._clock.utc(), self._blob(name, said)

        def work(db: sqlite3.Connection) -> int:
            at = about.get("received_at", now)
            instance_id = insert_instance(db, arrival, blob, received_at=at, at=now)
            note(db, now, "repair", "received", blob.sha256, instance_id=instance_id)
            return instance_id

        self._database.write(work)

    def _attach(self, name: str, said: Described, done: Reconciled) -> None:
        """Give a compressed blob back to its instance, so that the same bytes are sent again.

        One whose source was dropped for want of room is all that is left: it is taken in itself.
        What is left over can be made again, and goes.
        """
        source = self._source_of(said)
        if source is None:
            self._adopt(name, said)
            done.taken_in += 1
        elif said.about["role"] == Role.COMPRESSED and source["waits"]:
            self._database.write(lambda db: self._insert_compressed(db, source, name, said))
            done.attached += 1
        else:
            self._blobs.discard(name)
            done.removed += 1

    def _source_of(self, said: Described) -> sqlite3.Row | None:
        rows = self._database.read(
            "SELECT r.id, r.instance_id, i.state = 'received' AND NOT EXISTS (SELECT 1 FROM"
            " rendition c WHERE c.made_from = r.id AND c.role = 'compressed') AS waits"
            " FROM rendition r JOIN instance i ON i.id = r.instance_id"
            " WHERE r.sop_instance_uid = ? AND r.sha256 = ? AND i.state <> 'merged'"
            " ORDER BY r.id LIMIT 1",
            (said.about["sop_instance_uid"], said.about.get("made_from", "")),
        )
        return rows[0] if rows else None

    def _insert_compressed(
        self, db: sqlite3.Connection, source: sqlite3.Row, name: str, said: Described
    ) -> None:
        about = said.about
        made = Rendition(
            Role.COMPRESSED,
            about["sop_instance_uid"],
            about["sop_class_uid"],
            about["transfer_syntax_uid"],
            self._blob(name, said),
            made_from=source["id"],
            recipe="found again",
            proved=True,
        )
        insert_rendition(db, source["instance_id"], made, self._clock.utc())

    def _blob(self, name: str, said: Described) -> Blob:
        path = self._blobs.path(name)
        return Blob(name, path, said.dataset_offset, said.dataset_bytes, said.sha256)

    def _miss(
        self,
        on_disk: set[str],
        rows: dict[str, sqlite3.Row],
        done: Reconciled,
        *,
        is_old_copy: bool,
    ) -> None:
        for name in rows.keys() - on_disk:
            row = rows[name]
            if not row["gone_at"] and row["state"] not in ("merged", "retired"):
                code = "unproved" if is_old_copy else "damaged"
                self._database.write(lambda db, row=row, code=code: self._lose(db, row, code))  # type: ignore[misc]
                done.missing += 1

    def _lose(self, db: sqlite3.Connection, row: sqlite3.Row, code: str) -> None:
        """Write down that a rendition's file is gone; hold what would have been sent from it."""
        now = self._clock.utc()
        db.execute("UPDATE rendition SET gone_at = ? WHERE id = ?", (now, row["id"]))
        db.execute(
            "UPDATE delivery SET state = 'held', lease = '', error_code = ?,"
            " error_text = 'missing' WHERE rendition_id = ? AND state = 'queued'",
            (code, row["id"]),
        )
        if row["role"] == Role.RECEIVED:
            db.execute(
                "UPDATE instance SET state = 'held', reason = ?, detail = 'missing', lease = ''"
                " WHERE id = ? AND state = 'received'",
                (code, row["instance_id"]),
            )
        note(db, now, "repair", "file missing", code, instance_id=row["instance_id"])

    def _apply_decisions(self) -> None:
        rows = self._rows()
        for path in sorted(self._blobs.folder.glob(f"*/*{SUFFIX}")):
            name = f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}"
            if name in rows:
                self._deciding.come_into_force(rows[name]["instance_id"], name)

    def _write_down(self, incidents: list[Incident], done: Reconciled) -> None:
        found = list(incidents)
        if done.taken_in:
            found.append(Incident("taken-in-again", str(done.taken_in)))
        if done.missing:
            found.append(Incident("files-missing", str(done.missing)))
        found += [Incident("blob-damaged", name) for name in done.damaged]
        now = self._clock.utc()

        def work(db: sqlite3.Connection) -> None:
            for one in found:
                db.execute(
                    "INSERT INTO incident (at, code, detail) SELECT ?, ?, ? WHERE NOT EXISTS"
                    " (SELECT 1 FROM incident WHERE code = ? AND detail = ? AND seen = 0)",
                    (now, one.code, one.detail, one.code, one.detail),
                )

        self._database.write(work)


def _is_sound(path: Path) -> bool:
    """Tell whether SQLite can work with the database as it lies there, its log included."""
    check = "integrity_check" if path.stat().st_size < FULL_CHECK_BYTES else "quick_check"
    try:
        with closing(sqlite3.connect(path, timeout=30)) as db:
            return bool(db.execute(f"PRAGMA {check}(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False


def _set_aside(state_dir: Path, utc_s: float) -> str:
    """Move the database and its log out of the way; return where, "" when there was none."""
    parts = [one for one in (state_dir / "db").glob("spool.db*") if one.stat().st_size]
    if not parts:
        return ""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(utc_s))
    target = state_dir / "set-aside" / stamp
    target.mkdir(parents=True, exist_ok=True)
    for one in parts:
        one.rename(target / one.name)
    sync_folder(target)
    sync_folder(state_dir / "db")
    return str(target.relative_to(state_dir))
