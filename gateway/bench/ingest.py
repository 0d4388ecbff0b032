"""ingest: objects a second into the receiving process, beside DCMTK's storescp and Orthanc.

Takes      how many rounds and objects, a folder for the state
Gives      two tables: server and client each on a core of its own, and wherever the system puts
           them; without two cores only the second
Holds      `BenchFailed`: a receiver has not kept what it acknowledged

The receivers take turns, each on an empty folder: what disturbs the machine disturbs all.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gateway.bench.peers import Orthanc, Storescp, StorescpTuned
from gateway.bench.pictures import make_objects
from gateway.bench.processes import BenchFailed
from gateway.bench.product import Gateway, Intake
from gateway.bench.result import Column, Hear, Measurement, Row, turns
from gateway.bench.sender import NEEDS, send
from gateway.bench.servers import Server
from gateway.bench.tools import missing, two_cores
from gateway.language import N_, _

DCMTK, ORTHANC = "DCMTK storescp", "Orthanc"
PINNED_TITLE = N_(
    "Ingest: {objects} objects of {kilobytes} KiB on one association; "
    "server on core {server}, client on core {client}"
)
FREE_TITLE = N_(
    "Ingest: {objects} objects of {kilobytes} KiB on one association; "
    "server and client wherever the system puts them"
)
TIMES = N_("× {peer}")
COLUMNS = (
    Column("objects_per_s", N_("objects/s"), spread=True),
    Column("megabytes_per_s", N_("MB/s")),
    Column("cpu_ms_per_object", N_("CPU ms/object"), 2),
    Column("objects_per_s", TIMES, 2, beside=DCMTK),
    Column("objects_per_s", TIMES, 2, beside=ORTHANC),
)


@dataclass(frozen=True, slots=True)
class Receiver:
    """One row of the table."""

    name: str
    server: type[Server]
    synced: bool


RECEIVERS = (
    Receiver(N_("gateway, intake alone"), Intake, True),
    Receiver(N_("gateway, compressing meanwhile"), Gateway, True),
    Receiver(DCMTK, Storescp, False),
    Receiver(N_("DCMTK storescp, tuned"), StorescpTuned, False),
    Receiver(ORTHANC, Orthanc, True),
)
Cores = tuple[int | None, int | None]
FREE: Cores = (None, None)


def measure(folder: Path, *, rounds: int, objects: int, hear: Hear) -> list[Measurement]:
    """Return the tables of `rounds` interleaved runs of `objects` objects each."""
    sent = folder / "sent"
    sent.mkdir()
    total_bytes = make_objects(sent, objects)
    placements: list[Cores] = [*filter(None, [two_cores()]), FREE]
    tables = [_table(cores, objects, total_bytes) for cores in placements]
    for number in range(1, rounds + 1):
        for cores, table in zip(placements, tables, strict=True):
            for receiver, row in turns(zip(RECEIVERS, table.rows, strict=True), number):
                hear(number, receiver.name)
                row.runs.append(_run(receiver, folder, cores, objects, total_bytes))
    return tables


def _table(cores: Cores, objects: int, total_bytes: int) -> Measurement:
    facts = {"objects": objects, "bytes": total_bytes, "cores": cores}
    title = FREE_TITLE if cores == FREE else PINNED_TITLE
    text = _(title).format(
        objects=objects,
        kilobytes=round(total_bytes / objects / 1024),
        server=cores[0],
        client=cores[1],
    )
    rows = [Row(one.name, one.synced, missing(NEEDS, one.server.needs)) for one in RECEIVERS]
    return Measurement("ingest", text, COLUMNS, rows, facts)


def _run(
    receiver: Receiver, folder: Path, cores: Cores, objects: int, total_bytes: int
) -> dict[str, float]:
    os.sync()  # what the one before left unwritten is not this one's to write
    with receiver.server(folder / "server", cores[0]) as server:
        before_s = server.program.cpu_s()
        took_s = send(folder / "sent", server.port, cores[1])
        cpu_s = server.program.cpu_s() - before_s
        if server.objects() != objects:
            raise BenchFailed(receiver.name)
    shutil.rmtree(folder / "server")
    return {
        "objects_per_s": objects / took_s,
        "megabytes_per_s": total_bytes / took_s / 1e6,
        "cpu_ms_per_object": cpu_s * 1000 / objects,
    }
