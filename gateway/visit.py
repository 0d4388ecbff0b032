"""visit: the spool, opened by a verb that looks or decides, whether the gateway runs or not.

Takes      the settings
Gives      the spool of this version
Holds      nothing; nothing is repaired, and no new database is made where an old one is missed
"""

from pathlib import Path

from gateway.config.model import Settings
from gateway.start import CannotOpen, open_spool, starting
from spool.backups import copies
from spool.store import Spool
from spool.whole import RESTORED


def visit(settings: Settings) -> Spool:
    """Return the spool, once nobody is just starting; a first visit makes it.

    Raises
    ------
    CannotOpen
        `database-missing`: files are there, and their database is not; `state-folder`.
    NotMigrated
        The database is of an older version.
    sqlite3.DatabaseError
        The database is damaged.
    """
    state_dir = settings.gateway.state_dir
    with starting(state_dir, shared=True):
        has_database = must_have_database(state_dir)
        spool = open_spool(settings)
        if has_database:
            spool.must_be_migrated()
        else:
            spool.migrate()
        return spool


def must_have_database(state_dir: Path) -> bool:
    """Tell whether there is a database; False where nothing was kept yet.

    Raises
    ------
    CannotOpen
        `database-missing`
    """
    database, restored = state_dir / "db" / "spool.db", state_dir / RESTORED
    if database.exists() and database.stat().st_size and not restored.exists():
        return True
    blobs = (state_dir / "spool" / "blobs").glob("*/*.dcm")
    if restored.exists() or any(blobs) or copies(state_dir / "backup"):
        raise CannotOpen("database-missing", str(database))
    return False
