"""soundness: whether a database can be believed, beyond what SQLite itself checks.

SQLite keeps no checksum: bytes that a failing card has set to zero inside a text or a number pass
PRAGMA integrity_check where no index holds them as well. So no text of our own may hold a NUL (what
a peer sent may), and rows that belong together must do so.

References: sqlite.org/pragma.html (integrity_check, foreign_key_check), sqlite.org/rescode.html.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

#: Up to this size the database is checked in full, beyond it in its structure.
FULL_CHECK_BYTES = 256 << 20
#: What says that the file is damaged. A full disk or a lock says nothing of it.
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
UNREADABLE = (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ)

#: Each finds rows that no writer of ours could have left so.
_CONTRADICTIONS = {
    "a delivery sends another instance's rendition": "SELECT 1 FROM delivery d JOIN rendition r"
    " ON r.id = d.rendition_id WHERE r.instance_id <> d.instance_id LIMIT 1",
    "a rendition was made from another instance's": "SELECT 1 FROM rendition c JOIN rendition r"
    " ON r.id = c.made_from WHERE r.instance_id <> c.instance_id LIMIT 1",
    "a row points to none": "PRAGMA foreign_key_check",
}

#: Texts that never come from a peer, or only after they were found to be UIDs.
_OUR_TEXTS = {
    "instance": ("sop_instance_uid", "state"),
    "rendition": ("role", "sop_instance_uid", "transfer_syntax_uid", "blob", "sha256"),
    "delivery": ("destination", "state"),
    "move": ("machine", "from_state", "to_state"),
}


def is_damage(fault: sqlite3.Error) -> bool:
    """Tell whether SQLite says that the file is no sound database."""
    return (getattr(fault, "sqlite_errorcode", 0) & 0xFF) in DAMAGE


def is_disk_fault(fault: sqlite3.Error) -> bool:
    """Tell whether SQLite says that the disk did not do as it was asked."""
    return (getattr(fault, "sqlite_errorcode", 0) & 0xFF) == sqlite3.SQLITE_IOERR


def fault_of(path: Path) -> str:
    """Return what is wrong with the database, its log included; "" for nothing.

    Raises
    ------
    sqlite3.OperationalError
        Nothing can be said: the disk is full, or another holds it.
    """
    try:
        with closing(sqlite3.connect(path, timeout=30)) as db:
            return next(_faults(db, path), "")
    except sqlite3.OperationalError as fault:
        if is_damage(fault) or fault.sqlite_errorcode in UNREADABLE:
            return str(fault)
        raise
    except sqlite3.DatabaseError as fault:
        return str(fault)


def _faults(db: sqlite3.Connection, path: Path) -> Iterator[str]:
    check = "integrity_check" if path.stat().st_size < FULL_CHECK_BYTES else "quick_check"
    (answer,) = db.execute(f"PRAGMA {check}(1)").fetchone()
    if answer != "ok":
        yield str(answer)
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'delivery_moved'").fetchone():
        yield "the tables are not there"
        return
    for what, query in _CONTRADICTIONS.items():
        if db.execute(query).fetchone():
            yield what
    for table, columns in _OUR_TEXTS.items():
        holds_nul = " OR ".join(f"instr({one}, char(0))" for one in columns)
        if db.execute(f"SELECT 1 FROM {table} WHERE {holds_nul} LIMIT 1").fetchone():
            yield f"a text in {table} is cut by a NUL"
