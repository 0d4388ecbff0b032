"""copying: a whole backup of the spool, and its way back.

Takes      the settings, the spool, a folder
Gives      a folder that holds all of it; a state folder that holds all of such a folder
Holds      nothing; retiring waits while files are copied
Repeats    what was cut off is removed, or worth nothing, and can be done again
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.config.model import Settings
from gateway.processes import STAGES
from gateway.start import start, starting
from spool.blobs import NO_ROOM
from spool.errors import FolderBusy
from spool.lock import is_held
from spool.store import FILES, Spool, lock_path
from spool.whole import Copied, NotABackup, NotEmpty, Told, restore_whole, write_whole


class CannotCopy(Exception):
    """The backup or the restore did not come about; `code` is stable, `detail` technical."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


def back_up(spool: Spool, target: Path, told: Told) -> Copied:
    """Write database and files, consistent with one another, while the gateway runs.

    Parameters
    ----------
    target
        A new or an empty folder outside of the state folder; empty again when this fails.

    Raises
    ------
    CannotCopy
        `folder-inside`, `folder-not-empty`, `folder-unusable`, `folder-full`
    """
    with _named_faults(target):
        _must_be_fit(target, spool.state_dir)
        files = spool.lock(FILES, waits=True, shared=True)
        try:
            return write_whole(spool.database, spool.blobs, target, told)
        except BaseException:
            _empty(target)
            raise
        finally:
            files.release()


def restore(settings: Settings, source: Path, told: Told) -> Copied:
    """Put a whole backup into the empty state folder of `settings`, and reconcile it.

    Raises
    ------
    CannotCopy
        `not-a-backup`, `state-folder-not-empty`, `folder-unusable`, `folder-full`: nothing of it
        is in force.
    FolderBusy
        The gateway runs.
    """
    state_dir = settings.gateway.state_dir
    with starting(state_dir), _named_faults(state_dir):
        _must_not_run(state_dir)
        copied = restore_whole(source, state_dir, told)
    with start(settings) as spool:
        spool.incidents.write_down("restored", str(copied.blobs))
    return copied


def _must_be_fit(target: Path, state_dir: Path) -> None:
    if target.resolve().is_relative_to(state_dir.resolve()):
        raise CannotCopy("folder-inside", str(target))
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise CannotCopy("folder-not-empty", str(target))


def _must_not_run(state_dir: Path) -> None:
    for name in ("gateway", *STAGES):
        if is_held(lock_path(state_dir, name)):
            raise FolderBusy(name)


def _empty(folder: Path) -> None:
    """Remove what was begun in a folder that was empty."""
    for one in folder.iterdir():
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink()


@contextmanager
def _named_faults(folder: Path) -> Iterator[None]:
    """Say what is wrong with the folder that is written to."""
    try:
        yield
    except NotABackup as fault:
        raise CannotCopy("not-a-backup", str(fault)) from fault
    except NotEmpty as fault:
        raise CannotCopy("state-folder-not-empty", str(fault)) from fault
    except sqlite3.OperationalError as fault:
        is_full = fault.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
        raise CannotCopy(_code(is_full=is_full), f"{folder}: {fault}") from fault
    except OSError as fault:
        is_full = fault.errno in NO_ROOM
        where = fault.filename2 or fault.filename or folder
        raise CannotCopy(_code(is_full=is_full), f"{where}: {fault.strerror}") from fault


def _code(*, is_full: bool) -> str:
    return "folder-full" if is_full else "folder-unusable"
