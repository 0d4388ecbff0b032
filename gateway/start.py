"""start: the state folder, opened: sound, migrated, and its locks taken.

Takes      the settings
Gives      the spool; whoever is first has reconciled files and rows
Holds      what the repair of the spool holds
Repeats    a start that was cut off begins anew
Logs       restored, reconciled, and each incident by its code
"""

import os
import signal
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gateway import logs
from gateway.config.model import Settings
from gateway.processes import STAGES
from spool.lock import Lock, holder_of, is_held
from spool.repair import Incident, Reconciled, ensure_database
from spool.room import Bounds, make_way
from spool.store import START, Spool, lock_path
from spool.whole import finish_restore


class CannotOpen(Exception):
    """The state folder or a door cannot be opened; `code` is stable, `detail` technical."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


@contextmanager
def start(settings: Settings, locks: Sequence[str] = ()) -> Iterator[Spool]:
    """Give the spool, sound and migrated, with `locks` held; close it at the end.

    Whoever is first reconciles files and rows; nobody begins to work before that is done.

    Raises
    ------
    FolderBusy
        Another process holds one of the locks.
    CannotOpen
    """
    state_dir = settings.gateway.state_dir
    with ExitStack() as closing:
        with starting(state_dir):
            first = not any(is_held(lock_path(state_dir, one)) for one in ("gateway", *STAGES))
            make_way(state_dir)
            incidents = _recover(state_dir) if first else []
            spool = open_spool(settings)
            closing.callback(spool.close)
            spool.migrate()
            spool.room.keep_reserve()
            if first:
                _reconcile(spool, incidents)
            for name in locks:
                closing.callback(spool.lock(name).release)
        yield spool


@contextmanager
def starting(state_dir: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep every start away, as the user to whom the state folder belongs.

    Parameters
    ----------
    shared
        Others that do not start may do the same.

    Raises
    ------
    CannotOpen
    """
    try:
        _become_owner(state_dir)
        alone = Lock(lock_path(state_dir, START), waits=True, shared=shared)
    except OSError as fault:
        raise CannotOpen("state-folder", f"{fault.filename}: {fault.strerror}") from fault
    try:
        yield
    finally:
        alone.release()


def _recover(state_dir: Path) -> list[Incident]:
    try:
        if finish_restore(state_dir, time.time()):
            logs.info("run", "restored")
        return ensure_database(state_dir, time.time())
    except (OSError, sqlite3.OperationalError) as fault:  # no room: nothing is said of the rest
        raise CannotOpen("state-folder", str(fault)) from fault


def _reconcile(spool: Spool, incidents: list[Incident]) -> None:
    for incident in incidents:
        logs.error("run", incident.code, detail=incident.detail)
    done = spool.repair.reconcile(incidents)
    if done != Reconciled():
        logs.warning(
            "run",
            "reconciled",
            taken_in=done.taken_in,
            attached=done.attached,
            removed=done.removed,
            missing=done.missing,
            damaged=len(done.damaged),
        )


def end_others(state_dir: Path, own: Sequence[str]) -> None:
    """Ask every other process of this state folder to end (SIGTERM), as a supervisor would.

    Under systemd there is none: the units start anew, and whoever is alone then repairs.
    """
    if is_held(lock_path(state_dir, "gateway")):
        return
    holders = {holder_of(lock_path(state_dir, one)) for one in STAGES if one not in own}
    for process_id in filter(None, holders):
        with suppress(ProcessLookupError, PermissionError):  # it ended, or systemd sees to it
            os.kill(process_id, signal.SIGTERM)


def open_spool(settings: Settings) -> Spool:
    """Return the spool of these settings, as the user to whom the state folder belongs.

    Raises
    ------
    CannotOpen
        `state-folder`: it cannot be made, read or written.
    """
    state_dir = settings.gateway.state_dir
    run_dir = Path(os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or state_dir / "run")
    try:
        _become_owner(state_dir)
        make_way(state_dir)
        return Spool(state_dir, run_dir, bounds=_bounds(settings))
    except OSError as fault:
        raise CannotOpen("state-folder", f"{fault.filename}: {fault.strerror}") from fault


def _bounds(settings: Settings) -> Bounds:
    room = settings.room
    return Bounds(room.warn_bytes, room.trim_bytes, room.reserve_bytes)


def _become_owner(state_dir: Path) -> None:
    """Drop root's rights for the owner's: files that root leaves there nobody else could send."""
    if os.geteuid() != 0 or not state_dir.exists():
        return
    facts = state_dir.stat()
    if facts.st_uid:
        os.setgroups([])
        os.setgid(facts.st_gid)
        os.setuid(facts.st_uid)
