"""deciding: hold, release, retry; each decision is signed in the history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.deciding import WrongState
from spool.errors import LostClaim
from spool.store import Spool
from tests.fakes.spools import (
    FakeClock,
    arrive,
    claimed,
    claimed_delivery,
    delivery_states,
    history_of,
    make_ready,
    opened,
    sent,
    state_of,
)

WHO = "person:ann"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


def test_what_a_person_holds_is_neither_prepared_nor_sent(spool: Spool) -> None:
    instance_id = arrive(spool)
    spool.deciding.hold(instance_id, WHO)
    assert state_of(spool, instance_id) == "held"
    assert spool.preparing.claim() is None
    assert (WHO, "hold") in history_of(spool, instance_id)


def test_holding_an_instance_holds_every_delivery_that_waits(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool, ["central", "cloud", "third"])
    spool.delivering.sent(claimed_delivery(spool, "cloud"))
    spool.deciding.hold(instance_id, WHO)
    assert delivery_states(spool, instance_id) == ["held", "sent", "held"]


def test_a_delivery_can_be_held_for_one_destination_alone(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool, ["central", "cloud"])
    spool.deciding.hold(instance_id, WHO, destination="cloud")
    assert delivery_states(spool, instance_id) == ["queued", "held"]


def test_what_is_held_while_it_is_on_the_wire_is_not_called_sent(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool)
    delivery = claimed_delivery(spool)
    spool.deciding.hold(instance_id, WHO)
    with pytest.raises(LostClaim):
        spool.delivering.sent(delivery)
    assert delivery_states(spool, instance_id) == ["held"]


def test_what_is_released_goes_on_with_its_reason_set_aside(spool: Spool) -> None:
    instance_id = arrive(spool)
    spool.preparing.hold(claimed(spool), "conflict", "instance 1")
    spool.deciding.release(instance_id, WHO)
    instance = claimed(spool)
    assert (instance.waived, instance.attempts) == (frozenset({"conflict"}), 1)
    assert (WHO, "release") in history_of(spool, instance_id)


def test_reasons_that_were_set_aside_add_up(spool: Spool) -> None:
    instance_id = arrive(spool)
    for code in ("uid-mismatch", "conflict"):
        spool.preparing.hold(claimed(spool), code, "")
        spool.deciding.release(instance_id, WHO)
    assert claimed(spool).waived == {"uid-mismatch", "conflict"}


def test_what_is_retried_is_examined_as_if_it_had_just_come(spool: Spool) -> None:
    instance_id = arrive(spool)
    spool.preparing.hold(claimed(spool), "structure", "byte 5")
    spool.deciding.retry(instance_id, WHO)
    assert claimed(spool).waived == frozenset()


@pytest.mark.parametrize("what", ["retry", "release"])
def test_a_held_delivery_is_tried_again_with_no_refusal_on_its_account(
    spool: Spool, what: str
) -> None:
    instance_id = arrive(spool)
    make_ready(spool)
    spool.delivering.hold(claimed_delivery(spool), "status-C000", "Cannot understand")
    getattr(spool.deciding, what)(instance_id, WHO)
    delivery = claimed_delivery(spool)
    assert (delivery.attempts, delivery.refusals) == (1, 0)


def test_what_waits_for_its_next_try_is_tried_now(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool)
    spool.delivering.defer(claimed_delivery(spool), "timeout", "", 900.0)
    spool.deciding.retry(instance_id, WHO)
    assert claimed_delivery(spool)


def test_a_retry_does_not_take_the_claim_from_a_stage_that_works(spool: Spool) -> None:
    instance_id = arrive(spool)
    instance = claimed(spool)
    with pytest.raises(WrongState):
        spool.deciding.retry(instance_id, WHO)
    spool.preparing.hold(instance, "structure", "")
    assert state_of(spool, instance_id) == "held"


@pytest.mark.parametrize("what", ["hold", "release", "retry"])
def test_what_is_in_no_state_for_it_is_refused_and_left_alone(spool: Spool, what: str) -> None:
    instance_id = arrive(spool)
    make_ready(spool)
    spool.delivering.sent(claimed_delivery(spool))
    before = history_of(spool, instance_id)
    with pytest.raises(WrongState) as caught:
        getattr(spool.deciding, what)(instance_id, WHO)
    assert caught.value.args == (instance_id, "ready")
    assert history_of(spool, instance_id) == before
    assert delivery_states(spool, instance_id) == ["sent"]


def test_what_nobody_knows_is_refused(spool: Spool) -> None:
    with pytest.raises(WrongState):
        spool.deciding.retry(99, WHO)


def retired(spool: Spool, clock: FakeClock) -> int:
    spool.ageing.tick()
    clock.pass_s(5)
    spool.ageing.tick()
    return spool.retiring.retire(0.0)


def test_what_is_stuck_as_sent_is_taken_for_enough_by_a_person(
    spool: Spool, clock: FakeClock
) -> None:
    instance_id = sent(spool)
    (stuck,) = spool.confirming.claim("central")
    spool.confirming.later(stuck, "same-uid", "", 60.0)
    spool.deciding.release(instance_id, WHO)
    assert delivery_states(spool, instance_id) == ["sent"]
    assert (WHO, "release") in history_of(spool, instance_id)
    assert spool.confirming.waiting("central") == (0, 0.0)
    assert retired(spool, clock) == 1


def test_a_report_on_what_a_person_took_for_enough_changes_nothing(
    spool: Spool, clock: FakeClock
) -> None:
    instance_id = sent(spool)
    (one,) = spool.confirming.claim("central")
    uid = spool.committing.begin("central", [one], 60.0)
    spool.committing.asked(uid)
    spool.deciding.release(instance_id, WHO, destination="central")
    failed = (one.rendition.sop_class_uid, one.rendition.sop_instance_uid, 0x0112)
    spool.committing.reported(uid, [], [failed])
    assert spool.committing.outcomes("central") == []
    assert retired(spool, clock) == 1


def test_what_is_on_its_way_to_be_confirmed_is_released_by_its_destination_alone(
    spool: Spool,
) -> None:
    instance_id = sent(spool)
    with pytest.raises(WrongState):
        spool.deciding.release(instance_id, WHO)
    assert spool.confirming.waiting("central")[0] == 1
    spool.deciding.release(instance_id, WHO, destination="central")
    assert spool.confirming.waiting("central")[0] == 0


def test_who_releases_what_is_held_says_nothing_of_what_is_stuck(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool, ["central", "cloud"])
    spool.delivering.sent(claimed_delivery(spool), check_after_s=0.0)
    (stuck,) = spool.confirming.claim("central")
    spool.confirming.later(stuck, "same-uid", "", 60.0)
    spool.deciding.hold(instance_id, WHO)
    spool.deciding.release(instance_id, WHO)
    assert delivery_states(spool, instance_id) == ["sent", "queued"]
    assert spool.confirming.waiting("central")[0] == 1


def gone(spool: Spool, *, role: str = "received") -> int:
    """Return an instance whose sent rendition's file was dropped; a compressed one is there."""
    instance_id = sent(spool, settles=True)
    spool.database.write(
        lambda db: db.execute(
            "INSERT INTO rendition (instance_id, role, sop_instance_uid, sop_class_uid,"
            " transfer_syntax_uid, blob, dataset_offset, bytes, sha256, made_from, proved, made_at)"
            " SELECT instance_id, 'compressed', sop_instance_uid, sop_class_uid, '1.2', 'x/y',"
            " 0, 1, 'ab', id, 1, 0 FROM rendition"
        )
    )
    spool.database.write(
        lambda db: db.execute("UPDATE rendition SET gone_at = 1, role = ? WHERE id = 1", (role,))
    )
    return instance_id


def test_what_was_dropped_for_room_is_sent_again_as_what_equals_it(spool: Spool) -> None:
    instance_id = gone(spool)
    spool.deciding.resend(instance_id, WHO, destination="central")
    (found,) = spool.counting.show(str(instance_id))
    assert [one["rendition_id"] for one in found["deliveries"]] == [1, 2]
    assert found["deliveries"][-1]["state"] == "queued"


@pytest.mark.parametrize("role", ["lossy", "corrected", "deidentified"])
def test_in_place_of_what_says_something_else_nothing_is_sent(spool: Spool, role: str) -> None:
    with pytest.raises(WrongState):
        spool.deciding.resend(gone(spool, role=role), WHO)
