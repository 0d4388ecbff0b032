"""Programs the demo starts: each in a session of its own, none outlives the demo.

Takes      a command
Gives      its lines as they come; its end, and that of every process it started
Holds      `ChildFailed`: it ended, or said nothing in time; the last lines of its log are in it
"""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

#: man 2 prctl, PR_SET_PDEATHSIG: the kernel ends the child even when the demo is killed itself.
LEASH = ("setpriv", "--pdeathsig", "KILL")
END_S = 25.0
LAST_LINES = 15


class ChildFailed(Exception):
    """A program did not do its part; the message names it and ends with its last lines."""


class Child:
    """One running program; its standard output and error go to `log` and, by line, to `hear`.

    `hear` is called in a thread of its own. Start it in a thread that lives as long as the
    child should: the leash ends with the thread that made it.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        hear: Callable[[str], object],
        environment: dict[str, str] | None = None,
    ) -> None:
        self._log = log
        self._hear = hear
        self._name = Path(command[0]).name
        self._heard = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self._process = subprocess.Popen(
            [*LEASH, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, said: Callable[[str], bool], within_s: float) -> None:
        """Return once a line was printed for which `said` holds.

        Raises
        ------
        ChildFailed
            The program ended first, or `within_s` passed.
        """

        def heard_or_ended() -> bool:
            return self._ended or any(map(said, self._lines))

        with self._heard:
            self._heard.wait_for(heard_or_ended, within_s)
            if not any(map(said, self._lines)):
                raise ChildFailed("\n".join([self._name, *self._lines[-LAST_LINES:]]))

    def wait(self, within_s: float) -> int:
        """Return the exit code.

        Raises
        ------
        ChildFailed
            `within_s` passed; the child was killed.
        """
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill_group()
            raise ChildFailed("\n".join([self._name, *self._lines[-LAST_LINES:]])) from None
        self._join()
        return code

    def stop(self) -> int:
        """Ask with SIGTERM, insist with SIGKILL after `END_S`; return the exit code."""
        self._process.terminate()
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            self.kill_group()

    def kill_group(self) -> None:
        """Kill every process of the child's session at once, and return when all are gone.

        Raises
        ------
        ChildFailed
            A process that still holds the child's output is left over.
        """
        with contextlib.suppress(ProcessLookupError):  # the whole group ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._join()

    def _join(self) -> None:
        self._reader.join(END_S)
        if self._reader.is_alive():
            raise ChildFailed(f"{self._name}: a process is left over")

    def _read(self) -> None:
        """Read until the last process that holds the output is gone: that ends the pipe."""
        output = self._process.stdout
        assert output is not None  # noqa: S101  PIPE above
        with output, self._log.open("a", encoding="utf-8") as log:
            for raw in output:
                line = raw.decode("utf-8", "replace").rstrip("\n")
                print(line, file=log, flush=True)
                with self._heard:
                    self._lines.append(line)
                    self._heard.notify_all()
                self._hear(line)
        with self._heard:
            self._ended = True
            self._heard.notify_all()


def free_port() -> int:
    """Return a TCP port of the loopback that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
