"""worker: the one loop that every stage turns in.

A stage gives a `turn`: it claims one due item, works, moves it, and returns how long there is
nothing to do (0: there may be more). Between turns the loop waits on the stage's doorbell.

Defers     everything while the database cannot write, since the disk is full or fails: what a turn
           had claimed is given back, and it goes on by itself when the disk does
Logs       cannot-write
"""

import sqlite3
import threading
from collections.abc import Callable
from typing import Protocol

from gateway import logs
from gateway.backoff import backoff_s
from spool.doorbell import Doorbell
from spool.soundness import is_damage

#: A lost ring costs this long, never an item.
POLL_S = 5.0
CANNOT_FIRST_S, CANNOT_MOST_S = 0.5, POLL_S


class Part(Protocol):
    """Something that runs in a thread of its own until it is told to stop."""

    name: str

    def run(self) -> None:
        """Work until stopped; an exception ends the process, which is then started anew."""

    def stop(self) -> None:
        """Finish what is being done, take nothing new."""

    def kill(self) -> None:
        """Break off what is being done and give it back."""


class Bell(Protocol):
    """What a loop waits on between its turns."""

    def wait(self, limit_s: float) -> None:
        """Return when rung, interrupted, or after `limit_s` seconds."""

    def interrupt(self) -> None:
        """Make this and every later `wait` return at once."""

    def close(self) -> None:
        """Be rung no more."""


class SharedBell:
    """One doorbell for several loops: a ring wakes all that wait. It closes with the last."""

    def __init__(self, bell: Doorbell, loops: int) -> None:
        self._bell, self._loops, self._lock = bell, loops, threading.Lock()
        self.wait, self.interrupt = bell.wait, bell.interrupt

    def close(self) -> None:
        with self._lock:
            self._loops -= 1
            if self._loops == 0:
                self._bell.close()


class Loop:
    """A part that turns.

    Parameters
    ----------
    break_off
        Called by `kill`, to interrupt a turn that waits.
    give_back
        Ends the claims of turns that could not write what became of them.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], float],
        bell: Bell,
        *,
        close: Callable[[], None] = lambda: None,
        break_off: Callable[[], None] = lambda: None,
        give_back: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self._turn, self._bell = name, turn, bell
        self._close, self._break_off, self._give_back = close, break_off, give_back
        self._stopping, self._failures = threading.Event(), 0

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                wait_s = self._guarded_turn()
                if wait_s > 0 and not self._stopping.is_set():
                    self._bell.wait(min(wait_s, POLL_S))
        finally:
            self._close()
            self._bell.close()

    def _guarded_turn(self) -> float:
        try:
            if self._failures:
                self._give_back()
            wait_s = self._turn()
        except (sqlite3.OperationalError, OSError) as fault:
            if isinstance(fault, sqlite3.Error) and is_damage(fault):
                raise
            self._failures += 1
            if self._failures == 1:
                logs.error(self.name, "cannot-write", fault=fault)
            return backoff_s(self._failures, CANNOT_FIRST_S, CANNOT_MOST_S)
        self._failures = 0
        return wait_s

    def stop(self) -> None:
        self._stopping.set()
        self._bell.interrupt()

    def kill(self) -> None:
        self._break_off()
