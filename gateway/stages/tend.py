"""tend: the spool looks after itself, slowly and in the background.

Takes      the time that went by; the file whose last check is the longest ago
Gives      trusted time written down, a daily copy of the database, checked files
Defers     the daily copy while there is no room for it
Holds      gave-up: what waited for longer than `forward.give_up_days`; damaged: what a failing
           disk has changed
Repeats    each of these is done again at the next turn
Logs       gave-up, damaged, backed-up, not-backed-up, room
"""

import sqlite3
import time
from pathlib import Path

from gateway import logs
from gateway.config.model import Settings
from gateway.worker import Loop
from spool import backups
from spool.rows import WAIT_MOST_S
from spool.store import Spool

WHO = "tend"
TURN_S = 5.0
DAY_S = 86400.0
#: Each check writes a row: many small files must not wear out a card.
REST_LEAST_S = 0.05
#: A copy that failed is tried again so often.
BACK_UP_AGAIN_S = 600.0


class Tend:
    """One turn looks at everything, at most every `TURN_S`, and checks at most one file."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings, self._spool, self._level = settings, spool, ""
        self._look_at = self._check_at = self._back_up_at = 0.0  #: monotonic seconds

    def turn(self) -> float:
        """Look after the spool; return the seconds until the next look."""
        if time.monotonic() >= self._look_at:
            self._look()
            self._look_at = time.monotonic() + TURN_S
        if time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + self._scrub()
        return max(0.0, min(self._look_at, self._check_at) - time.monotonic())

    def _look(self) -> None:
        self._spool.database.look()
        self._spool.ageing.tick()
        self._spool.ageing.follow_clock(self._longest_s())
        self._look_at_room()
        held = self._spool.ageing.give_up(self._settings.forward.give_up_days * DAY_S)
        if held:
            logs.error(WHO, "gave-up", deliveries=held)
        if time.monotonic() >= self._back_up_at:
            self._back_up()

    def _longest_s(self) -> float:
        """Return the longest that anything waits before it is tried again."""
        return max([WAIT_MOST_S, *(one.retry_most_s for one in self._settings.destination)])

    def _look_at_room(self) -> None:
        self._spool.room.keep_reserve()
        level = self._spool.room.measure().level
        if level != self._level:
            (logs.info if level == "ok" else logs.warning)(WHO, "room", level=level)
            self._level = level
            self._spool.ring("retire")

    def _back_up(self) -> None:
        if self._level == "refuse":
            return
        folder: Path = self._spool.state_dir / "backup"
        try:
            made = backups.daily(self._spool.database, folder, self._spool.clock.utc())
        except (OSError, sqlite3.OperationalError) as fault:  # no room: the others go on
            self._back_up_at = time.monotonic() + BACK_UP_AGAIN_S
            logs.warning(WHO, "not-backed-up", fault=fault)
            return
        if made:
            logs.info(WHO, "backed-up", copy=made.name)

    def _scrub(self) -> float:
        """Check one file; return how long to rest at the pace that is allowed."""
        scrub = self._settings.scrub
        checked = self._spool.scrubbing.check_next(scrub.days * DAY_S)
        if checked is None:
            return TURN_S
        if checked.damage:
            logs.error(
                WHO,
                "damaged",
                instance=checked.instance_id,
                blob=checked.blob,
                part=checked.damage,
            )
        rest_s = checked.bytes / scrub.bytes_per_s if scrub.bytes_per_s else TURN_S
        return max(rest_s, REST_LEAST_S)


def parts(settings: Settings, spool: Spool) -> list[Loop]:
    """Return the one loop of this stage."""
    return [Loop(WHO, Tend(settings, spool).turn, spool.doorbell(WHO))]
