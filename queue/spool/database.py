"""database: one SQLite file, one writer at a time, waiting writers share a commit.

Every transaction takes the lock file before BEGIN IMMEDIATE, so that two processes queue for it
(SQLite's own busy wait has a tail of 400 ms) and no checkpoint runs beside another's write.
`synchronous=FULL` in WAL mode: a COMMIT that returned is on the disk.

References: sqlite.org/wal.html, sqlite.org/pragma.html; man 2 flock.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from spool.soundness import is_damage, is_disk_fault

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Any]

#: Longest row of works that share one commit.
SHARED_MOST = 100


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection as every part of the product opens it."""
    db = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
    db.row_factory = sqlite3.Row
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "trusted_schema=OFF",
        "journal_size_limit=67108864",
    ):
        db.execute(f"PRAGMA {pragma}")
    return db


class Database:
    """The database at `path`, for all threads of this process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock_fd = os.open(
            path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
        with self._alone():
            self._writer, self._reader = connect(path), connect(path)
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._waiting: list[tuple[Work, Future[Any]]] = []
        self._waiting_lock = threading.Lock()
        #: Set once SQLite has met damage, or another file lies in this one's place.
        self.damaged = threading.Event()
        self._inode = path.stat().st_ino

    def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a transaction and return its result once that is on the disk.

        `work` may share the transaction with others' works; if it raises, only its own changes
        are undone. It must be short and touch nothing but the database.
        """
        done: Future[Result] = Future()
        with self._waiting_lock:
            self._waiting.append((work, done))
        with self._write_lock:
            while not done.done():
                self._write_waiting()
        with self._watching():
            return done.result()

    def read(self, query: str, values: Any = ()) -> list[sqlite3.Row]:
        """Return all rows of a short query; the log can be cut back as soon as it returns."""
        with self._read_lock, self._watching():
            try:
                return self._reader.execute(query, values).fetchall()
            except sqlite3.DatabaseError as fault:
                if not is_damage(fault):
                    raise
                # What this connection remembers may be what a failed write left: look at the file,
                # unless another lies in its place, or none.
                self.look()
                if self.damaged.is_set():
                    raise
                self._reader.close()
                self._reader = connect(self.path)
                return self._reader.execute(query, values).fetchall()

    def look(self) -> None:
        """Set `damaged` when the file was removed or replaced: what is written to it is lost."""
        try:
            is_there = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            is_there = False
        if not is_there:
            self.damaged.set()

    def close(self) -> None:
        """Close; the last one to close writes the log back, which only the lock's holder may."""
        with self._write_lock, self._read_lock, self._alone():
            self._reader.close()
            self._writer.close()
        os.close(self._lock_fd)

    @contextlib.contextmanager
    def alone(self) -> Iterator[Path]:
        """Keep every other writer out, for a migration; give the path."""
        with self._write_lock, self._alone():
            yield self.path

    def _write_waiting(self) -> None:
        with self._waiting_lock:
            works, self._waiting = self._waiting[:SHARED_MOST], self._waiting[SHARED_MOST:]
        outcomes: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            outcomes = self._commit(works)
        except BaseException as error:
            outcomes = [(done, None, error) for _, done in works]
        for done, result, fault in outcomes:
            if fault is None:
                done.set_result(result)
            else:
                done.set_exception(fault)

    def _commit(
        self, works: list[tuple[Work, Future[Any]]]
    ) -> list[tuple[Future[Any], Any, BaseException | None]]:
        """Do the works in one transaction; what looks like damage is looked at anew, once."""
        try:
            return self._commit_once(works)
        except sqlite3.DatabaseError as fault:
            if not is_disk_fault(fault) and not is_damage(fault):
                raise
            self._reopen()
            if not is_damage(fault):
                raise
        return self._commit_once(works)

    def _commit_once(
        self, works: list[tuple[Work, Future[Any]]]
    ) -> list[tuple[Future[Any], Any, BaseException | None]]:
        with self._alone(), self._transaction():
            return [(done, *self._attempt(work)) for work, done in works]

    def _reopen(self) -> None:
        """Begin anew after the disk failed: nothing that a connection remembers is trusted."""
        with self._read_lock, self._alone(), contextlib.suppress(sqlite3.OperationalError):
            # Where the disk still fails, the old ones stay, and the next failure tries again.
            self.look()
            if self.damaged.is_set():
                return
            fresh = connect(self.path), connect(self.path)
            for one in (self._reader, self._writer):
                one.close()
            self._writer, self._reader = fresh

    def _attempt(self, work: Work) -> tuple[Any, BaseException | None]:
        self._writer.execute("SAVEPOINT one")
        try:
            result = work(self._writer)
        except sqlite3.OperationalError:
            # The disk is full or fails. What a savepoint would bring back lies in a file on it:
            # all of the transaction is undone.
            raise
        except Exception as error:
            # The fault is its caller's, who gets it; the others' works stand.
            self._writer.execute("ROLLBACK TO one")
            self._writer.execute("RELEASE one")
            return None, error
        self._writer.execute("RELEASE one")
        return result, None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as fault:
            if is_damage(fault):
                self.damaged.set()
            raise

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
