"""processes: a program under measurement, with everything that it starts.

Takes      a command, a log file and, where there are two, the core that it may use
Gives      its processor time and its memory, all processes of its session together
Holds      `BenchFailed`: it did not start, or did not do its part; `MissingTool`

References: man 5 proc (stat, smaps_rollup); man 1 setpriv; man 1 taskset.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: man 2 prctl, PR_SET_PDEATHSIG: nothing measured outlives the measurement.
LEASH = ("setpriv", "--pdeathsig", "KILL")
#: Debian's DCMTK and Orthanc leave Nagle's algorithm on without it: 40 ms an object.
NO_DELAY = {"TCP_NODELAY": "1"}
END_S = 30.0
LOOK_S = 0.02  #: a foreign program tells nobody when it is that far
SAMPLE_S = 0.05
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class BenchFailed(Exception):
    """A program did not do its part; the message names it."""


class MissingTool(Exception):
    """The program `args[0]` is not installed; `package` is the Debian package that has it."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(program)
        self.package = package


def find(program: str, package: str) -> str:
    """Return the path of `program`; Debian puts servers where only root's PATH looks.

    Raises
    ------
    MissingTool
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise MissingTool(program, package)
    return found


def two_cores() -> tuple[int, int] | None:
    """Return a core for the server and one for the client; None where they cannot be pinned."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 and shutil.which("taskset") else None


def on_core(core: int | None, command: Sequence[str]) -> list[str]:
    """Return `command` kept on `core`, where there is one to keep it on."""
    return [*([] if core is None else ["taskset", "--cpu-list", str(core)]), *command]


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
                env=os.environ | NO_DELAY,
                start_new_session=True,
            )
        self._name = Path(command[0]).name

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
                raise BenchFailed(self._name)
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
        """Ask with SIGTERM, then kill whatever is left of the session."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it is killed below
            self._process.wait(END_S)
        with contextlib.suppress(ProcessLookupError):  # all of it ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

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
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (x.partition(":") for x in lines)}
