"""confirm asks for storage commitment; a report counts however and whenever it comes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.confirm import failures
from gateway.confirm.commitment import TRANSACTIONS_MOST
from gateway.confirm.failures import Then
from gateway.confirm.findings import ASKED_MOST
from gateway.confirm.known import AGAIN_S, Way
from gateway.destinations.archive import ArchiveAway, Sought
from tests.fakes.confirm_bench import AFTER_S, NAME, WITHIN_S, Bench
from tests.fakes.objects import new_uid, small
from tests.fakes.spools import SOP_CLASS


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    one = Codec(workers=1, memory_bytes=1 << 31, cpu_s=60, frame_bytes_most=1 << 28)
    yield one
    one.close()


@pytest.fixture
def by_commitment(tmp_path: Path, codec: Codec) -> Bench:
    return Bench(tmp_path, codec, "commitment")


def test_what_the_archive_commits_to_is_confirmed(by_commitment: Bench) -> None:
    several = [by_commitment.send() for _ in range(3)]
    by_commitment.wait()
    assert [by_commitment.states(one) for one in several] == [["sent"]] * 3
    assert len(by_commitment.archive.transactions) == 1
    assert by_commitment.report(*several)
    by_commitment.turns()
    assert [by_commitment.states(one) for one in several] == [["confirmed"]] * 3
    assert by_commitment.archive.finds == []


def test_a_report_before_the_answer_counts(by_commitment: Bench) -> None:
    def reports(uid: str, sought: Sequence[Sought]) -> None:
        pairs = [(one.sop_class_uid, one.sop_instance_uid) for one in sought]
        assert by_commitment.spool.committing.reported(uid, pairs, ())

    by_commitment.archive.reports = reports
    one = by_commitment.send()
    by_commitment.wait()
    assert by_commitment.states(one) == ["confirmed"]


def test_a_report_that_comes_twice_or_late_or_after_a_restart_counts_once(
    by_commitment: Bench,
) -> None:
    one = by_commitment.send()
    by_commitment.wait()
    by_commitment.restarted()
    by_commitment.clock.pass_s(WITHIN_S / 2)
    assert by_commitment.report(one)
    assert by_commitment.report(one)
    by_commitment.restarted()
    by_commitment.turns()
    assert by_commitment.states(one) == ["confirmed"]
    assert by_commitment.report(one)
    by_commitment.turns()
    whats = [what for _, what in by_commitment.history(one)]
    assert whats.count("confirmed") == 1


def test_a_report_on_an_unknown_transaction_is_nobodys(by_commitment: Bench) -> None:
    one = by_commitment.send()
    by_commitment.wait()
    assert not by_commitment.report(one, transaction="2.25.4711")
    by_commitment.turns()
    assert by_commitment.states(one) == ["sent"]


def test_half_a_report_confirms_half(by_commitment: Bench) -> None:
    good, bad = by_commitment.send(), by_commitment.send()
    by_commitment.wait()
    pairs = [(SOP_CLASS, by_commitment.uid(one)) for one in (good, bad)]
    by_commitment.spool.committing.reported(
        by_commitment.transaction(), pairs[:1], [(*pairs[1], 0x0213)]
    )
    by_commitment.turns()
    assert by_commitment.states(good) == ["confirmed"]
    assert by_commitment.states(bad) == ["sent"]
    assert by_commitment.shown(bad)["error_code"] == "commitment-0213"


@pytest.mark.parametrize("reason", [*failures.TABLE, 0xABCD], ids=lambda one: f"{one:04X}")
def test_each_failure_reason_has_its_verdict(by_commitment: Bench, reason: int) -> None:
    one = by_commitment.send(kept=reason != 0x0112)
    by_commitment.wait()
    by_commitment.report(one, reason=reason)
    by_commitment.turns()
    then = failures.row_of(reason).then
    if then is Then.QUERY:
        assert by_commitment.states(one) == ["confirmed"]
        assert len(by_commitment.archive.finds) == 1
    elif then is Then.HELD:
        assert by_commitment.states(one) == ["held"]
    else:
        assert by_commitment.states(one) == ["sent"]
        begun = len(by_commitment.archive.transactions)
        by_commitment.wait(AFTER_S)
        assert len(by_commitment.archive.transactions) == begun + 1
    if then is not Then.QUERY:
        assert by_commitment.shown(one)["error_code"] == failures.row_of(reason).code


def test_what_the_archive_says_it_does_not_have_is_sent_again(by_commitment: Bench) -> None:
    one = by_commitment.send(kept=False)
    for _ in range(ASKED_MOST):
        by_commitment.wait(AFTER_S * 2**ASKED_MOST)
        by_commitment.report(one, reason=0x0112)
        by_commitment.turns()
    assert by_commitment.states(one) == ["superseded", "queued"]


def test_what_is_not_reported_in_time_is_asked_once_more_and_then_by_query(
    by_commitment: Bench,
) -> None:
    one = by_commitment.send()
    for nth in range(TRANSACTIONS_MOST):
        by_commitment.wait()
        assert len(by_commitment.archive.transactions) == nth + 1
        by_commitment.wait(WITHIN_S - 2 * AFTER_S)
        assert len(by_commitment.archive.transactions) == nth + 1
        by_commitment.wait(3 * AFTER_S)
    by_commitment.wait()
    assert by_commitment.states(one) == ["confirmed"]
    assert len(by_commitment.archive.transactions) == TRANSACTIONS_MOST
    row = by_commitment.spool.breakers.get(f"commitment@{NAME}")
    assert (row.state, row.error_code) == ("open", "commitment-silent")


def test_a_silent_archive_that_lost_the_object_gets_it_again(by_commitment: Bench) -> None:
    one = by_commitment.send(kept=False)
    for _ in range(TRANSACTIONS_MOST):
        by_commitment.wait()
        by_commitment.wait(WITHIN_S + 1)
    by_commitment.wait_long()
    assert by_commitment.states(one) == ["superseded", "queued"]


def test_a_silent_archive_is_asked_by_query_at_once_and_by_commitment_after_a_while(
    by_commitment: Bench,
) -> None:
    by_commitment.send()
    for _ in range(TRANSACTIONS_MOST):
        by_commitment.wait()
        by_commitment.wait(WITHIN_S + 1)
    by_commitment.wait()
    next_one = by_commitment.send()
    by_commitment.wait()
    assert by_commitment.states(next_one) == ["confirmed"]
    assert len(by_commitment.archive.transactions) == TRANSACTIONS_MOST
    by_commitment.clock.pass_s(AGAIN_S[Way.COMMITMENT])
    later_one = by_commitment.send()
    by_commitment.wait()
    assert len(by_commitment.archive.transactions) == TRANSACTIONS_MOST + 1
    by_commitment.report(later_one)
    by_commitment.turns()
    assert by_commitment.states(later_one) == ["confirmed"]
    assert by_commitment.spool.breakers.get(f"commitment@{NAME}").state == "closed"


def test_an_archive_that_refuses_commitment_is_asked_by_query_at_once(
    by_commitment: Bench,
) -> None:
    by_commitment.archive.no_commitment = True
    one = by_commitment.send()
    by_commitment.wait()
    by_commitment.wait()
    assert by_commitment.states(one) == ["confirmed"]
    row = by_commitment.spool.breakers.get(f"commitment@{NAME}")
    assert (row.state, row.error_code) == ("open", "commitment-refused")


def test_a_connection_lost_in_a_request_makes_a_new_one_and_the_old_report_counts(
    by_commitment: Bench,
) -> None:
    def lost(uid: str, sought: Sequence[Sought]) -> None:
        raise ArchiveAway("closed")

    by_commitment.archive.reports = lost
    one = by_commitment.send()
    by_commitment.wait()
    first = by_commitment.transaction()
    by_commitment.archive.reports = lambda *_: None
    by_commitment.wait(60)
    by_commitment.wait(60)
    assert by_commitment.transaction() != first
    assert by_commitment.report(one, transaction=first)
    by_commitment.turns()
    assert by_commitment.states(one) == ["confirmed"]


def test_a_transaction_that_a_kill_cut_off_is_made_anew_and_never_asked_for_ever(
    by_commitment: Bench,
) -> None:
    class Killed(BaseException):
        pass

    def killed(uid: str, sought: Sequence[Sought]) -> None:
        raise Killed

    by_commitment.archive.reports = killed
    one = by_commitment.send()
    for _ in range(10):
        by_commitment.clock.pass_s(AFTER_S)
        try:
            by_commitment.turns()
        except Killed:
            by_commitment.restarted()
    assert by_commitment.states(one) == ["confirmed"]
    assert len(by_commitment.archive.transactions) == ASKED_MOST


def test_a_commitment_to_other_bytes_under_the_same_uid_is_not_believed(
    by_commitment: Bench,
) -> None:
    uid = new_uid()
    by_commitment.send(uid)
    by_commitment.wait()
    by_commitment.spool.committing.reported(by_commitment.transaction(), [(SOP_CLASS, uid)], ())
    by_commitment.turns()
    second = by_commitment.send(uid, small(uid, SOP_CLASS, pixels=bytes(256)), kept=False)
    by_commitment.wait()
    by_commitment.turns()
    assert by_commitment.states(second) == ["held"]
    assert by_commitment.shown(second)["error_code"] == "altered-there"


@pytest.mark.parametrize("reason", [None, 0x0122], ids=["success", "by query"])
def test_a_late_report_confirms_nothing_that_is_to_be_read_back(
    by_commitment: Bench, reason: int | None
) -> None:
    one = by_commitment.send()
    by_commitment.wait()
    by_commitment.destination = replace(by_commitment.destination, confirm="readback")
    by_commitment.restarted()
    by_commitment.report(one, reason=reason)
    by_commitment.turns()
    assert by_commitment.archive.fetched == [by_commitment.uid(one)]
    assert by_commitment.archive.finds == []
