"""through: objects a second from the modality to the archive, with the gateway between or without.

Takes      how many rounds and objects, a folder for the state
Gives      one table: straight to Orthanc; through the gateway, compressed on the way or as received
Holds      `BenchFailed`: not every object arrived in Orthanc

The clock runs from the first byte of the modality until Orthanc counts the last object.
"""

import os
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gateway.bench.peers import Orthanc
from gateway.bench.pictures import make_objects
from gateway.bench.product import Gateway
from gateway.bench.result import Column, Hear, Measurement, Row, turns
from gateway.bench.sender import NEEDS, send
from gateway.bench.tools import missing
from gateway.language import N_, _

ARRIVE_S = 300.0
DIRECT = N_("straight to Orthanc")
COLUMNS = (
    Column("objects_per_s", N_("objects/s"), 1, spread=True),
    Column("objects_per_s", N_("× {peer}"), 2, beside=DIRECT),
    Column("saved_s", N_("modality waited s"), 2),
    Column("saved_s", N_("waited × {peer}"), 2, beside=DIRECT),
    Column("arrived_s", N_("last arrived after s"), 2),
    Column("archive_megabytes", N_("MB in the archive"), 1),
)


@dataclass(frozen=True, slots=True)
class Way:
    """One row of the table; `transfer_syntax` as in ``[compress]``, "" is no gateway at all."""

    name: str
    transfer_syntax: str


WAYS = (
    Way(DIRECT, ""),
    Way(N_("through the gateway, compressed"), "jpeg2000-lossless"),
    Way(N_("through the gateway, as received"), "none"),
)


def measure(folder: Path, *, rounds: int, objects: int, hear: Hear) -> list[Measurement]:
    """Return the table of `rounds` interleaved runs of `objects` objects each."""
    sent = folder / "sent"
    sent.mkdir()
    total_bytes = make_objects(sent, objects)
    rows = [Row(way.name, missing=missing(NEEDS, Orthanc.needs)) for way in WAYS]
    for number in range(1, rounds + 1):
        for way, row in turns(zip(WAYS, rows, strict=True), number):
            hear(number, way.name)
            row.runs.append(_run(way, folder, objects))
    title = _("From storescu to Orthanc: {objects} objects of {kilobytes} KiB on one association")
    kilobytes = round(total_bytes / objects / 1024)
    text = title.format(objects=objects, kilobytes=kilobytes)
    facts = {"objects": objects, "bytes": total_bytes}
    return [Measurement("through", text, COLUMNS, rows, facts)]


def _run(way: Way, folder: Path, objects: int) -> dict[str, float]:
    os.sync()  # what the one before left unwritten is not this one's to write
    running = folder / "running"
    with ExitStack() as ending:
        archive = ending.enter_context(Orthanc(running / "archive"))
        port = archive.port
        if way.transfer_syntax:
            gateway = Gateway(running / "gateway")
            gateway.archive_port, gateway.transfer_syntax = port, way.transfer_syntax
            port = ending.enter_context(gateway).port
        began = time.perf_counter()
        saved_s = send(folder / "sent", port)
        archive.program.wait_until(lambda: archive.objects() == objects, ARRIVE_S)
        arrived_s = time.perf_counter() - began
        archive_bytes = int(archive.statistics()["TotalDiskSize"])
    shutil.rmtree(running)
    return {
        "objects_per_s": objects / arrived_s,
        "saved_s": saved_s,
        "arrived_s": arrived_s,
        "archive_megabytes": archive_bytes / 1e6,
    }
