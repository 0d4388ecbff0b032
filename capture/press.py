"""press: what a foot meant: a short, a long or a double press, out of the edges of a contact.

Takes      edges (down or up, at a moment of CLOCK_MONOTONIC, ns), and the passing of time
Gives      `Press` once for each press of the foot; a contact that bounces is one press
Holds      nothing
Repeats    nothing: every press is told exactly once, also one that never ends (`STUCK`)

A press is told as soon as it can be known: at once where neither long nor double mean anything, so
that nobody waits; else at the release, at the end of `long_ns`, or at the end of `double_ns`.
`pressed_at_ns` is the moment at which the foot came down, whenever it is told.
"""

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What was done with a pedal."""

    SHORT = "short"
    LONG = "long"
    DOUBLE = "double"
    STUCK = "stuck"  #: down for so long that nobody can mean it; its press was told before


@dataclass(frozen=True, slots=True)
class Press:
    """One press, told once."""

    kind: Kind
    pressed_at_ns: int
    held_ns: int = 0  #: 0: it is not released yet


@dataclass(frozen=True, slots=True)
class Meaning:
    """What is told apart, and by which times."""

    has_long: bool = False
    has_double: bool = False
    long_ns: int = 800_000_000
    double_ns: int = 400_000_000  #: from the first press down to the second
    debounce_ns: int = 25_000_000  #: a change that does not last so long is a bounce
    stuck_ns: int = 60_000_000_000


class Presses:
    """One contact. Feed it each edge in order, and `tick` when `due_ns` has come."""

    def __init__(self, meaning: Meaning = Meaning()) -> None:  # it is frozen
        self._meaning = meaning
        self._is_down, self._down_at, self._up_at = False, 0, 0
        self._changed_at = -(10**18)
        self._waits_for_second = False  #: a short press that may become a double one
        self._told, self._told_stuck = True, False

    def due_ns(self) -> int | None:
        """Return when `tick` has something to tell, if no edge comes before; None: never."""
        by, times = self._meaning, []
        if self._is_down:
            if not self._told_stuck:
                times.append(self._down_at + by.stuck_ns)
            if not self._told and by.has_long:
                times.append(self._down_at + by.long_ns)
        elif self._waits_for_second:
            times.append(self._down_at + by.double_ns)
        return min(times, default=None)

    def edge(self, at_ns: int, *, is_down: bool) -> list[Press]:
        """Take an edge; return what is known by it.

        The first change counts at once; what follows within `debounce_ns` is bounce, and where it
        leaves the contact other than it was, the edge that comes later or `settle` says so.
        """
        found = self.tick(at_ns)
        if is_down == self._is_down or at_ns - self._changed_at < self._meaning.debounce_ns:
            return found
        self._changed_at, self._is_down = at_ns, is_down
        return found + (self._came_down(at_ns) if is_down else self._went_up(at_ns))

    def settle(self, at_ns: int, *, is_down: bool) -> list[Press]:
        """Take the contact's state as it is after the bounces: to be called once they are over."""
        if is_down == self._is_down:
            return self.tick(at_ns)
        return self.edge(max(at_ns, self._changed_at + self._meaning.debounce_ns), is_down=is_down)

    def tick(self, now_ns: int) -> list[Press]:
        """Return what the passing of time has decided."""
        by, found = self._meaning, list[Press]()
        held = now_ns - self._down_at
        if self._is_down and not self._told and by.has_long and held >= by.long_ns:
            self._told = True
            found.append(Press(Kind.LONG, self._down_at))
        if self._is_down and not self._told_stuck and held >= by.stuck_ns:
            self._told_stuck = True
            found += [] if self._told else [Press(Kind.SHORT, self._down_at)]
            self._told = True
            found.append(Press(Kind.STUCK, self._down_at, held))
        if not self._is_down and self._waits_for_second and held >= by.double_ns:
            found.append(self._end_waiting())
        return found

    def gone(self, at_ns: int) -> list[Press]:
        """The pedal was unplugged: a press that is going on ends here."""
        found = self.tick(at_ns)
        if self._is_down:
            self._is_down, self._changed_at = False, at_ns
            found += self._went_up(at_ns)
        return found + ([self._end_waiting()] if self._waits_for_second else [])

    def _came_down(self, at_ns: int) -> list[Press]:
        if self._waits_for_second:
            first, self._waits_for_second = self._down_at, False
            self._down_at, self._told, self._told_stuck = at_ns, True, False
            return [Press(Kind.DOUBLE, first, at_ns - first)]
        self._down_at, self._told, self._told_stuck = at_ns, False, False
        if self._meaning.has_long or self._meaning.has_double:
            return []
        self._told = True
        return [Press(Kind.SHORT, at_ns)]

    def _went_up(self, at_ns: int) -> list[Press]:
        self._up_at = at_ns
        if self._told:
            return []
        self._told = True
        if self._meaning.has_double and at_ns - self._down_at < self._meaning.double_ns:
            self._waits_for_second = True
            return []
        return [Press(Kind.SHORT, self._down_at, at_ns - self._down_at)]

    def _end_waiting(self) -> Press:
        self._waits_for_second = False
        return Press(Kind.SHORT, self._down_at, self._up_at - self._down_at)
