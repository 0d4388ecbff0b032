"""result: what a measurement found, as medians beside the peer; for people and for programs.

Takes      the figures of each run
Gives      rows of text for a table, and the same as data with every single run
Holds      nothing
"""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.language import N_, _

T = TypeVar("T")
Figures = Mapping[str, float]  #: of one run; the names carry the units
Hear = Callable[[int, str], object]  #: is told the round and the row that is measured now

_YES_NO = {True: N_("yes"), False: N_("no")}
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """One figure in the table: its median, or its ratio to the same figure of the row `beside`."""

    figure: str
    heading: str  #: marked for the catalogue; {peer} is the name of the row `beside`
    digits: int = 0
    beside: str = ""
    spread: bool = False  #: the least and the greatest run stand beside the median


@dataclass(slots=True)
class Row:
    """One thing measured, as often as there were rounds."""

    name: str  #: marked for the catalogue where it is not a name
    synced: bool | None = None  #: what it acknowledges is on the disk; None: not asked
    missing: str = ""  #: the Debian package whose program is not installed
    runs: list[Figures] = field(default_factory=list)

    def median(self, figure: str) -> float | None:
        """Return the median over the runs, None where there is no run."""
        values = self.values(figure)
        return statistics.median(values) if values else None

    def values(self, figure: str) -> list[float]:
        """Return the figure of each run that has it, in the order of the runs."""
        return [run[figure] for run in self.runs if figure in run]


@dataclass(slots=True)
class Measurement:
    """One table: rows measured by turns in the same run."""

    what: str  #: stable key: "ingest", ...
    title: str
    columns: tuple[Column, ...]
    rows: list[Row]
    facts: Mapping[str, object]  #: what the title says, for programs

    def ratio(self, row: Row, column: Column) -> float | None:
        """Return the median of `row` over that of the row `column.beside`."""
        peer = next((one for one in self.rows if one.name == column.beside), None)
        mine, theirs = row.median(column.figure), peer.median(column.figure) if peer else None
        return mine / theirs if mine is not None and theirs else None


def turns(pairs: Iterable[tuple[T, Row]], number: int) -> list[tuple[T, Row]]:
    """Return what round `number` measures: rows not missing, another one first each round.

    What one leaves behind, such as a busy disk, is not always the same next one's to bear.
    """
    present = [pair for pair in pairs if not pair[1].missing]
    first = number % len(present) if present else 0
    return present[first:] + present[:first]


def cells(measured: Measurement) -> list[list[str]]:
    """Return the table as text, the heading first; a row not measured names what is missing."""
    synced = any(row.synced is not None for row in measured.rows)
    heading = [_("Measured"), *([_("Synced")] if synced else []), *map(_heading, measured.columns)]
    return [heading, *(_row(measured, row, synced=synced) for row in measured.rows)]


def _heading(column: Column) -> str:
    return _(column.heading).format(peer=_(column.beside))


def _row(measured: Measurement, row: Row, *, synced: bool) -> list[str]:
    known = [NOTHING if row.synced is None else _(_YES_NO[row.synced])] if synced else []
    figures = [_cell(measured, row, column) for column in measured.columns]
    if row.missing:
        figures[0] = _("not installed: {package}").format(package=row.missing)
    return [_(row.name), *known, *figures]


def _cell(measured: Measurement, row: Row, column: Column) -> str:
    value = measured.ratio(row, column) if column.beside else row.median(column.figure)
    if value is None:
        return NOTHING
    text = f"{value:.{column.digits}f}"
    if not column.spread:
        return text
    values = row.values(column.figure)
    return f"{text} ({min(values):.{column.digits}f}-{max(values):.{column.digits}f})"


def as_data(measured: Measurement) -> dict[str, Any]:
    """Return the measurement with every run, fit for JSON; names are the English ones."""
    return {
        "what": measured.what,
        "facts": dict(measured.facts),
        "rows": [_row_data(measured, row) for row in measured.rows],
    }


def _row_data(measured: Measurement, row: Row) -> dict[str, Any]:
    figures = sorted({name for run in row.runs for name in run})
    beside = [column for column in measured.columns if column.beside]
    return {
        "name": row.name,
        "synced": row.synced,
        "missing": row.missing,
        "median": {name: row.median(name) for name in figures},
        "ratio": {
            f"{column.figure} / {column.beside}": measured.ratio(row, column) for column in beside
        },
        "runs": [dict(run) for run in row.runs],
    }
