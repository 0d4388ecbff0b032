"""What the demo prints: a live table on a terminal, plain lines everywhere else.

Takes      sentences, rows and evidence
Gives      text on standard output; without a terminal no control code is in it
Holds      the sentences said so far, with their time, for the page
"""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from pydicom.uid import UID
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from gateway.demo.board import WAITING, Row
from gateway.demo.compare import Evidence
from gateway.language import _

PLAIN_COLUMNS = 180  #: without a terminal nothing is cut or wrapped

#: How each of `cells` stands in the table: its side, and whether it may not be wrapped.  With
#: the syntaxes and the elements in two lines the table fits 80 columns.
COLUMNS: tuple[tuple[Literal["left", "right"], bool], ...] = (
    ("left", True),
    ("left", False),
    ("left", False),
    ("right", False),
    ("right", False),
    ("right", False),
    ("left", False),
    ("left", False),
    ("left", False),
)

#: What the name of a transfer syntax can spare (PS3.6 table A-1).
SPARED = (
    (" Image Compression", ""),
    ("Little Endian", "LE"),
    ("Big Endian", "BE"),
    (" VR", ""),
    (" (Process 1)", ""),
    ("(Lossless Only)", "lossless"),
    ("RLE Lossless", "RLE lossless"),
)


class Screen:
    """One demo's output; a context manager that ends the live table."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, force_terminal=sys.stdout.isatty())
        if not self._console.is_terminal:
            self._console.width = PLAIN_COLUMNS
        self.said: list[tuple[float, str]] = []  #: (seconds since the start, sentence)
        self._started_s = time.monotonic()
        self._stages: dict[str, str] = {}
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, sentence: str) -> None:
        """Print `sentence` with its time and keep it for the page."""
        elapsed_s = time.monotonic() - self._started_s
        self.said.append((elapsed_s, sentence))
        self._console.print(f"{elapsed_s:5.1f} s  {escape(sentence)}")

    def show(self, rows: Sequence[Row]) -> None:
        """Show where each object stands: the table anew, or one line for each that moved."""
        if self._console.is_terminal:
            self._live.update(progress(rows), refresh=True)
            return
        for row in rows:
            if self._stages.get(row.picture.name, WAITING) != row.stage:
                self._stages[row.picture.name] = row.stage
                self._console.print(f"         {row.picture.name}: {_(row.stage)}")

    def table(self, evidence: Sequence[Evidence]) -> None:
        """Print the proof of every object."""
        self._live.stop()
        self._console.print(proof(evidence))

    def close_with(self, sentences: Sequence[str]) -> None:
        """Print the last sentences, nothing of them wrapped: they name files."""
        for sentence in sentences:
            self._console.print(escape(sentence), soft_wrap=True)


def progress(rows: Sequence[Row]) -> Table:
    """Return the live view: how far each object has come."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    steps = (_("Received"), _("Prepared"), _("Queued"), _("Sent"), _("Archive"))
    for heading in (_("Image"), *steps, _("Stage")):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        reached = (row.received, row.prepared, row.queued, row.sent, row.arrived > 0)
        marks = ("[green]✓[/]" if mark else "[dim]·[/]" for mark in reached)
        table.add_row(row.picture.name, *marks, _(row.stage))
    return table


def proof(evidence: Sequence[Evidence]) -> Table:
    """Return the table of what was proved, one row an object."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for heading, (side, whole) in zip(headings(), COLUMNS, strict=True):
        table.add_column(heading, justify=side, no_wrap=whole)
    for each in evidence:
        table.add_row(*map(escape, cells(each)), style="" if each.proved else "bold red")
    return table


def headings() -> list[str]:
    """Return the headings of `cells`."""
    return [
        _("Image"),
        _("Source syntax"),
        _("Sent as"),
        _("Bytes before"),
        _("Bytes after"),
        _("Ratio"),
        _("Pixels equal"),
        _("Elements equal"),
        _("Arrived"),
    ]


def cells(each: Evidence) -> list[str]:
    """Return what is proved of one object, in words, in the order of `headings`."""
    return [
        each.picture.name,
        syntax_name(each.picture.transfer_syntax_uid),
        syntax_name(each.transfer_syntax_uid),
        f"{each.picture.dataset_bytes}",
        f"{each.dataset_bytes}",
        f"{each.ratio:.2f}",
        _("yes") if each.pixels_equal else _("NO"),
        _elements(each),
        _arrived(each),
    ]


def syntax_name(uid: str) -> str:
    """Return the name of a transfer syntax in the words of PS3.6, without those it can spare."""
    name = UID(uid).name if uid else "-"
    for long, short in SPARED:
        name = name.replace(long, short)
    return name


def _elements(each: Evidence) -> str:
    if each.identical:
        return _("yes, all bytes")
    return ", ".join(each.differing) or (_("yes") if each.archived else "-")


def _arrived(each: Evidence) -> str:
    if each.times == 0:
        return _("never")
    if not each.repeats_equal:
        return _("{times} times, NOT THE SAME").format(times=each.times)
    return _("once") if each.times == 1 else _("{times} times, the same").format(times=each.times)
