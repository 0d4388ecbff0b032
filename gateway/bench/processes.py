"""processes: a program under measurement, with everything that it starts.

Takes      a command, a log file, the core that it may use
Gives      its processor time and its memory, all processes of its session together
Holds      `BenchFailed`: it did not start, or did not do its part

References: man 5 proc (stat, smaps_rollup); man 1 setpriv.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.bench.tools import on_core

#: man 2 prctl, PR_SET_PDEATHSIG: nothing measured outlives the measurement.
LEASH = ("setpriv", "--pdeathsig", "KILL")
#: Debian's DCMTK and Orthanc leave Nagle's algorithm on without it: 40 ms an object.
NO_DELAY = {"TCP_NODELAY": "1"}
LOOK_S = 0.02  #: a foreign program tells nobody when it is that far
SAMPLE_S = 0.05
LAST_LINES = 5
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchFailed(Exception):
    """A program did not do its part; the message names it."""


def environment() -> dict[str, str]:
    """Return ours without the run directory: a gateway under measurement has one of its own."""
    return {
        key: value for key, value in os.environ.items() if key != "RUNTIME_DIRECTORY"
    } | NO_DELAY


@dataclass(frozen=True, slots=True)
class Memory:
    """What all processes of a program have in memory."""

    pss_bytes: int  #: pages that several processes share are counted by their share
    rss_bytes: int  #: shared pages are counted in each process


class Program:
    """One running program, in a session of its own."""

    def __init__(self, command: Sequence[str], log: Path, core: int | None = None) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*LEASH, *on_core(core, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
                start_new_session=True,
            )
        self._name, self._log = Path(command[0]).name, log

    def wait_until(self, holds: Callable[[], bool], within_s: float) -> None:
        """Return once `holds`.

        Raises
        ------
        BenchFailed
            The program ended, or `within_s` passed.
        """
        end = time.monotonic() + within_s
        while not holds():
            if self._process.poll() is not None or time.monotonic() > end:
                raise BenchFailed("\n".join([self._name, *self._last_lines()]))
            time.sleep(LOOK_S)

    def cpu_s(self) -> float:
        """Return the processor time so far, of ended children that were waited for, too."""
        ticks = sum(sum(map(int, fields[11:15])) for _, fields in self._stats())
        return ticks / _TICKS_PER_S

    def memory(self) -> Memory:
        """Return the memory at this moment."""
        rollups = [_rollup(pid) for pid, _ in self._stats()]
        pss, rss = (sum(one.get(name, 0) for one in rollups) for name in ("Pss", "Rss"))
        return Memory(pss, rss)

    @contextmanager
    def watched(self) -> Iterator[list[Memory]]:
        """Give a list that grows by the memory every `SAMPLE_S`, at least once."""
        seen, over = [self.memory()], threading.Event()

        def look() -> None:
            while not over.wait(SAMPLE_S):
                seen.append(self.memory())

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield seen
        finally:
            over.set()
            watcher.join()

    def stop(self) -> None:
        """Kill every process of the session and return when all are gone.

        Its state goes with it: nothing in it is worth waiting for.
        """
        ends: list[int] = []
        for pid, _ in self._stats():
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                ends.append(os.pidfd_open(pid))
        with contextlib.suppress(ProcessLookupError):  # all of it ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        for end in ends:
            select.select([end], [], [])  # man 2 pidfd_open: readable when the process has ended
            os.close(end)
        self._process.wait()

    def _last_lines(self) -> list[str]:
        return self._log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:]

    def _stats(self) -> Iterator[tuple[int, list[str]]]:
        """Give each process of the session, with the fields of its stat after the name."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text("latin-1").rpartition(") ")[2].split()
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
            if int(fields[3]) == self._process.pid:
                yield int(path.parent.name), fields


def _rollup(pid: int) -> dict[str, int]:
    """Return the lines of smaps_rollup in bytes; none of a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {
        name: int(rest.split()[0]) * 1024 for name, _, rest in (x.partition(":") for x in lines)
    }
