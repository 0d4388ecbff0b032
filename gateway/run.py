"""run: the processes of the product, and the stages in each.

`gateway run` supervises one process each for intake and work; `gateway run intake`, or any stage by
its name, is that alone, in the process that was started. Each stage is imported only where it runs.
"""

import signal
import threading
from collections.abc import Iterable
from contextlib import ExitStack

from gateway import logs
from gateway.config.model import Settings
from gateway.crew import Crew
from gateway.processes import EX_DAMAGED, PROCESSES, STAGES
from gateway.start import CannotOpen, end_others, start
from gateway.supervise import supervise
from gateway.worker import Part
from spool.blobs import Blobs
from spool.store import Spool

#: These share the codec's children.
_WORKING = {"prepare", "forward", "confirm"}


class UnknownStage(Exception):
    """No process and no stage has the name `args[0]`."""


def run(settings: Settings, names: Iterable[str]) -> int:
    """Run the named processes or stages here, or supervise all of them; return the exit code.

    Raises
    ------
    FolderBusy
        Another process has this state folder, or one of the stages.
    CannotOpen, UnknownStage
    """
    stages = list(dict.fromkeys(stage for name in names for stage in _stages_of(name)))
    while True:
        with start(settings, stages or ["gateway"]) as spool:
            if stages:
                return _run_stages(settings, spool, stages)
            code = supervise(settings, spool)
        if code != EX_DAMAGED:
            return code
        logs.error("run", "starts-anew")  # alone now: the start repairs the database


def _stages_of(name: str) -> tuple[str, ...]:
    if name in STAGES:
        return (name,)
    if name not in PROCESSES:
        raise UnknownStage(name)
    return PROCESSES[name]


def _run_stages(settings: Settings, spool: Spool, stages: list[str]) -> int:
    with ExitStack() as closing:
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        parts = _parts(settings, spool, stages, closing)
        code = Crew(parts, ended, spool.database.damaged, spool.database.look).work()
        if code == EX_DAMAGED:
            end_others(settings.gateway.state_dir, stages)
        return code


def _parts(settings: Settings, spool: Spool, stages: list[str], closing: ExitStack) -> list[Part]:
    """Build the parts. Each stage is imported only where it runs: intake needs no pixel library."""
    found: list[Part] = []
    if "receive" in stages:
        from gateway.doors import CannotListen
        from gateway.stages.receive import Receive

        _sweep(spool.blobs)
        try:
            found.append(Receive(settings, spool))
        except CannotListen as fault:
            raise CannotOpen(fault.code, fault.place) from fault
    if "watch" in stages and settings.watch:
        from gateway.stages import watch

        found += watch.parts(settings, spool)
    if _WORKING & set(stages):
        found += _working_parts(settings, spool, stages, closing)
    return found + _keeping_parts(settings, spool, stages)


def _keeping_parts(settings: Settings, spool: Spool, stages: list[str]) -> list[Part]:
    from gateway.stages import retire, tend

    found: list[Part] = []
    if "retire" in stages:
        found += retire.parts(settings, spool)
    if "tend" in stages:
        found += tend.parts(settings, spool)
    return found


def _working_parts(
    settings: Settings, spool: Spool, stages: list[str], closing: ExitStack
) -> list[Part]:
    from gateway.codec.pool import Codec
    from gateway.stages import confirm, forward, prepare

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
    if "confirm" in stages:
        found += confirm.parts(settings, spool, codec)
    return found


def _sweep(blobs: Blobs) -> None:
    swept = blobs.sweep()
    if swept:
        logs.warning("receive", "swept", scratch_files=swept)
