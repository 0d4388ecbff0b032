"""pedal: one pedal, watched from its plug to its presses.

Takes      how to open its contact, and what its presses mean
Gives      `Pressed` for each press, `Attached` and `Lost` as its cable comes and goes
Holds      nothing
Repeats    a pedal that was unplugged is looked for at each hint of the kernel, and every `LOOK_S`

It runs in a thread of its own: a serial server that hangs keeps no other pedal waiting. What it
tells, it tells in the order in which it happened; nothing is told twice.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from capture.contact import Contact, Detached
from capture.press import Meaning, Press, Presses

LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class Pressed:
    pedal: str
    press: Press


@dataclass(frozen=True, slots=True)
class Attached:
    pedal: str


@dataclass(frozen=True, slots=True)
class Lost:
    pedal: str
    why: str  #: technical


Told = Pressed | Attached | Lost


class Pedal:
    """`run` until `stop`.

    Parameters
    ----------
    opener
        Returns the open contact; raises OSError or `Detached` while it is not there.
    tell
        Is called in the pedal's thread, with what happened.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], Contact],
        meaning: Meaning,
        tell: Callable[[Told], None],
    ) -> None:
        self.name, self._opener, self._meaning, self._tell = name, opener, meaning, tell
        self._stopping, self._hint = False, threading.Event()
        self._contact: Contact | None = None
        self._lost_why: str | None = None

    def run(self) -> None:
        while not self._stopping:
            try:
                contact = self._opener()
            except (OSError, Detached) as fault:
                self._say_lost(str(fault))
                self._hint.wait(LOOK_S)
                self._hint.clear()
                continue
            self._contact, self._lost_why = contact, None
            self._tell(Attached(self.name))
            self._watch(contact)

    def look_again(self) -> None:
        """Something was plugged in: it may be this one."""
        self._hint.set()

    def stop(self) -> None:
        self._stopping = True
        self._hint.set()
        if contact := self._contact:
            contact.interrupt()

    def _watch(self, contact: Contact) -> None:
        presses = Presses(self._meaning)
        try:
            while not self._stopping:
                self._tell_all(presses.tick(time.monotonic_ns()))
                for edge in contact.wait(_left_s(presses.due_ns())):
                    self._tell_all(presses.edge(edge.at_ns, is_down=edge.is_down))
        except (OSError, Detached) as fault:
            self._tell_all(presses.gone(time.monotonic_ns()))
            self._say_lost(str(fault))
        finally:
            self._contact = None
            contact.close()

    def _tell_all(self, presses: list[Press]) -> None:
        for press in presses:
            self._tell(Pressed(self.name, press))

    def _say_lost(self, why: str) -> None:
        if self._lost_why is None:
            self._lost_why = why
            self._tell(Lost(self.name, why))


def _left_s(due_ns: int | None) -> float:
    return LOOK_S if due_ns is None else max(0.0, min(LOOK_S, (due_ns - time.monotonic_ns()) / 1e9))
