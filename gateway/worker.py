"""worker: the one loop that every stage turns in.

A stage gives a `turn`: it claims one due item, works, moves it, and returns how long there is
nothing to do (0: there may be more). Between turns the loop waits on the stage's doorbell.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from spool.doorbell import Doorbell

#: A lost ring costs this long, never an item.
POLL_S = 5.0


class Part(Protocol):
    """Something that runs in a thread of its own until it is told to stop."""

    name: str

    def run(self) -> None:
        """Work until stopped; an exception ends the process, which is then started anew."""

    def stop(self) -> None:
        """Finish what is being done, take nothing new."""

    def kill(self) -> None:
        """Break off what is being done and give it back."""


class Loop:
    """A part that turns. `break_off` is called by `kill`, to interrupt a turn that waits."""

    def __init__(
        self,
        name: str,
        turn: Callable[[], float],
        bell: Doorbell,
        *,
        close: Callable[[], None] = lambda: None,
        break_off: Callable[[], None] = lambda: None,
    ) -> None:
        self.name, self._turn, self._bell = name, turn, bell
        self._close, self._break_off = close, break_off
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                wait_s = self._turn()
                if wait_s > 0 and not self._stopping.is_set():
                    self._bell.wait(min(wait_s, POLL_S))
        finally:
            self._close()
            self._bell.close()

    def stop(self) -> None:
        self._stopping.set()
        self._bell.interrupt()

    def kill(self) -> None:
        self._break_off()
