"""queue/README.md tells the truth: each claim names a test that exists, each move is a row."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.spools import opened

ROOT = Path(__file__).parents[2]
README = (ROOT / "queue" / "README.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(test_\w+)`")


def existing_tests() -> set[str]:
    """Return the name of every test function of the project."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def section(heading: str) -> str:
    """Return the text below a heading, up to the next of its rank."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_every_test_that_the_readme_names_exists() -> None:
    assert set(NAMED.findall(README)) - existing_tests() == set()


def test_every_claim_names_the_test_that_shows_it() -> None:
    claims = [line for line in section("What is durable when").splitlines() if line[:2] == "- "]
    assert len(claims) > 20
    assert [claim for claim in claims if not NAMED.search(claim)] == []


def moves_of_the_database(folder: Path) -> set[tuple[str, str, str]]:
    spool = opened(folder)
    rows = spool.database.read("SELECT machine, from_state, to_state FROM move")
    spool.close()
    return {(row["machine"], row["from_state"], row["to_state"]) for row in rows}


def moves_of_the_drawing() -> Iterator[tuple[str, str, str]]:
    """Give each move drawn: a row is states, an arrow, states; an arrow may have two heads."""
    machine = ""
    for row in section("The states").split("```")[1].splitlines():
        machine = row[1:10].strip() or machine
        parts = re.split(r"(←?─+→)", row[29:].lstrip("→ "))
        for before, arrow, after in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
            for one, other in itertools.product(before.split(","), after.split(",")):
                yield machine, one.strip(), other.strip()
                if arrow[0] == "←":
                    yield machine, other.strip(), one.strip()


def test_the_moves_of_the_table_are_those_of_the_database(tmp_path: Path) -> None:
    rows = re.findall(
        r"^\| (instance|delivery) \| (\w+) \| (\w+) \| \S.* \|$", section("The states"), re.M
    )
    assert len(rows) == len(set(rows))
    assert set(rows) == moves_of_the_database(tmp_path)


def test_the_moves_of_the_drawing_are_those_of_the_database(tmp_path: Path) -> None:
    assert set(moves_of_the_drawing()) == moves_of_the_database(tmp_path)
