"""running: a real program in a session of its own, whose lines are the events tests wait for."""

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fakes.known_secrets import look

#: man 2 prctl, PR_SET_PDEATHSIG: nothing outlives a test run that is killed itself.
LEASH = ("setpriv", "--pdeathsig", "KILL")


class Running:
    """One program; what it prints, on both outputs, is in `lines` and in the file `log`."""

    def __init__(
        self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None
    ) -> None:
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [*LEASH, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"TCP_NODELAY": "1"} | (environment or {}),
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, count: int = 1, within_s: float = 30) -> list[str]:
        """Return the lines that match `pattern` once there are `count` of them."""
        self.wait_until(lambda: len(self.found(pattern)) >= count, within_s, pattern)
        return self.found(pattern)

    def wait_until(self, holds: Callable[[], bool], within_s: float, what: str = "") -> None:
        """Return once `holds`; it is asked at each line. An end of the program is a failure."""
        with self._heard:
            self._heard.wait_for(lambda: self._ended or holds(), within_s)
            assert holds(), "\n".join([f"waited {within_s} s for {what}", *self.lines[-30:]])

    def news(self, known: int, within_s: float) -> int:
        """Return the count of lines once it is above `known`, or `within_s` has passed."""
        with self._heard:
            self._heard.wait_for(lambda: self._ended or len(self.lines) > known, within_s)
            return len(self.lines)

    def found(self, pattern: str) -> list[str]:
        return [line for line in self.lines if re.search(pattern, line)]

    def wait(self, within_s: float) -> int:
        """Return the exit code, after the last line was read."""
        code = self._process.wait(within_s)
        self._reader.join(within_s)
        return code

    def is_over(self) -> bool:
        return self._process.poll() is not None

    def ask_to_end(self) -> None:
        """Send SIGTERM to the program, and to no other of its session."""
        self._process.terminate()

    def kill_only_it(self) -> None:
        self._process.kill()

    def kill(self) -> None:
        """Send SIGKILL to every process of the session at once, and return when all are gone."""
        with contextlib.suppress(ProcessLookupError):  # all ended by themselves
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.wait_until_alone(10)

    def wait_until_alone(self, within_s: float) -> None:
        """Return when it and all that it started are gone."""
        for pid in session(self.pid):
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                _wait_for_end(pid, within_s)
        self._reader.join(within_s)
        assert not self._reader.is_alive(), f"somebody holds the output of {self.pid}"
        assert not session(self.pid)

    def _read(self, log: Path) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output, log.open("ab") as copy:
            for raw in output:
                copy.write(raw)
                copy.flush()
                line = raw.decode("utf-8", "replace").rstrip("\n")
                look(line)
                with self._heard:
                    self.lines.append(line)
                    self._heard.notify_all()
        with self._heard:
            self._ended = True
            self._heard.notify_all()


def _wait_for_end(pid: int, within_s: float) -> None:
    """Return when a process that is nobody's child here has ended (man 2 pidfd_open)."""
    fd = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([fd], [], [], within_s)
    finally:
        os.close(fd)
    assert ended, f"left over: {pid}"


def wait_for_port(running: Running, port: int, *, is_open: bool, within_s: float = 20) -> None:
    """Return when `port` is listened on, or no more: the kernel's table tells it without a call.

    storescp says nothing when it is ready, and a call would be counted as an association.
    """
    end, wanted = time.monotonic() + within_s, f":{port:04X} 00000000:0000 0A"
    while (wanted in Path("/proc/net/tcp").read_text(encoding="ascii")) is not is_open:
        assert time.monotonic() < end, f"port {port} is {'closed' if is_open else 'open'} still"
        running.news(len(running.lines), 0.02)


def session(leader: int) -> dict[int, str]:
    """Return the command line of every living process of a session, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            state, _, _, sid = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
            if int(sid) == leader and state not in "ZX":
                raw = (folder / "cmdline").read_bytes()
                found[int(folder.name)] = raw.replace(b"\0", b" ").decode("utf-8", "replace")
    return found
