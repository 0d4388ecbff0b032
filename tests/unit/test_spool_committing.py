"""committing: a transaction is written before the archive is asked, and no report is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.committing import KEEP_S
from spool.errors import LostClaim
from spool.model import Sent
from spool.repair import ensure_database
from spool.store import Spool
from tests.fakes.spools import (
    SOP_CLASS,
    FakeClock,
    delivery_states,
    history_of,
    make_ready,
    opened,
    sent,
)

TO, WITHIN_S = "central", 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


def begun(spool: Spool, count: int = 1) -> tuple[str, list[Sent]]:
    """Return a transaction about so many, that the archive has taken."""
    for number in range(count):
        sent(spool, f"1.2.{number}")
    sents = spool.confirming.claim(TO)
    uid = spool.committing.begin(TO, sents, WITHIN_S)
    spool.committing.asked(uid)
    return uid, sents


def pair(sent: Sent) -> tuple[str, str]:
    return SOP_CLASS, sent.rendition.sop_instance_uid


def confirm_all(spool: Spool) -> int:
    """Act on what was reported as good."""
    outcomes = spool.committing.outcomes(TO)
    for outcome in outcomes:
        assert outcome.failure is None
        spool.confirming.confirmed(outcome.sent, "commitment")
        spool.committing.done(outcome)
    return len(outcomes)


def open_transactions(spool: Spool) -> int:
    return len(spool.database.read("SELECT 1 FROM commitment WHERE closed_at = 0"))


def test_a_transaction_is_on_the_disk_before_the_archive_is_asked(
    spool: Spool, tmp_path: Path
) -> None:
    sent(spool)
    uid = spool.committing.begin(TO, spool.confirming.claim(TO), WITHIN_S)
    other = opened(tmp_path)
    assert other.committing.reported(uid, [], [])
    other.close()


def test_a_transaction_uid_is_a_uid_and_never_the_same(spool: Spool) -> None:
    uids = {begun(spool)[0] for _ in range(2)}
    assert len(uids) == 2
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_what_an_open_transaction_holds_is_not_asked_about_otherwise(spool: Spool) -> None:
    begun(spool)
    assert spool.confirming.claim(TO) == []
    assert spool.confirming.next_due_s(TO) is None
    spool.confirming.end_leases(TO)
    assert spool.confirming.claim(TO) == []


def test_what_the_archive_commits_to_is_confirmed_and_the_transaction_over(spool: Spool) -> None:
    uid, (one, other) = begun(spool, 2)
    assert spool.committing.reported(uid, [pair(one), pair(other)], [])
    assert confirm_all(spool) == 2
    assert delivery_states(spool, one.instance_id) == ["confirmed"]
    assert open_transactions(spool) == 0
    assert spool.committing.outcomes(TO) == []


def test_a_report_before_the_answer_to_the_request_counts(spool: Spool) -> None:
    sent(spool)
    (one,) = spool.confirming.claim(TO)
    uid = spool.committing.begin(TO, [one], WITHIN_S)
    assert spool.committing.reported(uid, [pair(one)], [])
    spool.committing.asked(uid)
    assert confirm_all(spool) == 1


def test_a_report_that_comes_twice_is_acted_on_once(spool: Spool) -> None:
    uid, (one,) = begun(spool)
    for _ in range(2):
        assert spool.committing.reported(uid, [pair(one)], [])
    assert confirm_all(spool) == 1
    assert spool.committing.reported(uid, [pair(one)], [])
    assert confirm_all(spool) == 0
    told = [what for _, what in history_of(spool, one.instance_id)]
    assert told.count("confirmed") == 1


def test_a_report_on_a_transaction_that_nobody_knows_is_not_ours(spool: Spool) -> None:
    _, (one,) = begun(spool)
    assert not spool.committing.reported("2.25.1", [pair(one)], [])
    assert spool.committing.outcomes(TO) == []


def test_a_report_in_parts_is_acted_on_in_parts(spool: Spool) -> None:
    uid, (one, other) = begun(spool, 2)
    spool.committing.reported(uid, [pair(one)], [])
    assert confirm_all(spool) == 1
    assert open_transactions(spool) == 1
    spool.committing.reported(uid, [pair(other)], [])
    assert confirm_all(spool) == 1
    assert open_transactions(spool) == 0


def test_what_is_reported_both_ways_failed(spool: Spool) -> None:
    uid, (one,) = begun(spool)
    spool.committing.reported(uid, [pair(one)], [(*pair(one), 0x0112)])
    (outcome,) = spool.committing.outcomes(TO)
    assert outcome.failure == 0x0112


def test_objects_that_were_not_asked_for_are_left_out(spool: Spool) -> None:
    uid, (one,) = begun(spool)
    spool.committing.reported(uid, [(SOP_CLASS, "9.9"), ("1.2.840.1", pair(one)[1])], [])
    assert spool.committing.outcomes(TO) == []


def test_a_failure_is_given_with_its_reason_and_its_delivery_is_asked_about_again(
    spool: Spool, clock: FakeClock
) -> None:
    uid, (one,) = begun(spool)
    spool.committing.reported(uid, [], [(*pair(one), 0x0213)])
    (outcome,) = spool.committing.outcomes(TO)
    assert (outcome.failure, outcome.transaction_uid) == (0x0213, uid)
    spool.confirming.later(outcome.sent, "commitment-0213", "", 60.0)
    spool.committing.done(outcome)
    clock.pass_s(60)
    assert [again.checks for again in spool.confirming.claim(TO)] == [2]
    assert open_transactions(spool) == 0


def test_an_outcome_that_changed_nothing_leaves_the_delivery_due(spool: Spool) -> None:
    uid, (one,) = begun(spool)
    spool.committing.reported(uid, [], [(*pair(one), 0x0110)])
    (outcome,) = spool.committing.outcomes(TO)
    spool.confirming.give_back(outcome.sent)
    spool.committing.done(outcome)
    assert spool.confirming.claim(TO)


def test_an_outcome_that_a_kill_cut_off_is_given_again(spool: Spool) -> None:
    uid, (one,) = begun(spool)
    spool.committing.reported(uid, [pair(one)], [])
    assert len(spool.committing.outcomes(TO)) == 1
    assert spool.committing.outcomes(TO) == []  # while its claim lasts
    spool.confirming.end_leases(TO)  # as the next start does
    assert confirm_all(spool) == 1


def test_a_refused_request_is_over_and_its_deliveries_are_due(spool: Spool) -> None:
    sent(spool)
    (one,) = spool.confirming.claim(TO)
    uid = spool.committing.begin(TO, [one], WITHIN_S)
    spool.committing.refused(uid, "commitment-refused", "0122")
    (again,) = spool.confirming.claim(TO)
    assert again.silent == 0
    (row,) = spool.database.read("SELECT error_code FROM delivery")
    assert row["error_code"] == "commitment-refused"
    assert spool.committing.overdue(TO) == []


def test_a_transaction_without_a_report_is_overdue_after_its_deadline(
    spool: Spool, clock: FakeClock
) -> None:
    uid, _ = begun(spool)
    clock.pass_s(WITHIN_S - 1)
    assert spool.committing.overdue(TO) == []
    clock.pass_s(1)
    (transaction,) = spool.committing.overdue(TO)
    assert (transaction.uid, transaction.asked) == (uid, 1)
    spool.committing.close(uid, "commitment-silent")
    assert spool.committing.overdue(TO) == []
    (again,) = spool.confirming.claim(TO)
    assert again.silent == 1


def test_the_second_silent_transaction_counts_as_the_second(spool: Spool, clock: FakeClock) -> None:
    begun(spool)
    for count in (1, 2):
        clock.pass_s(WITHIN_S)
        (transaction,) = spool.committing.overdue(TO)
        assert transaction.asked == count
        spool.committing.close(transaction.uid, "commitment-silent")
        sents = spool.confirming.claim(TO)
        assert [one.silent for one in sents] == [count]
        spool.committing.asked(spool.committing.begin(TO, sents, WITHIN_S))


def test_a_wall_clock_that_steps_makes_no_transaction_overdue_nor_keeps_one(
    spool: Spool, clock: FakeClock
) -> None:
    begun(spool)
    clock.step_s(365 * 86400.0)
    assert spool.committing.overdue(TO) == []
    clock.step_s(-2 * 365 * 86400.0)
    clock.pass_s(WITHIN_S)
    assert len(spool.committing.overdue(TO)) == 1


def test_what_was_closed_without_silence_counts_no_silence(spool: Spool) -> None:
    sent(spool)
    (one,) = spool.confirming.claim(TO)
    uid = spool.committing.begin(TO, [one], WITHIN_S)
    spool.committing.close(uid, "closed")
    spool.confirming.later(one, "closed", "", 0.0)
    (again,) = spool.confirming.claim(TO)
    assert again.silent == 0


def test_a_report_after_the_deadline_still_counts(spool: Spool, clock: FakeClock) -> None:
    uid, (one,) = begun(spool)
    clock.pass_s(WITHIN_S)
    spool.committing.close(uid, "commitment-silent")
    later = spool.committing.begin(TO, spool.confirming.claim(TO), WITHIN_S)
    spool.committing.asked(later)
    assert spool.committing.reported(uid, [pair(one)], [])
    assert confirm_all(spool) == 1
    assert delivery_states(spool, one.instance_id) == ["confirmed"]
    clock.pass_s(WITHIN_S)
    assert spool.committing.overdue(TO) == []
    assert open_transactions(spool) == 0


def test_two_transactions_about_one_delivery_are_acted_on_once(
    spool: Spool, clock: FakeClock
) -> None:
    first, (one,) = begun(spool)
    clock.pass_s(WITHIN_S)
    spool.committing.close(first, "commitment-silent")
    second = spool.committing.begin(TO, spool.confirming.claim(TO), WITHIN_S)
    spool.committing.asked(second)
    for uid in (first, second):
        spool.committing.reported(uid, [pair(one)], [])
    assert confirm_all(spool) == 1
    assert confirm_all(spool) == 0
    assert delivery_states(spool, one.instance_id) == ["confirmed"]


def test_a_transaction_that_a_kill_cut_off_becomes_overdue(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    sent(spool)
    spool.committing.begin(TO, spool.confirming.claim(TO), WITHIN_S)
    other = opened(tmp_path, clock)
    other.confirming.end_leases(TO)
    assert other.confirming.claim(TO) == []
    clock.pass_s(WITHIN_S)
    (transaction,) = other.committing.overdue(TO)
    other.committing.close(transaction.uid, "commitment-silent")
    assert len(other.confirming.claim(TO)) == 1
    other.close()


def test_only_what_is_still_claimed_goes_into_a_transaction(spool: Spool) -> None:
    for number in range(2):
        sent(spool, f"1.2.{number}")
    one, other = spool.confirming.claim(TO)
    spool.confirming.give_back(one)
    spool.committing.begin(TO, [one, other], WITHIN_S)
    rows = spool.database.read("SELECT delivery_id FROM commitment_item")
    assert [row["delivery_id"] for row in rows] == [other.delivery_id]
    with pytest.raises(LostClaim):
        spool.committing.begin(TO, [one], WITHIN_S)
    assert open_transactions(spool) == 1


def test_what_is_over_for_long_is_forgotten_and_what_is_open_is_not(
    spool: Spool, clock: FakeClock
) -> None:
    old, (one,) = begun(spool)
    spool.committing.reported(old, [pair(one)], [])
    confirm_all(spool)
    still, _ = begun(spool)
    clock.pass_s(KEEP_S + 1)
    begun(spool)
    assert not spool.committing.reported(old, [], [])
    assert spool.committing.reported(still, [], [])


def test_one_destination_has_no_part_in_the_others_transactions(
    spool: Spool, clock: FakeClock
) -> None:
    uid, (one,) = begun(spool)
    spool.committing.reported(uid, [pair(one)], [])
    clock.pass_s(WITHIN_S)
    assert spool.committing.outcomes("cloud") == []
    assert spool.committing.overdue("cloud") == []


def test_a_rebuilt_database_knows_no_transaction_and_sends_again(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    uid, (one,) = begun(spool)
    for file in (tmp_path / "state" / "db").glob("spool.db*"):
        file.unlink()
    rebuilt = opened(tmp_path, clock)
    rebuilt.repair.reconcile(ensure_database(tmp_path / "state", clock.utc()))
    assert not rebuilt.committing.reported(uid, [pair(one)], [])
    make_ready(rebuilt)
    assert delivery_states(rebuilt, one.instance_id) == ["queued"]
    rebuilt.close()


def two_transactions(spool: Spool, clock: FakeClock) -> tuple[str, str, Sent]:
    """Return two transactions about one delivery, the older first; none is reported."""
    older, (one,) = begun(spool)
    clock.pass_s(WITHIN_S)
    spool.committing.close(older, "commitment-silent")
    newer = spool.committing.begin(TO, spool.confirming.claim(TO), WITHIN_S)
    spool.committing.asked(newer)
    return older, newer, one


def answers_acted_on(spool: Spool) -> list[int | None]:
    """Act on what was reported until nothing is left; return the failures in this order."""
    found = []
    while outcomes := spool.committing.outcomes(TO):
        for outcome in outcomes:
            found.append(outcome.failure)
            if outcome.failure is None:
                spool.confirming.confirmed(outcome.sent, "commitment")
            else:
                spool.confirming.later(outcome.sent, "commitment-0110", "", 10.0)
            spool.committing.done(outcome)
    return found


NO_SUCH = 0x0112


@pytest.mark.parametrize("newer_first", [False, True])
def test_an_older_success_does_not_outlive_a_newer_failure(
    spool: Spool, clock: FakeClock, *, newer_first: bool
) -> None:
    older, newer, one = two_transactions(spool, clock)
    reports = [(older, [pair(one)], []), (newer, [], [(*pair(one), NO_SUCH)])]
    for uid, done, failed in reversed(reports) if newer_first else reports:
        spool.committing.reported(uid, done, failed)
    assert answers_acted_on(spool) == [NO_SUCH]
    assert delivery_states(spool, one.instance_id) == ["sent"]


def test_an_older_success_that_comes_after_the_failure_was_acted_on_says_nothing(
    spool: Spool, clock: FakeClock
) -> None:
    older, newer, one = two_transactions(spool, clock)
    spool.committing.reported(newer, [], [(*pair(one), NO_SUCH)])
    assert answers_acted_on(spool) == [NO_SUCH]
    spool.committing.reported(older, [pair(one)], [])
    assert answers_acted_on(spool) == []
    clock.pass_s(10)
    assert len(spool.confirming.claim(TO)) == 1


def test_a_success_that_was_reported_before_a_failure_does_not_confirm(
    spool: Spool, clock: FakeClock
) -> None:
    older, newer, one = two_transactions(spool, clock)
    spool.committing.reported(newer, [pair(one)], [])
    spool.committing.reported(older, [], [(*pair(one), NO_SUCH)])
    assert answers_acted_on(spool) == [NO_SUCH]
    clock.pass_s(10)
    assert len(spool.confirming.claim(TO)) == 1


def test_a_newer_success_counts_whatever_failed_before(spool: Spool, clock: FakeClock) -> None:
    older, newer, one = two_transactions(spool, clock)
    spool.committing.reported(older, [], [(*pair(one), NO_SUCH)])
    spool.committing.reported(newer, [pair(one)], [])
    assert answers_acted_on(spool) == [None]
    assert delivery_states(spool, one.instance_id) == ["confirmed"]


def test_what_failed_once_in_a_transaction_has_failed(spool: Spool) -> None:
    uid, (one,) = begun(spool)
    spool.committing.reported(uid, [], [(*pair(one), NO_SUCH)])
    spool.committing.reported(uid, [pair(one)], [])
    assert answers_acted_on(spool) == [NO_SUCH]
