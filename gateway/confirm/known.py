"""known: what is known of how one destination answers, so that it is not asked in vain.

Takes      refusals and silence, as they are met
Gives      for how long a way of asking is shut; a way that is shut blocks no other
Repeats    a way that was shut is tried again when its time is over

It stands in the spool beside the breaker of forward, as rows `query@NAME` and so on, so that it
outlives a restart and `status` can tell it while nothing runs.
"""

import enum

from spool.breakers import Breaker
from spool.store import Spool


class Way(enum.StrEnum):
    """A way of asking."""

    ASK = "confirm"  #: whatever is asked: nobody is there
    QUERY = "query"  #: C-FIND, QIDO-RS
    COMMITMENT = "commitment"  #: N-ACTION
    READBACK = "readback"  #: C-GET, C-MOVE, WADO-RS


#: What was refused is tried again after `FIRST_S`, then after twice as long, up to these seconds:
#: it may have been one wrong answer, and somebody may set up the archive.
FIRST_S = 30.0
AGAIN_S = {Way.ASK: 3600.0, Way.QUERY: 3600.0, Way.READBACK: 3600.0, Way.COMMITMENT: 21_600.0}


class Known:
    """The ways to ask one destination."""

    def __init__(self, spool: Spool, destination: str) -> None:
        self._breakers, self._clock, self._name = spool.breakers, spool.clock, destination

    def shut_s(self, way: Way) -> float:
        """Return for how many seconds the way is not to be tried; 0: it may be."""
        row = self._row(way)
        left_s = row.next_try_at - self._clock.utc() if row.state == "open" else 0.0
        # A clock that was set back must not keep it shut for as long.
        return left_s if 0 < left_s <= AGAIN_S[way] else 0.0

    def shut(self, way: Way, code: str, text: str, again_s: float = 0.0) -> int:
        """Do not try the way for `again_s`, or longer each time; return how often in a row."""
        failures = self.failures(way) + 1
        doubled_s = FIRST_S * 2.0 ** min(failures - 1, 20)
        next_try_at = self._clock.utc() + min(again_s or doubled_s, AGAIN_S[way])
        self._put(way, Breaker("open", failures, next_try_at, code, text))
        return failures

    def failures(self, way: Way) -> int:
        """Return how often in a row the way was shut."""
        return self._row(way).failures

    def told(self, way: Way) -> tuple[str, str]:
        """Return code and text of why the way is shut."""
        row = self._row(way)
        return row.error_code, row.error_text

    def answers(self, way: Way) -> None:
        """The way leads somewhere: nothing is left of what was known."""
        if self._row(way) != Breaker():
            self._put(way, Breaker())

    def _row(self, way: Way) -> Breaker:
        return self._breakers.get(f"{way}@{self._name}")

    def _put(self, way: Way, row: Breaker) -> None:
        self._breakers.put(f"{way}@{self._name}", row)
