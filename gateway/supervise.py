"""supervise: one process each for intake and work, started anew when one ends.

A process that ends at once again waits longer each time. All end with the supervisor, however it
ends; and all end when one has found the database damaged, for its repair needs a start that is
alone. Under systemd the units do this instead.
"""

import signal
import subprocess
import sys
import threading
import time

from gateway import logs, notify
from gateway.config.model import Settings
from gateway.processes import EX_DAMAGED, PROCESSES, STAGES
from spool.errors import FolderBusy
from spool.store import Spool

#: A process has 20 s to finish, and some to end.
FINISH_S = 25.0
RESTART_FIRST_S, RESTART_MOST_S = 1.0, 30.0
#: Who lived for so long did not end at once.
LIVED_S = 60.0
EX_OK, EX_SOFTWARE = 0, 70


class Child:
    """One supervised process, started anew when it ends."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self._command = name, command
        self._failures, self._start_at, self._started_at = 0, 0.0, 0.0
        self.found_damage = False
        self.process: subprocess.Popen[bytes] | None = None

    def look(self, now: float) -> None:
        """Start it when it is not there and its wait is over; note when it has ended."""
        if self.process and self.process.poll() is not None:
            logs.error("run", "ended", process=self.name, code=self.process.returncode)
            self.found_damage = self.process.returncode == EX_DAMAGED
            self.process = None
            self._failures = 1 if now - self._started_at > LIVED_S else self._failures + 1
            wait_s = min(RESTART_MOST_S, RESTART_FIRST_S * 2 ** (self._failures - 1))
            self._start_at = now + wait_s
        if not self.process and now >= self._start_at:
            self.process = subprocess.Popen(self._command, preexec_fn=_die_with_parent)
            self._started_at = now
            logs.info("run", "started", process=self.name, pid=self.process.pid)

    def end(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)


def supervise(settings: Settings, spool: Spool) -> int:
    """Keep the processes running until a signal ends all; return the exit code.

    `EX_DAMAGED`: the database must be repaired by a start that is alone.
    """
    for stage in STAGES:
        if spool.is_running(stage):
            raise FolderBusy(stage)
    wanted = threading.Event()
    ended = [False]

    def on_signal(number: int, _: object) -> None:
        ended[0] = ended[0] or number != signal.SIGCHLD
        wanted.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, on_signal)
    command = [sys.executable, "-m", "gateway", "--config", str(settings.file), "run"]
    children = [Child(name, [*command, name]) for name in PROCESSES]
    notify.tell("READY=1")
    while not ended[0]:
        for child in children:
            child.look(time.monotonic())
        if any(child.found_damage for child in children):
            _end_all(children)
            return EX_DAMAGED
        wanted.wait(notify.watchdog_s() or 1.0)
        wanted.clear()
        notify.tell("WATCHDOG=1")
    notify.tell("STOPPING=1")
    return _end_all(children)


def _end_all(children: list[Child]) -> int:
    for child in children:
        child.end(signal.SIGTERM)
    deadline = time.monotonic() + FINISH_S
    code = EX_OK
    for child in children:
        if not child.process:
            continue
        try:
            code = max(code, child.process.wait(max(0.0, deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            child.end(signal.SIGKILL)
            code = EX_SOFTWARE
    return code


def _die_with_parent() -> None:
    """End with the supervisor, however it ends (man 2 prctl, PR_SET_PDEATHSIG)."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
