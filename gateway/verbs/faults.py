"""faults: what went wrong in a verb, as its stable code and its exit code (sysexits.h).

Takes      an exception that a verb did not turn into words of its own
Gives      one line on standard error, and the exit code
Holds      nothing; what is not known here is a fault of the program, and shows its trace
"""

import errno
import sqlite3
import sys

from gateway.config.problems import ConfigError
from gateway.start import CannotOpen
from gateway.verbs.output import fault
from spool.errors import FolderBusy
from spool.store import NotMigrated

EX_SOFTWARE, EX_OSERR, EX_IOERR, EX_TEMPFAIL, EX_CONFIG = 70, 71, 74, 75, 78

_DAMAGED = ("database-damaged", EX_SOFTWARE)
_NO_ROOM = ("no-room", EX_TEMPFAIL)
_DISK = ("disk-failed", EX_IOERR)

#: What the database could not do; the rest is damage (sqlite.org/rescode.html).
_BY_RESULT = {
    sqlite3.SQLITE_FULL: _NO_ROOM,
    sqlite3.SQLITE_BUSY: ("database-busy", EX_TEMPFAIL),
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_READONLY: ("state-folder", EX_OSERR),
    sqlite3.SQLITE_CANTOPEN: ("state-folder", EX_OSERR),
}

#: What `tell` has words for.
KNOWN = (CannotOpen, ConfigError, FolderBusy, NotMigrated, sqlite3.DatabaseError, OSError)


def tell(error: Exception) -> int:
    """Print what is wrong and what to do next; return the exit code."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return EX_CONFIG
    code, detail, exit_code = _words(error)
    fault(code, detail)
    return exit_code


def _words(error: Exception) -> tuple[str, str, int]:
    if isinstance(error, CannotOpen):
        return error.code, error.detail, EX_OSERR
    if isinstance(error, FolderBusy):
        return "state-folder-in-use", str(error), EX_TEMPFAIL
    if isinstance(error, NotMigrated):
        return "not-migrated", str(error), EX_TEMPFAIL
    if isinstance(error, OSError):
        code, exit_code = _NO_ROOM if error.errno in (errno.ENOSPC, errno.EDQUOT) else _DISK
        where = [str(error.filename)] if error.filename else []
        return code, ": ".join([*where, error.strerror or str(error)]), exit_code
    if isinstance(error, sqlite3.OperationalError):
        code, exit_code = _BY_RESULT.get(error.sqlite_errorcode & 0xFF, _DAMAGED)
        return code, str(error), exit_code
    return _DAMAGED[0], str(error), _DAMAGED[1]
