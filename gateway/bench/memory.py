"""memory: what a receiver needs at rest and under load, the whole tree of its processes.

Takes      how many rounds and objects, a folder for the state
Gives      one table: proportional (PSS) and resident memory, at rest and at the peak of a load
Holds      `BenchFailed`: a receiver has not kept what it acknowledged

The load is `objects` single images, then one cine loop of 64 MiB in one object, until all is
compressed. Measured every 50 ms: a peak that is shorter may be missed.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.bench.peers import Orthanc, StorescpTuned
from gateway.bench.pictures import CINE_FRAMES, make_cine, make_objects
from gateway.bench.processes import BenchFailed, Memory
from gateway.bench.product import Gateway, Intake
from gateway.bench.result import Column, Hear, Measurement, Row, turns
from gateway.bench.sender import NEEDS, send
from gateway.bench.servers import Server
from gateway.bench.tools import missing
from gateway.language import N_, _

SETTLE_S = 3.0  #: nothing tells when a program has come to rest
WORK_S = 600.0
COLUMNS = (
    Column("idle_pss_megabytes", N_("PSS at rest MB"), 1),
    Column("single_pss_megabytes", N_("PSS, single images MB"), 1),
    Column("cine_pss_megabytes", N_("PSS, cine loop MB"), 1, spread=True),
    Column("idle_rss_megabytes", N_("RSS at rest MB"), 1),
    Column("cine_rss_megabytes", N_("RSS, cine loop MB"), 1),
)


@dataclass(frozen=True, slots=True)
class Receiver:
    """One row of the table."""

    name: str
    server: type[Server]


RECEIVERS = (
    Receiver(N_("gateway, all processes"), Gateway),
    Receiver(N_("gateway, intake alone"), Intake),
    Receiver(N_("DCMTK storescp, tuned"), StorescpTuned),
    Receiver("Orthanc", Orthanc),
)


def measure(folder: Path, *, rounds: int, objects: int, hear: Hear) -> list[Measurement]:
    """Return the table of `rounds` interleaved runs."""
    (folder / "sent").mkdir()
    make_objects(folder / "sent", objects)
    make_cine(folder / "cine.dcm")
    rows = [Row(one.name, missing=missing(NEEDS, one.server.needs)) for one in RECEIVERS]
    for number in range(1, rounds + 1):
        for receiver, row in turns(zip(RECEIVERS, rows, strict=True), number):
            hear(number, receiver.name)
            row.runs.append(_run(receiver, folder, objects))
    title = _("Memory: at rest, with {objects} single images, with a cine loop of {frames} frames")
    text = title.format(objects=objects, frames=CINE_FRAMES)
    facts = {"objects": objects, "cine_frames": CINE_FRAMES}
    return [Measurement("memory", text, COLUMNS, rows, facts)]


def _run(receiver: Receiver, folder: Path, objects: int) -> dict[str, float]:
    with receiver.server(folder / "server") as server:
        time.sleep(SETTLE_S)
        idle = server.program.memory()
        single = _peak(receiver, server, folder / "sent", objects)
        cine = _peak(receiver, server, folder / "cine.dcm", objects + 1)
    shutil.rmtree(folder / "server")
    return {
        "idle_pss_megabytes": idle.pss_bytes / 1e6,
        "idle_rss_megabytes": idle.rss_bytes / 1e6,
        "single_pss_megabytes": single.pss_bytes / 1e6,
        "cine_pss_megabytes": cine.pss_bytes / 1e6,
        "cine_rss_megabytes": cine.rss_bytes / 1e6,
    }


def _peak(receiver: Receiver, server: Server, what: Path, objects: int) -> Memory:
    """Send `what` and return the most that was seen until nothing is left to do."""
    with server.program.watched() as seen:
        send(what, server.port)
        server.program.wait_until(server.is_idle, WORK_S)
    if server.objects() != objects:
        raise BenchFailed(receiver.name)
    most = (max(one.pss_bytes for one in seen), max(one.rss_bytes for one in seen))
    return Memory(*most)
