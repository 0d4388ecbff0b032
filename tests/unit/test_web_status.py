"""Every answer of a DICOMweb archive has one row, with what it means and what to do."""

import pytest

from gateway.dicom.status import Verdict
from gateway.dicom.web_status import (
    FAILURES,
    HTTP,
    UNKNOWN_FAILURE,
    UNKNOWN_HTTP,
    UNKNOWN_WARNING,
    WARNINGS,
    failure_row,
    http_row,
    row_of_code,
    rows,
    warning_row,
)
from gateway.language import set_language
from gateway.operate import error_of


@pytest.mark.parametrize("table", [FAILURES, WARNINGS, HTTP])
def test_no_row_stands_in_the_shadow_of_those_before_it(table) -> None:
    for nth, row in enumerate(table):
        covered = {one for other in table[:nth] for one in range(other.first, other.last + 1)}
        assert not covered.issuperset(range(row.first, row.last + 1)), row


def test_every_row_says_what_happened_and_what_to_do() -> None:
    for code, row in rows():
        assert row.meaning.endswith(".") and row.next_step.endswith("."), code


def test_a_code_leads_back_to_its_row_and_is_explained() -> None:
    set_language("en")
    assert row_of_code("stow-43264") is failure_row(0xA900)
    assert row_of_code("http-413") is http_row(413)
    assert row_of_code("stow-45056") is warning_row(0xB000)
    assert row_of_code("http-599") is http_row(599)
    assert [row_of_code(one) for one in ("status-A700", "stow-", "http-x", "")] == [None] * 4
    text = error_of("http-413", "HTTP 413")["text"]
    assert text.startswith("The image alone is larger") and "(HTTP 413)" in text


def test_only_rows_that_say_so_count_as_sent() -> None:
    sent = {row.first for row in FAILURES if row.verdict is Verdict.SENT}
    assert sent == {0x0111, 45070}
    assert not [row for row in HTTP if row.verdict is Verdict.SENT]
    assert all(row.verdict is Verdict.SENT for row in WARNINGS)


def test_what_no_table_has_is_never_sent() -> None:
    assert failure_row(4242) is UNKNOWN_FAILURE
    assert UNKNOWN_FAILURE.verdict is Verdict.HELD
    assert http_row(700) is UNKNOWN_HTTP
    assert UNKNOWN_HTTP.verdict is Verdict.BUSY
    assert warning_row(4242) is UNKNOWN_WARNING


def test_every_status_but_success_has_a_row() -> None:
    assert UNKNOWN_HTTP not in map(http_row, range(300, 600))
