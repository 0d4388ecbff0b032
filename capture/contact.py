"""contact: something that is down or up: the interface of all pedals and buttons.

Takes      nothing
Gives      `Edge`, one change with its moment
Raises     `Detached`: what it hung on is gone
Holds      nothing
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Detached(Exception):
    """The device was unplugged; `args[0]` names it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The contact changed."""

    at_ns: int  #: CLOCK_MONOTONIC
    is_down: bool


class Contact(Protocol):
    """One contact; `wait` is called by one thread, `interrupt` by any."""

    def wait(self, timeout_s: float) -> Iterable[Edge]:
        """Give the changes that came within that time, as soon as one comes.

        Raises
        ------
        Detached
        """
        ...

    def interrupt(self) -> None:
        """End a `wait`."""
        ...

    def close(self) -> None: ...
