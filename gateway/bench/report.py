"""report: measure what was asked for and give it as tables, or as data with every run.

Takes      what to measure, how often, with how many objects, and where the servers keep their state
Gives      tables for people, data for programs; what is measured now goes to standard error
Holds      `BenchFailed`: a program did not do its part. A peer that is not installed is no error:
           its row says so
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.bench import machine
from gateway.bench.processes import BenchFailed
from gateway.bench.result import Measurement, as_data, cells
from gateway.language import _

__all__ = ["WHAT", "BenchFailed", "Report", "measure"]

WHAT = ("ingest", "codec", "through", "memory", "all")


@dataclass(frozen=True, slots=True)
class Report:
    """All tables of one call, and the machine as it was before."""

    machine: dict[str, Any]
    rounds: int
    measurements: tuple[Measurement, ...]

    def as_data(self) -> dict[str, Any]:
        """Return everything, fit for JSON."""
        found = [as_data(one) for one in self.measurements]
        return {"machine": self.machine, "rounds": self.rounds, "measurements": found}

    def show(self, table: Callable[[list[list[str]]], object]) -> None:
        """Print the machine, then each table below its sentence; `table` prints rows."""
        print("\n".join(self.circumstances()))
        for one in self.measurements:
            print(f"\n{one.title}")
            table(cells(one))

    def circumstances(self) -> list[str]:
        """Return in sentences what a reader must know of the machine."""
        counted = _("Medians of {rounds} interleaved runs, TCP_NODELAY=1 everywhere.")
        machine = _("{cores} cores of {processor}, {memory} GB, {system}, {file_system}")
        load = _("Load average before: {load_average}")
        memory = round(self.machine["memory_bytes"] / 1e9)
        return [
            counted.format(rounds=self.rounds),
            machine.format(memory=memory, **self.machine),
            load.format(**self.machine),
        ]


def measure(what: str, *, rounds: int, objects: int, folder: Path | None) -> Report:
    """Measure one of `WHAT`.

    Parameters
    ----------
    objects
        Sent in each run of ingest, through and memory; 512 KiB each.
    folder
        Where the servers keep their state for the time of the measurement: the disk that is
        measured. None: the system's folder for temporary files.

    Raises
    ------
    BenchFailed
        A program did not start, or lost what it acknowledged.
    """
    asked = WHAT[:-1] if what == "all" else (what,)
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir=folder) as scratch:
        known = machine.facts(Path(scratch))
        found = [_measure(one, Path(scratch) / one, rounds, objects) for one in asked]
    return Report(known, rounds, tuple(table for tables in found for table in tables))


def _measure(what: str, folder: Path, rounds: int, objects: int) -> Sequence[Measurement]:
    """Import and run one measurement: pydicom and numpy come with the first one."""
    from gateway.bench import codec, ingest, memory, through
    from gateway.bench.pictures import quiet_samples

    def hear(number: int, name: str) -> None:
        text = _("{what}, round {number} of {rounds}: {name}")
        print(text.format(what=what, number=number, rounds=rounds, name=_(name)), file=sys.stderr)

    folder.mkdir()
    with quiet_samples():
        if what == "codec":
            return codec.measure(folder, rounds=rounds, hear=hear)
        loads = {"ingest": ingest.measure, "through": through.measure, "memory": memory.measure}
        return loads[what](folder, rounds=rounds, objects=objects, hear=hear)
