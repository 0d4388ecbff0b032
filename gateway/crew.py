"""crew: the parts of one process, a thread each, from their start to their end.

SIGTERM and SIGINT end it: every part finishes what ends within 20 s and gives back the rest. A part
that ends by an exception ends the process, and a supervisor (ours, or systemd) starts it anew. So
does a damaged database, with a code of its own: whoever starts first, alone, repairs it.
"""

import threading
import time
from collections.abc import Callable

from gateway import logs, notify
from gateway.processes import EX_DAMAGED
from gateway.worker import Part

FINISH_S = 20.0
EX_OK, EX_SOFTWARE = 0, 70
#: How often it is looked whether the database was found damaged.
LOOK_S = 1.0


class Crew:
    """The threads of one process; the main thread watches over them and feeds the watchdog.

    Parameters
    ----------
    look
        Finds out whether the database is still the one that was opened, and sets `damaged` if not:
        a process that has nothing to write would not notice.
    """

    def __init__(
        self,
        parts: list[Part],
        ended: threading.Event,
        damaged: threading.Event,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._parts, self._ended, self._damaged, self._look = parts, ended, damaged, look
        self._broken: list[str] = []
        self._threads = [
            threading.Thread(target=self._guard, args=(part,), name=part.name, daemon=True)
            for part in parts
        ]

    def work(self) -> int:
        for thread in self._threads:
            thread.start()
        notify.tell("READY=1")
        while not self._ended.wait(min(notify.watchdog_s() or LOOK_S, LOOK_S)):
            self._look()
            if self._damaged.is_set():
                break
            notify.tell("WATCHDOG=1")
        notify.tell("STOPPING=1")
        self._stop()
        if self._damaged.is_set():
            logs.error("run", "database-damaged")
            return EX_DAMAGED
        return EX_SOFTWARE if self._broken else EX_OK

    def _guard(self, part: Part) -> None:
        try:
            part.run()
        except Exception as fault:
            self._broken.append(part.name)
            where = fault.__traceback__
            while where and where.tb_next:
                where = where.tb_next
            # Type and place only: the text of an exception may hold what a peer sent.
            place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
            logs.error(part.name, "broken", fault=type(fault).__name__, place=place)
            self._ended.set()

    def _stop(self) -> None:
        for part in self._parts:
            part.stop()
        deadline = time.monotonic() + FINISH_S
        self._join(deadline)
        for part in self._parts:
            part.kill()
        self._join(time.monotonic() + 3)
        left = [thread.name for thread in self._threads if thread.is_alive()]
        logs.info("run", "stopped", left=",".join(left))

    def _join(self, deadline: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
