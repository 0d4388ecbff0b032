"""The page on destinations lists every verdict, and its recipes are accepted."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.confirm import failures
from gateway.confirm.failures import Then
from gateway.dicom import status, web_status
from gateway.dicom.status import Verdict

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/destinations.md"
DOES = {
    Verdict.SENT: "it counts as sent",
    Verdict.BUSY: "all wait",
    Verdict.REFUSED: "tries `forward.refusals` times, then holds it",
    Verdict.HELD: "holds it",
    Verdict.OTHER_SYNTAX: "sends it in another transfer syntax",
}


def stow_rows() -> Iterator[str]:
    for row in (*web_status.FAILURES, web_status.UNKNOWN_FAILURE, *web_status.WARNINGS):
        yield _web_row("stow", row)


def http_rows() -> Iterator[str]:
    for row in (*web_status.HTTP, web_status.UNKNOWN_HTTP):
        yield _web_row("http", row)


def status_rows() -> Iterator[str]:
    for row in (*status.TABLE, status.UNKNOWN):
        first, last = f"`status-{row.first:04X}`", f"`status-{row.last:04X}`"
        yield f"| {_range(first, last)} | {row.meaning} | {DOES[row.verdict]} |"


def _web_row(table: str, row: web_status.Row) -> str:
    code = _range(f"`{table}-{row.first}`", f"`{table}-{row.last}`")
    does = DOES[row.verdict] + (", or all wait" if row.asks else "")
    return f"| {code} | {row.meaning} | {does} | {row.next_step} |"


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def test_every_verdict_stands_on_the_page_as_the_program_knows_it_and_no_other() -> None:
    documented = re.findall(r"^\| `(?:stow|http|status)-.*$", PAGE.read_text("utf-8"), re.M)
    assert documented == [*stow_rows(), *http_rows(), *status_rows()]


ASKS = {
    Then.LATER: "asks again",
    Then.ANEW: "asks again, in a new transaction",
    Then.MISSING: "asks again, then sends it again",
    Then.HELD: "holds it",
    Then.QUERY: "asks by query",
}


def test_every_reason_why_an_archive_does_not_commit_stands_on_the_page() -> None:
    known = [(row.code, row.meaning, row.then) for row in failures.TABLE.values()]
    other = failures.row_of(0xABCD)
    known.append((other.code, "a reason that no table has", other.then))
    documented = re.findall(r"^\| `commitment-.*$", PAGE.read_text("utf-8"), re.M)
    assert documented == [
        f"| `{code}` | {meaning} | {ASKS[then]} |" for code, meaning, then in known
    ]


RECIPES = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: re.findall(r'name = "(.*?)"', one)[0])
def test_each_recipe_is_accepted(recipe: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f"config_version = 1\n{recipe}", encoding="utf-8")
    assert len(load(file).destination) == 1


def test_there_is_a_recipe_for_each_archive_that_is_promised() -> None:
    headings = re.findall(r"^## (.*)$", PAGE.read_text("utf-8"), re.M)
    promised = ("Orthanc", "dcm4chee", "A PACS", "Google", "Azure", "AWS")
    assert all(any(one.startswith(name) for one in headings) for name in promised)
    assert len(RECIPES) >= len(promised)
