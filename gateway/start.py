"""start: the state folder, opened: sound, migrated, and its locks taken.

Takes      the settings
Gives      the spool; whoever is first has reconciled files and rows
Holds      what the repair of the spool holds
Repeats    a start that was cut off begins anew
Logs       reconciled, and each incident by its code
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway import logs
from gateway.config.model import Settings
from gateway.processes import STAGES
from spool.lock import Lock, is_held
from spool.repair import Incident, Reconciled, ensure_database
from spool.room import Bounds
from spool.store import START, Spool, lock_path


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
        with _starting(state_dir):
            first = not any(is_held(lock_path(state_dir, one)) for one in ("gateway", *STAGES))
            incidents = ensure_database(state_dir, time.time()) if first else []
            spool = open_spool(settings)
            closing.callback(spool.close)
            spool.migrate()
            if first:
                _reconcile(spool, incidents)
            for name in locks:
                closing.callback(spool.lock(name).release)
        yield spool


@contextmanager
def _starting(state_dir: Path) -> Iterator[None]:
    try:
        _become_owner(state_dir)
        alone = Lock(lock_path(state_dir, START), waits=True)
    except OSError as fault:
        raise CannotOpen("state-folder", f"{fault.filename}: {fault.strerror}") from fault
    try:
        yield
    finally:
        alone.release()


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
