"""outage: what is known of a destination as a whole: its breaker, its last failure, its stand-in.

Takes      what an attempt or a probe met
Gives      when to ask again; what waits for a destination that nobody configures any more
Defers     everything for this destination while its breaker is open
Holds      nothing
Repeats    failing over, at each look, with what has come meanwhile; nothing is doubled by that
Logs       away, back, stands-in, stands-down

When nothing has come through for `fallback_after_s`, what waits here is sent to `fallback` as well.
Nothing leaves the queue of the first for that: when its archive takes something again, it gets all
of it too ("send-too"), or only what the other does not have by then ("keep-there"). Since when it
has been away, and who stands in, stand in the spool: a restart does not begin it anew.
"""

from gateway import logs
from gateway.backoff import backoff_s
from gateway.config.model import Destination, Settings
from spool.breakers import Breaker
from spool.store import Spool

#: When an archive is back, what waited for it is due within this, not at once.
SPREAD_S = 2.0
#: While another stands in, it is handed what has come meanwhile so often: to find that out among a
#: million deliveries takes seconds.
HAND_EACH_S = 20.0
#: A fact, by the destination's name: trusted seconds since which nothing has come through.
AWAY_SINCE = "away-since:"


class Outage:
    """The breaker of one destination; `who` signs in the log."""

    def __init__(self, spool: Spool, destination: Destination, who: str) -> None:
        self._spool, self._destination, self._who = spool, destination, who
        self._name = destination.name
        self._handed_at = 0.0  #: seconds of the boot

    def open(self, code: str, text: str, failures: int, asked_s: float = 0.0) -> None:
        """Call nobody there for a while: longer at each failure, and as long as it asked for."""
        wait_s = backoff_s(failures, 1.0, self._destination.probe_most_s)
        wait_s = max(wait_s, min(asked_s, self._destination.retry_most_s))
        next_try_at = self._spool.clock.utc() + wait_s
        self._spool.breakers.put(self._name, Breaker("open", failures, next_try_at, code, text))
        if failures == 1:
            logs.warning(self._who, "away", code=code, detail=text)

    def wait_s(self, breaker: Breaker) -> float:
        """Return how long it is still left alone."""
        wait_s = breaker.next_try_at - self._spool.clock.utc()
        # A clock that was set back must not keep a destination away for as long.
        longest_s = max(self._destination.probe_most_s, self._destination.retry_most_s)
        return wait_s if wait_s <= longest_s else 0.0

    def end(self, breaker: Breaker) -> None:
        """Let what waits go on; what it last failed with is told until it takes something."""
        told = Breaker(error_code=breaker.error_code, error_text=breaker.error_text)
        self._spool.breakers.put(self._name, told)
        self._spool.breakers.make_due(self._name, spread_s=SPREAD_S)
        logs.info(self._who, "back", failures=breaker.failures)
        self._spool.ring(self._who)

    def tell(self, code: str, text: str, wait_s: float) -> None:
        """Let `status` name the last failure and the next try; nothing else is kept from going."""
        if self._spool.breakers.get(self._name).state == "closed":
            next_try_at = self._spool.clock.utc() + wait_s
            told = Breaker(next_try_at=next_try_at, error_code=code, error_text=text)
            self._spool.breakers.put(self._name, told)

    def forget(self) -> None:
        """Nothing is left of the last failure: a delivery has come to an end."""
        breaker = self._spool.breakers.get(self._name)
        if breaker.error_code and breaker.state == "closed":
            self._stand_down()
            self._spool.breakers.put(self._name, Breaker())

    def fail_over(self) -> None:
        """Have the fallback stand in, where it is time; hand it what has come meanwhile."""
        other = self._destination.fallback
        if not other or not self._is_long():
            return
        is_new = self._spool.operating.stands_in(self._name) != other
        now_s = self._spool.clock.boottime()
        if not is_new and now_s < self._handed_at + HAND_EACH_S:
            return
        met = self._spool.operating.stand_in(self._name, other)
        self._handed_at = now_s
        if is_new:
            logs.warning(self._who, "stands-in", destination=other, deliveries=met)
        if met:
            self._spool.ring(f"forward@{other}")

    def _is_long(self) -> bool:
        """Tell whether it has been away for long enough, in trusted time; write down since when."""
        now_s = self._spool.ageing.tick()
        since_s = self._away_since()
        if not since_s:
            self._spool.facts.put(AWAY_SINCE + self._name, str(now_s))
            return False
        return now_s - float(since_s) >= self._destination.fallback_after_s

    def _stand_down(self) -> None:
        other = self._spool.operating.stands_in(self._name)
        if other:
            rule = self._destination.fallback_back
            left = self._spool.operating.stand_down(self._name, other, rule)
            logs.info(self._who, "stands-down", destination=other, cancelled=left)
        if self._away_since():
            self._spool.facts.forget(AWAY_SINCE + self._name)

    def _away_since(self) -> str:
        return self._spool.facts.all(AWAY_SINCE + self._name).get("", "")


def stranded(settings: Settings, spool: Spool) -> dict[str, dict[str, int]]:
    """Return, for each destination that is not configured any more, what still waits for it."""
    configured = {one.name for one in settings.destination}
    found = {}
    for name, counts in spool.counting.deliveries().items():
        if name in configured:
            continue
        left = {state: counts[state] for state in ("queued", "held") if counts.get(state)}
        if unconfirmed := spool.confirming.waiting(name)[0]:
            left["sent"] = unconfirmed
        if left:
            found[name] = left
    return found
