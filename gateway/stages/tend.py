"""tend: the spool looks after itself, slowly and in the background.

Takes      the time that went by; the file whose last check is the longest ago
Gives      trusted time written down, a daily copy of the database, checked files
Holds      gave-up: what waited for longer than `forward.give_up_days`; damaged: what a failing
           disk has changed
Repeats    each of these is done again at the next turn
Logs       gave-up, damaged, backed-up, room
"""

from pathlib import Path

from gateway import logs
from gateway.config.model import Settings
from gateway.worker import Loop
from spool import backups
from spool.store import Spool

WHO = "tend"
TURN_S = 5.0
DAY_S = 86400.0


class Tend:
    """One turn looks at everything once and checks at most one file."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings, self._spool, self._level = settings, spool, ""

    def turn(self) -> float:
        """Look after the spool; return the seconds until the next look."""
        self._spool.ageing.tick()
        self._look_at_room()
        held = self._spool.ageing.give_up(self._settings.forward.give_up_days * DAY_S)
        if held:
            logs.error(WHO, "gave-up", deliveries=held)
        self._back_up()
        return self._scrub()

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
        made = backups.daily(self._spool.database, folder, self._spool.clock.utc())
        if made:
            logs.info(WHO, "backed-up", copy=made.name)

    def _scrub(self) -> float:
        """Check one file, and rest as long as it takes at the pace that is allowed."""
        scrub = self._settings.scrub
        checked = self._spool.scrubbing.check_next(self._spool.clock.utc() - scrub.days * DAY_S)
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
        return min(checked.bytes / scrub.bytes_per_s, TURN_S) if scrub.bytes_per_s else TURN_S


def parts(settings: Settings, spool: Spool) -> list[Loop]:
    """Return the one loop of this stage."""
    return [Loop(WHO, Tend(settings, spool).turn, spool.doorbell(WHO))]
