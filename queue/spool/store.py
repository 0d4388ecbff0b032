"""store: one state folder, opened. The face of the spool for everything above it."""

from pathlib import Path

from spool import doorbell, migrations
from spool.ageing import Ageing
from spool.blobs import Blobs
from spool.breakers import Breakers
from spool.clock import Clock
from spool.committing import Committing
from spool.confirming import Confirming
from spool.counting import Counting
from spool.database import Database
from spool.deciding import Deciding
from spool.decisions import Decisions
from spool.delivering import Delivering
from spool.doorbell import Doorbell
from spool.facts import Facts
from spool.incidents import Incidents
from spool.lock import Lock, is_held
from spool.operating import Operating
from spool.preparing import Preparing
from spool.readbacks import Readbacks
from spool.receiving import Receiving
from spool.repair import Repair
from spool.retiring import Retiring
from spool.room import Bounds, Room
from spool.rows import Leases
from spool.scrubbing import Scrubbing

#: The lock of who removes files, shared by who copies them.
FILES = "files"
#: The lock of who starts, shared by who brings files meanwhile.
START = "start"


class NotMigrated(Exception):
    """The database lacks the scripts `args[0]` of this version; `gateway migrate` runs them."""


class Spool:
    """The spool in `state_dir`; sockets and locks lie in `run_dir`.

    `receiving`, `preparing`, `delivering`, `confirming`, `committing`, `readbacks`, `breakers`,
    `deciding`, `operating` and `counting` are its doors.
    It may be opened by many processes and used by many threads at once.
    """

    def __init__(
        self,
        state_dir: Path,
        run_dir: Path,
        *,
        bounds: Bounds = Bounds(),  # noqa: B008  # it is frozen
        clock: Clock | None = None,
    ) -> None:
        self.state_dir, self.run_dir = state_dir, run_dir
        self.clock = clock or Clock()
        self.blobs = Blobs(state_dir / "spool", reserve_bytes=bounds.refuse_bytes)
        self.database = Database(state_dir / "db" / "spool.db")
        self.decisions = Decisions(self.blobs)
        leases = Leases(self.clock)
        self.room = Room(state_dir, self.database, bounds)
        self.receiving = Receiving(self.database, self.blobs, self.room, self.clock)
        self.preparing = Preparing(self.database, self.blobs, self.decisions, self.clock, leases)
        self.delivering = Delivering(self.database, self.blobs, self.clock, leases)
        self.confirming = Confirming(self.database, self.blobs, self.decisions, self.clock, leases)
        self.committing = Committing(self.database, self.blobs, self.clock, leases)
        self.readbacks = Readbacks(self.database, self.clock)
        self.operating = Operating(self.database, self.blobs, self.decisions, self.clock)
        self.breakers = Breakers(self.database, self.clock)
        self.deciding = Deciding(self.database, self.decisions, self.clock)
        self.counting = Counting(self.database, self.clock)
        self.facts = Facts(self.database)
        self.incidents = Incidents(self.database, self.clock)
        self.ageing = Ageing(self.database, self.clock)
        self.retiring = Retiring(self.database, self.blobs, self.decisions, self.clock)
        self.scrubbing = Scrubbing(self.database, self.blobs, self.clock)
        self.repair = Repair(self.database, self.blobs, self.deciding, self.clock)

    def migrate(self) -> list[str]:
        """Bring the schema up to date and return the names of the scripts that ran."""
        if migrations.pending(self.database):
            self.blobs.sync_folders()  # of a first start, before anything is promised in them
        return migrations.migrate(self.database)

    def must_be_migrated(self) -> None:
        """Raise `NotMigrated` unless every script of this version has run."""
        if names := migrations.pending(self.database):
            raise NotMigrated(", ".join(names))

    def lock(self, name: str, *, waits: bool = False, shared: bool = False) -> Lock:
        """Return the lock `name` of this state folder, or raise `FolderBusy`; see `Lock`."""
        return Lock(lock_path(self.state_dir, name), waits=waits, shared=shared)

    def is_running(self, name: str) -> bool:
        """Tell whether some process holds the lock `name`."""
        return is_held(lock_path(self.state_dir, name))

    def doorbell(self, name: str) -> Doorbell:
        """Return the bell that the stage `name` waits on."""
        return Doorbell(self.run_dir, name)

    def ring(self, name: str) -> None:
        """Wake the stage `name`, if it is there."""
        if name and self.run_dir.is_dir():
            doorbell.ring(self.run_dir, name)

    def orphans(self) -> list[str]:
        """Return the names of blobs that no row names. Nobody was promised them."""
        on_disk = list(self.blobs.names())  # before the rows: a blob is older than its row
        known = self.counting.blob_names()
        return [name for name in on_disk if name not in known]

    def close(self) -> None:
        self.database.close()


def lock_path(state_dir: Path, name: str) -> Path:
    """Return where a lock lies: in the state folder, which two run directories must not share."""
    return state_dir / "db" / f"{name}.lock"
