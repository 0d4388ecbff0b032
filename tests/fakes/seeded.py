"""seeded: a state folder as a crash leaves it, with items in every state and yesterday's backup.

Made by the store, as the stages call it. What lies beyond the checkpoint is in the log only, as
after a crash; what was put down after the backup is in no copy.
"""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from spool import backups
from spool.model import Arrival, Decision
from spool.rows import note
from spool.store import Spool
from tests.fakes.objects import new_uid, small
from tests.fakes.upper_layer import EXPLICIT, US_IMAGE

DAY_S = 86400.0
PAGE_BYTES = 4096
#: Lines of the history that make the database as large as a few weeks do.
LINES = 14_000
EACH = 2


@dataclass
class Seeded:
    """What is known of the items, by SOP Instance UID."""

    folder: Path
    data: dict[str, bytes] = field(default_factory=dict)  #: all that was ever acknowledged
    at_archive: set[str] = field(default_factory=set)  #: the archive answered success
    stopped: set[str] = field(default_factory=set)  #: withdrawn, held or cancelled by a person

    def copy_to(self, state_dir: Path) -> None:
        shutil.copytree(self.folder, state_dir)

    @property
    def owed(self) -> set[str]:
        """Return what the archive does not have and nobody stopped."""
        return set(self.data) - self.at_archive - self.stopped


class Seeding:
    """Puts items down in an open spool."""

    def __init__(self, state_dir: Path, seeded: Seeded) -> None:
        self._spool, self._seeded = Spool(state_dir, state_dir / "run"), seeded
        self._spool.migrate()
        self._state_dir = state_dir

    def fill(self) -> None:
        """Live a day: before the backup, after it, and what only the log knows."""
        self._spool.ageing.tick()
        later = [self._ready() for _ in range(4 * EACH)]
        self._everything()
        self._spool.database.write(_write_lines)
        yesterday = time.time() - DAY_S
        assert backups.daily(self._spool.database, self._state_dir / "backup", yesterday)
        for uid in later[:EACH]:
            self._send(uid)
        for uid in later[EACH : 2 * EACH]:
            self._send(uid)
        self._retire(later[EACH : 2 * EACH])
        self._decide("withdraw", later[2 * EACH : 3 * EACH])
        self._everything()
        with closing(sqlite3.connect(self._spool.database.path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._decide("cancel", later[3 * EACH :])
        self._everything()
        shutil.copytree(self._state_dir, self._seeded.folder, ignore=lambda *_: ["run"])
        self._spool.close()

    def _everything(self) -> None:
        """Put down items of every kind."""
        for _ in range(EACH):
            self._send(self._ready())
            self._ready()
            self._arrive()
        for what in ("withdraw", "hold", "cancel"):
            self._decide(what, [self._ready() for _ in range(EACH)])
        for what in ("withdraw", "hold"):
            self._decide(what, [self._arrive() for _ in range(EACH)])

    def _arrive(self) -> str:
        uid = new_uid()
        data = small(uid, pixels=uid.encode().ljust(256))
        comes = Arrival(US_IMAGE, uid, EXPLICIT, "ae:US1", "127.0.0.1")
        incoming = self._spool.receiving.begin(comes)
        incoming.write(data)
        self._spool.receiving.keep(incoming, comes)
        self._seeded.data[uid] = data
        return uid

    def _ready(self) -> str:
        """Prepare a new one."""
        uid = self._arrive()
        with self._only("instance", "sop_instance_uid = ?", uid):
            instance = self._spool.preparing.claim()
        assert instance
        decision = Decision("1.2.3.4", "1.2.3.5", deliveries=(("archive", -1),))
        self._spool.preparing.ready(instance, decision)
        return uid

    def _send(self, uid: str) -> None:
        of_it = "instance_id IN (SELECT id FROM instance WHERE sop_instance_uid = ?)"
        with self._only("delivery", of_it, uid):
            delivery = self._spool.delivering.claim("archive")
        assert delivery
        self._spool.delivering.sent(delivery, settles=True)
        self._seeded.at_archive.add(uid)

    @contextmanager
    def _only(self, table: str, which: str, uid: str) -> Iterator[None]:
        """Let all others wait meanwhile."""
        self._write(f"UPDATE {table} SET not_before = 1e12 WHERE NOT {which}", uid)
        yield
        self._write(f"UPDATE {table} SET not_before = 0")

    def _write(self, statement: str, *values: object) -> None:
        self._spool.database.write(lambda db: db.execute(statement, values))

    def _retire(self, uids: list[str]) -> None:
        self._spool.ageing.tick()
        for uid in uids:
            self._write("UPDATE instance SET settled_at = 1e-9 WHERE sop_instance_uid = ?", uid)
        assert self._spool.retiring.retire(0, most=len(uids)) == len(uids)

    def _decide(self, what: str, uids: list[str]) -> None:
        verb: Callable[..., None] = getattr(self._spool.deciding, what)
        for uid in uids:
            (found,) = self._spool.counting.show(uid)
            verb(found["id"], "person:ann")
            self._seeded.stopped.add(uid)


def seed(folder: Path) -> Seeded:
    """Return a state folder below `folder`, made once and copied for each test."""
    seeded = Seeded(folder / "seed")
    Seeding(folder / "living", seeded).fill()
    assert (seeded.folder / "db" / "spool.db").stat().st_size > 1 << 20
    assert (seeded.folder / "db" / "spool.db-wal").stat().st_size > PAGE_BYTES
    return seeded


def _write_lines(db: sqlite3.Connection) -> None:
    for number in range(LINES):
        note(db, float(number), "tend", "looked", "nothing to be seen there, as on other days")
