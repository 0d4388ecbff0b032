"""logs: one line an event; nothing that a peer sent can start a line or colour a terminal."""

import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import logs

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) (.*)\n")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    logger = logging.getLogger("gateway")
    before = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate, level = before
    logger.setLevel(level)


def test_an_event_is_one_line_of_words_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin()
    logs.info("receive", "received", instance=12, uid="1.2.3", bytes=524288)
    found = LINE.fullmatch(capsys.readouterr().err)
    assert found
    assert found.groups() == ("INFO", "receive received instance=12 uid=1.2.3 bytes=524288")


def test_a_line_tells_what_is_to_be_done_by_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin()
    logs.warning("forward@central", "deferred", wait_s=15)
    logs.error("prepare", "held", code="structure")
    levels = [LINE.fullmatch(f"{line}\n") for line in capsys.readouterr().err.splitlines()]
    assert [one and one[1] for one in levels] == ["WARNING", "ERROR"]


def test_what_lies_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin("error")
    logs.info("receive", "received")
    logs.warning("receive", "ended")
    assert capsys.readouterr().err == ""


def test_to_begin_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin()
    logs.begin()
    logs.info("receive", "received")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("1.2.3", "1.2.3"),
        ("ae:US1", "ae:US1"),
        ("", "''"),
        ("two words", "'two words'"),
        ("A\n2026-01-01T00:00:00.000Z INFO forged", r"'A\n2026-01-01T00:00:00.000Z INFO forged'"),
        ("\x1b[31mred", r"'\x1b[31mred'"),
        ("\x9b31m", r"'\x9b31m'"),
        ("\u202egnp.exe", r"'\u202egnp.exe'"),
        ("王", r"'\u738b'"),
        ("it's", '''"it's"'''),
        (7, "7"),
        (None, "None"),
    ],
)
def test_a_value_is_one_harmless_word(value: object, written: str) -> None:
    assert logs.escape(value) == written


@given(st.text())
def test_no_text_writes_a_control_character_or_a_second_line(text: str) -> None:
    written = logs.escape(text)
    assert written.isascii()
    assert written.isprintable()


def test_a_value_is_cut_where_it_is_longer_than_any_uid() -> None:
    assert len(logs.escape("x" * 100_000)) < logs.VALUE_MOST + 10
