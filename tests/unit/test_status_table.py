"""status: every status has one verdict, as the standard and the design say."""

import itertools

import pytest

from gateway.dicom.status import TABLE, UNKNOWN, Verdict, row_of


def test_rows_ascend_and_do_not_overlap() -> None:
    for row, after in itertools.pairwise(TABLE):
        assert row.first <= row.last < after.first


def test_every_status_has_a_verdict_and_its_meaning() -> None:
    for status in range(0x10000):
        row = row_of(status)
        assert row.first <= status <= row.last
        assert row.meaning


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (0x0000, Verdict.SENT),
        (0x0001, Verdict.SENT),  # PS3.7 C.3: warnings
        (0x0107, Verdict.SENT),
        (0x0116, Verdict.SENT),
        (0xB000, Verdict.SENT),  # PS3.4 B.2.3: coercion, elements discarded, no match
        (0xB006, Verdict.SENT),
        (0xB007, Verdict.SENT),
        (0x0111, Verdict.SENT),  # the archive has it already
        (0xA700, Verdict.BUSY),  # out of resources
        (0xA7FF, Verdict.BUSY),
        (0xA900, Verdict.REFUSED),  # data set does not match SOP class
        (0xA9FF, Verdict.REFUSED),
        (0xC000, Verdict.REFUSED),  # cannot understand
        (0xCFFF, Verdict.REFUSED),
        (0x0110, Verdict.REFUSED),  # processing failure
        (0x0117, Verdict.REFUSED),  # invalid SOP instance
        (0x0122, Verdict.REFUSED),  # SOP class not supported
        (0x0124, Verdict.REFUSED),  # not authorized
        (0x0210, Verdict.REFUSED),
        (0x0211, Verdict.REFUSED),
        (0x0212, Verdict.REFUSED),
        (0xA800, Verdict.HELD),
        (0xD000, Verdict.HELD),
        (0xFFFF, Verdict.HELD),
        (0x0002, Verdict.HELD),
    ],
)
def test_a_status_means_what_the_standard_says(status: int, verdict: Verdict) -> None:
    assert row_of(status).verdict is verdict


def test_a_status_of_no_table_needs_a_person() -> None:
    assert row_of(0xABCD) is UNKNOWN
    assert UNKNOWN.verdict is Verdict.HELD
