"""breakers: what is known of each destination as a whole.

While a breaker is open its destination is away and nothing is claimed for it; when it closes, what
waited is due at once. It stands in the database, so that `status` can tell while nothing runs.
"""

from dataclasses import dataclass

from spool.clock import Clock
from spool.database import Database


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one destination; `failures` counts those in a row."""

    state: str = "closed"  #: closed, open, probing
    failures: int = 0
    next_try_at: float = 0.0  #: UTC seconds
    error_code: str = ""
    error_text: str = ""


class Breakers:
    """Read and write the breakers."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def get(self, destination: str) -> Breaker:
        """Return what is known; a destination never tried is closed."""
        return self.all().get(destination, Breaker())

    def all(self) -> dict[str, Breaker]:
        """Return every destination that was ever tried."""
        return {
            row[0]: Breaker(*row[1:]) for row in self._database.read("SELECT * FROM destination")
        }

    def put(self, destination: str, breaker: Breaker) -> None:
        """Write what is known of the destination."""
        self._database.write(
            lambda db: db.execute(
                "INSERT INTO destination (name, breaker, failures, next_try_at, error_code,"
                " error_text) VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
                " breaker = excluded.breaker, failures = excluded.failures,"
                " next_try_at = excluded.next_try_at, error_code = excluded.error_code,"
                " error_text = excluded.error_text",
                (
                    destination,
                    breaker.state,
                    breaker.failures,
                    breaker.next_try_at,
                    breaker.error_code,
                    breaker.error_text,
                ),
            )
        )

    def make_due(self, destination: str, *, spread_s: float) -> None:
        """Make what waits because the destination was away due at once, spread over `spread_s`.

        What failed for itself keeps its own wait.
        """
        now = self._clock.utc()
        self._database.write(
            lambda db: db.execute(
                "UPDATE delivery SET away = 0, not_before = ? + ? * (id % 16) / 16.0"
                " WHERE destination = ? AND state = 'queued' AND away = 1",
                (now, spread_s, destination),
            )
        )
