"""retire: ready -> retired, and the trash emptied; the room that this gives.

Takes      instances whose deliveries are as firm as their destinations ask, for `retain.days`
Gives      retired: the bytes go, hash and history stay
Defers     while a whole backup copies the files
Holds      nothing
Repeats    the row moves before its file goes; what a crash left is removed at the start
Logs       retired, emptied, trimmed

On the rungs `trim` and `refuse` received bytes go that a proved lossless rendition can give back,
then what is settled, the oldest first, whatever its age.
"""

from gateway import logs
from gateway.config.model import Settings
from gateway.worker import Loop
from spool.errors import FolderBusy
from spool.store import FILES, Spool

WHO = "retire"
TURN_S = 60.0
DAY_S = 86400.0
#: While room is short only so many go at once: what is free is measured again in between.
EARLY_MOST = 50


class Retire:
    """One turn frees what may go."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._retain, self._spool = settings.retain, spool

    def turn(self) -> float:
        """Free what may go; return the seconds until the next look."""
        try:
            alone = self._spool.lock(FILES)
        except FolderBusy:
            return TURN_S  # a backup copies the files
        try:
            freed = self._by_age() + self._by_room()
        finally:
            alone.release()
        return 0.0 if freed else TURN_S

    def _by_age(self) -> int:
        retired = self._spool.retiring.retire(self._retain.days * DAY_S)
        emptied = self._spool.retiring.empty_trash(self._retain.trash_days * DAY_S)
        if retired or emptied:
            logs.info(WHO, "retired", instances=retired, from_trash=emptied)
        return retired + emptied

    def _by_room(self) -> int:
        if self._spool.room.measure().level not in ("trim", "refuse"):
            return 0
        freed = self._spool.retiring.trim(most=EARLY_MOST)
        if not freed:
            freed = self._spool.retiring.retire(0, most=EARLY_MOST)
        if freed:
            logs.warning(WHO, "trimmed", files=freed)
        return freed


def parts(settings: Settings, spool: Spool) -> list[Loop]:
    """Return the one loop of this stage."""
    return [Loop(WHO, Retire(settings, spool).turn, spool.doorbell(WHO))]
