"""repair: at the start, files and rows are reconciled both ways; a lost database is rebuilt.

Takes      the state folder, before any stage works in it
Gives      a database that is sound, and what happened as incidents for `status`
Holds      damaged: a row whose file is gone, a file that is not what was written
           unproved: a file that is gone, in an old copy, where nobody can tell whether it was
           delivered; one person's one decision
Repeats    every step finds its work anew; nothing is deleted but renditions that are made again

A database that is not sound is set aside, never deleted, and the newest sound daily copy, or an
empty one, takes its place. Whatever blob no row names is taken in again, oldest first: the archive
gets the same UID and the same bytes, which is harmless twice. What a person decided stands beside
the blob and comes into force again.
"""

import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from spool import backups
from spool.adopting import WHO, Adopting
from spool.blobs import Blobs, sync_folder
from spool.clock import Clock
from spool.database import Database
from spool.deciding import Deciding
from spool.decisions import SUFFIX
from spool.pausing import FILE, Pausing
from spool.rows import note
from spool.soundness import fault_of


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened to the spool as a whole."""

    #: database-rebuilt, database-emptied, taken-in-again, files-missing, blob-damaged,
    #: pauses-unreadable
    code: str
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
    """Put a sound database in its place, before anybody opens it; say what had to be done.

    Raises
    ------
    sqlite3.OperationalError
        Nothing can be said of the database: the disk is full, or another holds it.
    """
    path = state_dir / "db" / "spool.db"
    copies = backups.copies(state_dir / "backup")
    is_there = path.exists() and path.stat().st_size > 0
    if not is_there and not copies and not any((state_dir / "spool" / "blobs").glob("*/*.dcm")):
        return []  # a first start, or one that was cut off before it promised anything
    if is_there and not fault_of(path):
        return []
    where = _set_aside(state_dir, utc_s)
    for copy in copies:
        if backups.is_sound(copy):
            path.parent.mkdir(parents=True, exist_ok=True)
            backups.copy_database(copy, path)
            return [Incident("database-rebuilt", f"{copy.name} {where}".strip())]
    return [Incident("database-emptied", where)]


_OWNER = "SELECT instance_id, gone_at FROM rendition WHERE blob = ?"
#: Files that were missed, not removed by us.
_LOST = "SELECT blob FROM rendition WHERE gone_at < 0"


class Repair:
    """Reconciles an open spool; only while no stage works in it."""

    def __init__(self, database: Database, blobs: Blobs, deciding: Deciding, clock: Clock) -> None:
        self._database, self._blobs, self._deciding = database, blobs, deciding
        self._clock, self._adopting = clock, Adopting(database, blobs, clock)
        self._pausing = Pausing(database, blobs, clock)

    def reconcile(self, incidents: list[Incident]) -> Reconciled:
        """Give every file an owner and every row its file; write down what happened."""
        on_disk = set(self._blobs.names())
        known, gone = self._known(on_disk)
        for name in gone & self._lost():
            self._database.write(lambda db, name=name: self._find(db, name))  # type: ignore[misc]
            known.add(name)
        gone -= known
        for name in gone:
            self._blobs.discard(name)
        adopted = self._adopting.take_in(sorted(on_disk - known - gone))
        done = Reconciled(
            adopted.taken_in, adopted.attached, adopted.removed + len(gone), 0, adopted.damaged
        )
        done.missing = self._miss(on_disk, "unproved" if incidents else "damaged")
        self._apply_decisions()
        if incidents and not self._pausing.come_into_force():
            incidents = [*incidents, Incident("pauses-unreadable", FILE)]
        self._database.write(_count_anew)
        self._write_down(incidents, done)
        return done

    def _known(self, on_disk: set[str]) -> tuple[set[str], set[str]]:
        """Return the files that a row has, and those that a row calls gone."""
        living = {row["blob"] for row in self._living()}
        gone = {
            name
            for name in on_disk - living
            if self._database.read("SELECT 1 FROM rendition WHERE blob = ?", (name,))
        }
        return living & on_disk, gone

    def _living(self) -> list[sqlite3.Row]:
        """Return the renditions whose files should be there; those of years ago are not read."""
        return self._database.read(
            "SELECT r.id, r.blob, r.instance_id, i.state FROM rendition r"
            " JOIN instance i ON i.id = r.instance_id WHERE r.gone_at = 0"
        )

    def _lost(self) -> set[str]:
        """Return the files that were missed before; a folder may not have been mounted."""
        return {row["blob"] for row in self._database.read(_LOST)}

    def _find(self, db: sqlite3.Connection, name: str) -> None:
        """A file that was missed is back: what was held for its want goes on."""
        row = db.execute(
            "UPDATE rendition SET gone_at = 0, checked_at = 0 WHERE blob = ?"
            " RETURNING id, instance_id",
            (name,),
        ).fetchone()
        db.execute(
            "UPDATE delivery SET state = 'queued', error_code = '', error_text = ''"
            " WHERE rendition_id = ? AND state = 'held' AND error_text = 'missing'",
            (row["id"],),
        )
        db.execute(
            "UPDATE instance SET state = 'received', reason = '', detail = ''"
            " WHERE id = ? AND state = 'held' AND detail = 'missing'",
            (row["instance_id"],),
        )
        note(db, self._clock.utc(), WHO, "file back", instance_id=row["instance_id"])

    def _miss(self, on_disk: set[str], code: str) -> int:
        lost = [
            row
            for row in self._living()
            if row["blob"] not in on_disk and row["state"] not in ("merged", "retired")
        ]
        for row in lost:
            self._database.write(lambda db, row=row: self._lose(db, row, code))  # type: ignore[misc]
        return len(lost)

    def _lose(self, db: sqlite3.Connection, row: sqlite3.Row, code: str) -> None:
        """Write down that a rendition's file is gone; hold what would have been sent from it."""
        now = self._clock.utc()
        # Negative: it was not we who removed the file, and it may come back.
        db.execute("UPDATE rendition SET gone_at = ? WHERE id = ?", (-now, row["id"]))
        db.execute(
            "UPDATE delivery SET state = 'held', lease = '', error_code = ?,"
            " error_text = 'missing' WHERE rendition_id = ? AND state = 'queued'",
            (code, row["id"]),
        )
        db.execute(
            "UPDATE instance SET state = 'held', reason = ?, detail = 'missing', lease = ''"
            " WHERE id = ? AND state = 'received' AND NOT EXISTS (SELECT 1 FROM rendition c"
            " WHERE c.instance_id = instance.id AND c.role IN ('received', 'compressed')"
            " AND c.gone_at = 0)",
            (code, row["instance_id"]),
        )
        note(db, now, WHO, "file missing", code, instance_id=row["instance_id"])

    def _apply_decisions(self) -> None:
        owners: set[int] = set()
        for path in sorted(self._blobs.folder.glob(f"*/*{SUFFIX}")):
            name = f"{path.parent.name}/{path.name.removesuffix(SUFFIX)}"
            for row in self._database.read(_OWNER, (name,)):
                if row["gone_at"] > 0:
                    path.unlink()  # we removed the blob: what counts stands beside another
                else:
                    owners.add(row["instance_id"])
        for instance_id in sorted(owners):
            self._deciding.come_into_force(instance_id)

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


def _count_anew(db: sqlite3.Connection) -> None:
    """Count the states; the triggers go on from here."""
    db.execute("DELETE FROM tally")
    db.execute("INSERT INTO tally SELECT 'instance', '', state, count(*) FROM instance GROUP BY 3")
    db.execute(
        "INSERT INTO tally SELECT 'delivery', destination, state, count(*) FROM delivery"
        " GROUP BY destination, state"
    )


def _set_aside(state_dir: Path, utc_s: float) -> str:
    """Move the database and its log out of the way; return where, "" when there was none."""
    parts = [one for one in (state_dir / "db").glob("spool.db*") if one.stat().st_size]
    if not parts:
        return ""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(utc_s))
    (state_dir / "set-aside").mkdir(exist_ok=True)
    taken = len(list((state_dir / "set-aside").glob(f"{stamp}*")))
    target = state_dir / "set-aside" / (f"{stamp}-{taken}" if taken else stamp)
    target.mkdir()
    for one in parts:
        one.rename(target / one.name)
    for folder in (target, target.parent, state_dir, state_dir / "db"):
        sync_folder(folder)
    return str(target.relative_to(state_dir))
