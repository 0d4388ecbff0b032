"""confirming: what was sent is asked about under a lease, confirmed, asked again, or sent again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.confirming import VANISHED_MOST
from spool.errors import LostClaim
from spool.model import Sent
from spool.rows import CHECK_WAIT_MOST_S, LEASE_S
from spool.store import Spool
from tests.fakes.spools import (
    FakeClock,
    arrival,
    arrive,
    claimed_delivery,
    delivery_states,
    history_of,
    make_ready,
    opened,
    send_again,
    sent,
    state_of,
)

TO, WHO, DAY_S = "central", "person:ann", 86400.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    found.ageing.tick()
    clock.pass_s(1)
    yield found
    found.close()


def asked(spool: Spool) -> Sent:
    """Return the one that is due to be asked about, under a claim."""
    (found,) = spool.confirming.claim(TO)
    return found


def row_of(spool: Spool, delivery_id: int) -> dict[str, object]:
    (row,) = spool.database.read("SELECT * FROM delivery WHERE id = ?", (delivery_id,))
    return dict(row)


def test_it_is_asked_about_after_its_time_and_not_before(spool: Spool, clock: FakeClock) -> None:
    arrive(spool)
    make_ready(spool)
    spool.delivering.sent(claimed_delivery(spool), check_after_s=30.0)
    assert spool.confirming.next_due_s(TO) == 30.0
    clock.pass_s(29)
    assert spool.confirming.claim(TO) == []
    clock.pass_s(1)
    found = asked(spool)
    assert (found.round, found.checks, found.first_of_uid) == (1, 1, True)
    assert (found.study_instance_uid, found.series_instance_uid) == ("1.2", "1.3")


def test_what_was_sent_before_this_version_is_asked_about_at_once(spool: Spool) -> None:
    sent(spool)
    spool.database.write(lambda db: db.execute("UPDATE delivery SET check_at = 0"))
    assert asked(spool)


def test_the_longest_due_is_asked_about_first_and_no_more_than_wanted(spool: Spool) -> None:
    several = [sent(spool, f"1.2.{number}") for number in range(5)]
    found = spool.confirming.claim(TO, 3)
    assert [one.instance_id for one in found] == several[:3]
    assert [one.instance_id for one in spool.confirming.claim(TO)] == several[3:]


def test_what_is_claimed_to_be_asked_about_is_claimed_once(spool: Spool, clock: FakeClock) -> None:
    sent(spool)
    first = asked(spool)
    assert spool.confirming.claim(TO) == []
    clock.pass_s(LEASE_S + 1)
    second = asked(spool)
    with pytest.raises(LostClaim):
        spool.confirming.confirmed(first, "query")
    spool.confirming.confirmed(second, "query")


def test_a_stage_that_starts_ends_its_leases_on_what_was_sent(spool: Spool) -> None:
    sent(spool)
    assert asked(spool)
    spool.confirming.end_leases(TO)
    assert asked(spool).checks == 2


def test_what_is_given_back_was_not_asked_about(spool: Spool) -> None:
    sent(spool)
    spool.confirming.give_back(asked(spool))
    assert asked(spool).checks == 1


def test_what_is_confirmed_settles_and_is_told(spool: Spool) -> None:
    instance_id = sent(spool)
    assert spool.retiring.retire(0) == 0
    spool.confirming.confirmed(asked(spool), "query")
    assert delivery_states(spool, instance_id) == ["confirmed"]
    assert (f"confirm@{TO}", "confirmed") in history_of(spool, instance_id)
    assert spool.retiring.retire(0) == 1


@pytest.mark.parametrize("what", ["confirmed", "later", "missing", "hold"])
def test_whoever_lost_the_lease_says_nothing_of_what_was_sent(spool: Spool, what: str) -> None:
    instance_id = sent(spool)
    lost = asked(spool)
    spool.confirming.end_leases(TO)
    arguments = {"confirmed": ("query",), "later": ("code", "", 1.0)}.get(what, ("code", ""))
    with pytest.raises(LostClaim):
        getattr(spool.confirming, what)(lost, *arguments)
    assert delivery_states(spool, instance_id) == ["sent"]


def test_what_cannot_be_told_stays_sent_and_is_asked_about_again(
    spool: Spool, clock: FakeClock
) -> None:
    instance_id = sent(spool)
    for _ in range(3):
        spool.confirming.later(asked(spool), "queries-refused", "A900", 60.0)
        assert spool.confirming.claim(TO) == []
        clock.pass_s(60)
    told = [what for _, what in history_of(spool, instance_id)]
    assert told.count("asked again") == 1
    assert row_of(spool, 1)["error_code"] == "queries-refused"
    spool.confirming.confirmed(asked(spool), "query")
    assert row_of(spool, 1)["error_code"] == row_of(spool, 1)["error_text"] == ""


def test_no_question_waits_longer_than_the_longest_wait(spool: Spool, clock: FakeClock) -> None:
    sent(spool)
    spool.confirming.later(asked(spool), "not-there", "", 1e9)
    assert spool.confirming.next_due_s(TO) == CHECK_WAIT_MOST_S
    clock.step_s(-365 * DAY_S)
    spool.ageing.follow_clock(900.0)
    clock.step_s(-365 * DAY_S)
    assert spool.ageing.follow_clock(900.0)
    assert spool.confirming.next_due_s(TO) == CHECK_WAIT_MOST_S


def test_what_is_missing_there_is_sent_again_with_the_same_bytes(spool: Spool) -> None:
    instance_id = sent(spool)
    was = asked(spool)
    spool.confirming.missing(was, "not-there", "")
    assert delivery_states(spool, instance_id) == ["superseded", "queued"]
    delivery = claimed_delivery(spool)
    assert (delivery.round, delivery.rendition) == (2, was.rendition)
    assert (f"confirm@{TO}", "missing") in history_of(spool, instance_id)


def test_what_was_superseded_blocks_nothing_once_the_next_round_is_firm(spool: Spool) -> None:
    instance_id = sent(spool)
    spool.confirming.missing(asked(spool), "not-there", "")
    assert spool.retiring.retire(0) == 0
    send_again(spool)
    spool.confirming.confirmed(asked(spool), "query")
    assert delivery_states(spool, instance_id) == ["superseded", "confirmed"]
    assert spool.retiring.retire(0) == 1
    assert spool.counting.deliveries()[TO]["superseded"] == 1


def test_what_keeps_vanishing_waits_for_a_person(spool: Spool) -> None:
    instance_id = sent(spool)
    for _ in range(VANISHED_MOST - 1):
        spool.confirming.missing(asked(spool), "not-there", "")
        send_again(spool)
    spool.confirming.missing(asked(spool), "not-there", "")
    assert delivery_states(spool, instance_id) == [*["superseded"] * VANISHED_MOST, "held"]
    assert row_of(spool, VANISHED_MOST + 1)["error_code"] == "keeps-vanishing"
    assert spool.retiring.retire(0) == 0
    spool.deciding.release(instance_id, WHO)
    send_again(spool)
    spool.confirming.confirmed(asked(spool), "query")
    assert state_of(spool, instance_id) == "ready"
    assert spool.retiring.retire(0) == 1


def test_a_round_that_is_sent_again_meanwhile_is_asked_about_after_that(spool: Spool) -> None:
    instance_id = sent(spool)
    spool.deciding.resend(instance_id, WHO)
    assert spool.confirming.claim(TO) == []
    assert spool.confirming.next_due_s(TO) is None
    send_again(spool)
    second = asked(spool)
    assert second.round == 2
    spool.confirming.confirmed(second, "query")
    first = asked(spool)
    assert first.round == 1
    spool.confirming.missing(first, "not-there", "")
    assert delivery_states(spool, instance_id) == ["superseded", "confirmed"]


def test_what_a_person_took_back_is_not_sent_again_when_it_is_missing(spool: Spool) -> None:
    instance_id = sent(spool)
    spool.deciding.withdraw(instance_id, WHO)
    spool.confirming.missing(asked(spool), "not-there", "")
    assert delivery_states(spool, instance_id) == ["superseded"]
    spool.deciding.restore(instance_id, WHO)
    make_ready(spool)
    assert delivery_states(spool, instance_id) == ["superseded", "queued"]


def test_a_cancelled_second_try_of_what_is_missing_is_held_and_not_forgotten(spool: Spool) -> None:
    instance_id = sent(spool)
    was = asked(spool)
    spool.deciding.resend(instance_id, WHO)
    spool.deciding.cancel(instance_id, WHO)
    spool.confirming.missing(was, "not-there", "")
    assert delivery_states(spool, instance_id) == ["superseded", "cancelled", "held"]
    spool.repair.reconcile([])
    assert delivery_states(spool, instance_id) == ["superseded", "cancelled", "held"]
    assert spool.retiring.retire(0) == 0


def test_what_was_cancelled_elsewhere_is_sent_again_where_it_is_missing(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool, (TO, "cloud"))
    send_again(spool)
    spool.deciding.cancel(instance_id, WHO)
    spool.confirming.missing(asked(spool), "not-there", "")
    for _ in range(2):
        assert delivery_states(spool, instance_id) == ["superseded", "cancelled", "queued"]
        spool.repair.reconcile([])


def test_what_is_missing_there_and_here_waits_for_its_file(spool: Spool) -> None:
    instance_id = sent(spool)
    was = asked(spool)
    hidden = was.rendition.blob.path.rename(was.rendition.blob.path.with_suffix(".away"))
    spool.repair.reconcile([])
    spool.confirming.missing(was, "not-there", "")
    assert delivery_states(spool, instance_id) == ["superseded", "held"]
    hidden.rename(was.rendition.blob.path)
    spool.repair.reconcile([])
    assert delivery_states(spool, instance_id) == ["superseded", "queued"]


def test_what_came_back_altered_waits_for_a_person_and_is_counted(spool: Spool) -> None:
    instance_id = sent(spool)
    spool.confirming.hold(asked(spool), "altered-there", "pixels")
    assert delivery_states(spool, instance_id) == ["held"]
    ((code, count, _, example),) = spool.operating.refusals(TO)
    assert (code, count, example) == ("altered-there", 1, instance_id)


def test_an_alarm_is_not_cancelled_for_what_was_cancelled_elsewhere_before(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool, (TO, "cloud"))
    send_again(spool)
    spool.deciding.cancel(instance_id, WHO)
    spool.confirming.hold(asked(spool), "altered-there", "pixels")
    spool.repair.reconcile([])
    assert delivery_states(spool, instance_id) == ["held", "cancelled"]


@pytest.mark.parametrize("what", ["missing", "hold"])
def test_whoever_lost_the_lease_undoes_no_cancel(spool: Spool, what: str) -> None:
    instance_id = sent(spool)
    lost = asked(spool)
    spool.confirming.hold(lost, "altered-there", "pixels")
    spool.deciding.cancel(instance_id, WHO)
    with pytest.raises(LostClaim):
        getattr(spool.confirming, what)(lost, "code", "")
    spool.repair.reconcile([])
    assert delivery_states(spool, instance_id) == ["cancelled"]


def test_other_bytes_under_the_uid_make_every_answer_doubtful(spool: Spool) -> None:
    one = sent(spool, data=b"first")
    assert asked(spool).first_of_uid
    spool.confirming.end_leases(TO)
    other = sent(spool, data=b"second")
    assert {(each.instance_id, each.first_of_uid) for each in spool.confirming.claim(TO)} == {
        (one, False),
        (other, False),
    }


def test_bytes_that_were_only_tried_make_an_answer_doubtful_too(spool: Spool) -> None:
    sent(spool, data=b"first")
    arrive(spool, b"second", arrival("1.2.1"))
    make_ready(spool)
    assert asked(spool).first_of_uid
    spool.confirming.end_leases(TO)
    assert claimed_delivery(spool)
    assert not asked(spool).first_of_uid
    spool.confirming.end_leases(TO)
    spool.deciding.hold(2, WHO)
    spool.deciding.retry(2, WHO)  # its attempts begin anew
    spool.deciding.cancel(2, WHO)
    assert not asked(spool).first_of_uid


def test_what_another_destination_got_says_nothing_of_this_one(spool: Spool) -> None:
    sent(spool, data=b"first")
    arrive(spool, b"second", arrival("1.2.1"))
    make_ready(spool, ["cloud"])
    spool.delivering.sent(claimed_delivery(spool, "cloud"))
    assert asked(spool).first_of_uid


def test_what_is_not_to_be_confirmed_is_never_asked_about(spool: Spool) -> None:
    sent(spool, settles=True)
    assert spool.confirming.claim(TO) == []
    assert spool.confirming.waiting(TO) == (0, 0.0)


def test_what_waits_to_be_confirmed_is_counted_with_the_oldest(
    spool: Spool, clock: FakeClock
) -> None:
    since = clock.utc()
    sent(spool, "1.2.1")
    clock.pass_s(60)
    sent(spool, "1.2.2")
    assert spool.confirming.waiting(TO) == (2, since)


def test_where_nobody_asks_any_more_sent_is_enough(spool: Spool) -> None:
    several = [sent(spool, f"1.2.{number}") for number in range(3)]
    assert spool.retiring.retire(0) == 0
    assert spool.confirming.settle_unasked(TO) == 3
    assert spool.confirming.settle_unasked(TO) == 0
    assert delivery_states(spool, several[0]) == ["sent"]
    assert spool.retiring.retire(0) == 3


def test_what_was_firm_when_nothing_was_asked_stays_so_when_it_is(spool: Spool) -> None:
    sent(spool, settles=True)
    sent(spool, "1.2.2")
    assert asked(spool).instance_id == 2
    assert spool.retiring.retire(0) == 1


def test_what_may_be_missing_keeps_the_bytes_that_were_sent(spool: Spool) -> None:
    sent(spool)
    add_compressed(spool)
    assert spool.retiring.trim() == 0
    spool.confirming.confirmed(asked(spool), "query")
    assert spool.retiring.trim() == 1


def add_compressed(spool: Spool) -> None:
    """Let the instance have a proved compressed rendition beside what was sent."""
    spool.database.write(
        lambda db: db.execute(
            "INSERT INTO rendition (instance_id, role, sop_instance_uid, sop_class_uid,"
            " transfer_syntax_uid, blob, dataset_offset, bytes, sha256, made_from, proved, made_at)"
            " SELECT instance_id, 'compressed', sop_instance_uid, sop_class_uid, '1.2', 'x/y',"
            " 0, 1, 'ab', id, 1, 0 FROM rendition"
        )
    )


def test_a_paused_destination_is_asked_nothing(spool: Spool) -> None:
    sent(spool)
    spool.operating.pause(TO, WHO)
    assert spool.confirming.claim(TO) == []
    assert spool.confirming.next_due_s(TO) is None
    spool.operating.resume(TO, WHO)
    assert asked(spool)


def test_what_was_found_out_beside_it_is_told(spool: Spool) -> None:
    instance_id = sent(spool)
    spool.confirming.note(asked(spool), "coerced", "changed PatientName")
    assert (f"confirm@{TO}", "coerced") in history_of(spool, instance_id)
