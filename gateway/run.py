"""run: the processes of the product, and the stages in each.

`gateway run` supervises one process each for intake and work; `gateway run intake`, or any stage by
its name, is that alone, in the process that was started.

SIGTERM and SIGINT: every part finishes what ends within 20 s and gives back the rest; exit 0. A
part that ends by an exception ends its process, and a supervisor (ours, or systemd) starts it anew.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from gateway import logs, notify
from gateway.config.model import Settings
from gateway.worker import Part
from spool.blobs import Blobs
from spool.errors import FolderBusy
from spool.room import Bounds
from spool.store import Spool

#: The processes and their stages. A later version adds acquire and console.
PROCESSES = {"intake": ("receive", "watch"), "work": ("prepare", "forward")}
STAGES = tuple(stage for stages in PROCESSES.values() for stage in stages)

FINISH_S = 20.0
RESTART_FIRST_S, RESTART_MOST_S = 1.0, 30.0
EX_OK, EX_SOFTWARE = 0, 70


class UnknownStage(Exception):
    """No process and no stage has the name `args[0]`."""


class CannotOpen(Exception):
    """The state folder or a door cannot be opened; `code` is stable, `detail` technical."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


def open_spool(settings: Settings) -> Spool:
    """Return the spool of these settings, as the user to whom the state folder belongs.

    Raises
    ------
    CannotOpen
        `state-folder`: it cannot be made, read or written.
    """
    state_dir = settings.gateway.state_dir
    run_dir = Path(os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or state_dir / "run")
    try:
        _become_owner(state_dir)
        return Spool(state_dir, run_dir, bounds=_bounds(settings))
    except OSError as fault:
        raise CannotOpen("state-folder", f"{fault.filename}: {fault.strerror}") from fault


def _bounds(settings: Settings) -> Bounds:
    room = settings.room
    return Bounds(room.warn_bytes, room.trim_bytes, room.reserve_bytes)


def _become_owner(state_dir: Path) -> None:
    """Drop root's rights for the owner's: files that root leaves there nobody else could send."""
    if os.geteuid() != 0 or not state_dir.exists():
        return
    facts = state_dir.stat()
    if facts.st_uid:
        os.setgroups([])
        os.setgid(facts.st_gid)
        os.setuid(facts.st_uid)


def run(settings: Settings, names: Iterable[str]) -> int:
    """Run the named processes or stages here, or supervise all of them; return the exit code.

    Raises
    ------
    FolderBusy
        Another process has this state folder, or one of the stages.
    CannotOpen, UnknownStage
    """
    stages = [stage for name in names for stage in _stages_of(name)]
    spool = open_spool(settings)
    try:
        spool.migrate()
        if stages:
            return _run_stages(settings, spool, list(dict.fromkeys(stages)))
        return _supervise(settings, spool)
    finally:
        spool.close()


def _stages_of(name: str) -> tuple[str, ...]:
    if name in STAGES:
        return (name,)
    if name not in PROCESSES:
        raise UnknownStage(name)
    return PROCESSES[name]


def _run_stages(settings: Settings, spool: Spool, stages: list[str]) -> int:
    locks = [spool.lock(stage) for stage in stages]
    with ExitStack() as closing:
        for lock in locks:
            closing.callback(lock.release)
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        parts = _parts(settings, spool, stages, closing)
        return _Crew(parts, ended).work()


def _parts(settings: Settings, spool: Spool, stages: list[str], closing: ExitStack) -> list[Part]:
    """Build the parts. Each stage is imported only where it runs: intake needs no pixel library."""
    found: list[Part] = []
    if "receive" in stages:
        from gateway.stages.receive import CannotListen, Receive

        _sweep(spool.blobs)
        try:
            found.append(Receive(settings, spool))
        except CannotListen as fault:
            raise CannotOpen(fault.code, fault.place) from fault
    if "watch" in stages and settings.watch:
        from gateway.stages import watch

        found += watch.parts(settings, spool)
    if "prepare" in stages or "forward" in stages:
        found += _working_parts(settings, spool, stages, closing)
    return found


def _working_parts(
    settings: Settings, spool: Spool, stages: list[str], closing: ExitStack
) -> list[Part]:
    from gateway.codec.pool import Codec
    from gateway.stages import forward, prepare

    compress = settings.compress
    codec = Codec(
        workers=prepare.workers(settings),
        memory_bytes=compress.memory_bytes,
        cpu_s=compress.cpu_s,
        frame_bytes_most=compress.frame_bytes_most,
    )
    closing.callback(codec.close)
    found: list[Part] = []
    if "prepare" in stages:
        found += prepare.parts(settings, spool, codec)
    if "forward" in stages:
        found += forward.parts(settings, spool, codec)
    return found


def _sweep(blobs: Blobs) -> None:
    swept = blobs.sweep()
    if swept:
        logs.warning("receive", "swept", scratch_files=swept)


class _Crew:
    """The threads of one process; the main thread watches over them and feeds the watchdog."""

    def __init__(self, parts: list[Part], ended: threading.Event) -> None:
        self._parts, self._ended = parts, ended
        self._broken: list[str] = []
        self._threads = [
            threading.Thread(target=self._guard, args=(part,), name=part.name, daemon=True)
            for part in parts
        ]

    def work(self) -> int:
        for thread in self._threads:
            thread.start()
        notify.tell("READY=1")
        beat_s = notify.watchdog_s()
        while not self._ended.wait(beat_s):
            notify.tell("WATCHDOG=1")
        notify.tell("STOPPING=1")
        self._stop()
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


class _Child:
    """One supervised process, started anew when it ends."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name, self._command = name, command
        self._failures, self._start_at = 0, 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def look(self, now: float) -> None:
        """Start it when it is not there and its wait is over; note when it has ended."""
        if self.process and self.process.poll() is not None:
            logs.error("run", "ended", process=self.name, code=self.process.returncode)
            self.process = None
            self._failures += 1
            wait_s = min(RESTART_MOST_S, RESTART_FIRST_S * 2 ** (self._failures - 1))
            self._start_at = now + wait_s
        if not self.process and now >= self._start_at:
            self.process = subprocess.Popen(self._command, preexec_fn=_die_with_parent)
            logs.info("run", "started", process=self.name, pid=self.process.pid)

    def end(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)


def _supervise(settings: Settings, spool: Spool) -> int:
    lock = spool.lock("gateway")
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
    children = [_Child(name, [*command, name]) for name in PROCESSES]
    notify.tell("READY=1")
    while not ended[0]:
        for child in children:
            child.look(time.monotonic())
        wanted.wait(notify.watchdog_s() or 1.0)
        wanted.clear()
        notify.tell("WATCHDOG=1")
    notify.tell("STOPPING=1")
    code = _end_all(children)
    lock.release()
    return code


def _end_all(children: list[_Child]) -> int:
    for child in children:
        child.end(signal.SIGTERM)
    deadline = time.monotonic() + FINISH_S + 5
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
