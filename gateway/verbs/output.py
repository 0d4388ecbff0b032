"""output: what every verb prints through: JSON for programs, escaped text for people."""

import json
import sys
from typing import Any

from gateway import logs
from gateway.reasons import explain


def as_json(data: Any) -> None:
    """Print `data` as one JSON document; the name of a file need not be text of any encoding."""
    text = json.dumps(data, indent=2, ensure_ascii=False, default=str)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(data, indent=2, default=str)
    print(text)


def fault(code: str, detail: str = "") -> None:
    """Print what went wrong and what to do next, with its stable code, on standard error."""
    print(f"gateway: {explain(code, detail=shown(detail))} [{code}]", file=sys.stderr)


def shown(text: str) -> str:
    """Return `text` fit for a terminal: printable characters only, whatever a peer sent."""
    return "".join(one if one.isprintable() else logs.escape(one).strip("'") for one in text)


def table(rows: list[list[str]]) -> None:
    """Print `rows`, the first one the heading, in columns as wide as they need."""
    cells = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        )
        print("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Return the columns that a terminal uses: two for a Chinese character."""
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(one) in "WF" else 1 for one in text)
