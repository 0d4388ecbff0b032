"""spool_folder: the folder of a spool under test, and what a crash or a bad disk makes of it.

It lies in memory (tmpfs), so that a sync costs nothing. A crash is a copy of the folder as it lies
there, the log of the database included; every file that ever was keeps a second name, so that the
removal of its first can be undone.
"""

import os
import shutil
import tempfile
from pathlib import Path

from spool import backups
from spool.clock import Clock
from spool.repair import Incident, ensure_database
from tests.fakes.spools import opened

MEMORY = Path("/dev/shm")  # noqa: S108  # the folder is made by mkdtemp


class SpoolFolder:
    """The folder; `spool` is open in it, another one after each `leave` and `reopen`."""

    def __init__(self, clock: Clock) -> None:
        parent = MEMORY if os.access(MEMORY, os.W_OK) else None
        self._root = Path(tempfile.mkdtemp(prefix="spool-", dir=parent))
        self._clock, self._boots = clock, 0
        self._graves = self._root / "graves"
        self._graves.mkdir()
        self.spool = opened(self._folder, clock)

    def close(self) -> None:
        self.spool.close()
        shutil.rmtree(self._root)

    @property
    def _folder(self) -> Path:
        return self._root / str(self._boots)

    @property
    def _state_dir(self) -> Path:
        return self._folder / "state"

    def leave(self) -> None:
        """Copy the folder as it lies there, without a word to its user; go on in the copy."""
        old, dead = self._folder, self.spool
        self._boots += 1
        shutil.copytree(old, self._folder)
        dead.close()
        shutil.rmtree(old)

    def reopen(self, incidents: list[Incident]) -> None:
        self.spool = opened(self._folder, self._clock)
        self.spool.repair.reconcile(incidents)

    def back_up(self) -> None:
        """Make a copy of the database as of now; it is the only one then."""
        folder = self._state_dir / "backup"
        for old in backups.copies(folder):
            old.unlink()
        assert backups.daily(self.spool.database, folder, self._clock.utc())

    def lose_database(self, *, keep_backups: bool) -> None:
        """Lose every row; what the files and an old copy tell is all that is left."""
        self.leave()
        for one in (self._state_dir / "db").glob("spool.db*"):
            one.unlink()
        if not keep_backups:
            shutil.rmtree(self._state_dir / "backup", ignore_errors=True)
        self.reopen(ensure_database(self._state_dir, self._clock.utc()))

    def bury(self, name: str) -> None:
        """Keep a second name of a file, so that its removal can be undone."""
        os.link(self.spool.blobs.path(name), self._grave(name))

    def dig_up(self, name: str) -> None:
        """Undo the removal of a file, if it was removed."""
        path = self.spool.blobs.path(name)
        if not path.exists():
            os.link(self._grave(name), path)

    def _grave(self, name: str) -> Path:
        return self._graves / name.replace("/", " ")
