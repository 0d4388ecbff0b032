"""delivering: one claim, one outcome, the same bytes at every try, and no destination in another's
way."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.errors import LostClaim
from spool.model import Delivery, Priority, Rendition, Role
from spool.rows import LEASE_S
from spool.store import Spool
from tests.fakes.spools import (
    EXPLICIT,
    SOP_CLASS,
    UID,
    FakeClock,
    arrival,
    arrive,
    claimed_delivery,
    delivery_states,
    history_of,
    make_ready,
    opened,
)

IMPLICIT = "1.2.840.10008.1.2"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


@pytest.fixture
def instance_id(spool: Spool) -> int:
    """Return an instance that is queued for `central`."""
    found = arrive(spool)
    make_ready(spool)
    return found


def fallback(spool: Spool) -> Rendition:
    about = {"sop_class_uid": SOP_CLASS, "sop_instance_uid": UID, "transfer_syntax_uid": IMPLICIT}
    incoming = spool.blobs.begin(about)
    incoming.write(b"made for this archive")
    return Rendition(Role.FALLBACK, UID, SOP_CLASS, IMPLICIT, incoming.keep(), proved=True)


def row_of(spool: Spool, delivery: Delivery) -> dict[str, object]:
    (row,) = spool.database.read("SELECT * FROM delivery WHERE id = ?", (delivery.id,))
    return dict(row)


@pytest.mark.usefixtures("instance_id")
def test_a_delivery_is_claimed_by_one_of_eight_threads(spool: Spool) -> None:
    found: list[Delivery | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(spool.delivering.claim("central")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in found if one]) == 1


def test_what_was_sent_is_over_and_history_says_so(spool: Spool, instance_id: int) -> None:
    spool.delivering.sent(claimed_delivery(spool), "status-B000 Warning")
    assert delivery_states(spool, instance_id) == ["sent"]
    assert spool.delivering.claim("central") is None
    assert history_of(spool, instance_id)[-1] == ("forward@central", "sent")


def test_each_destination_has_a_delivery_and_a_fate_of_its_own(spool: Spool) -> None:
    instance_id = arrive(spool)
    make_ready(spool, ["central", "cloud"])
    spool.delivering.defer(claimed_delivery(spool), "timeout", "", 900.0)
    spool.delivering.sent(claimed_delivery(spool, "cloud"))
    assert delivery_states(spool, instance_id) == ["queued", "sent"]
    assert spool.delivering.claim("central") is None


def test_the_most_urgent_goes_first_also_past_a_backlog(spool: Spool) -> None:
    for number, priority in enumerate((Priority.BACKLOG, Priority.NORMAL, Priority.STAT)):
        arrive(spool, comes=arrival(uid=f"1.2.{number}", priority=priority))
        make_ready(spool)
    uids = [claimed_delivery(spool).rendition.sop_instance_uid for _ in range(3)]
    assert uids == ["1.2.2", "1.2.1", "1.2.0"]


@pytest.mark.usefixtures("instance_id")
def test_what_was_deferred_waits_and_counts_no_refusal(spool: Spool, clock: FakeClock) -> None:
    spool.delivering.defer(claimed_delivery(spool), "timeout", "silent", 15.0)
    assert spool.delivering.claim("central") is None
    assert spool.delivering.next_due_s("central") == 15.0
    clock.pass_s(15)
    again = claimed_delivery(spool)
    assert (again.attempts, again.refusals) == (2, 0)


def test_what_was_refused_is_counted_and_told(
    spool: Spool, clock: FakeClock, instance_id: int
) -> None:
    spool.delivering.refuse(claimed_delivery(spool), "status-C000", "Cannot understand", 15.0)
    clock.pass_s(15)
    assert claimed_delivery(spool).refusals == 1
    assert history_of(spool, instance_id)[-1] == ("forward@central", "refused")


def test_what_is_held_is_not_claimed_and_says_why(spool: Spool, instance_id: int) -> None:
    delivery = claimed_delivery(spool)
    spool.delivering.hold(delivery, "status-A900", "Data Set does not match SOP Class")
    assert spool.delivering.claim("central") is None
    assert row_of(spool, delivery)["error_code"] == "status-A900"
    assert history_of(spool, instance_id)[-1] == ("forward@central", "held")


@pytest.mark.usefixtures("instance_id")
def test_what_is_given_back_is_as_if_it_had_never_been_claimed(spool: Spool) -> None:
    spool.delivering.give_back(claimed_delivery(spool))
    assert claimed_delivery(spool).attempts == 1


@pytest.mark.parametrize("end", ["sent", "defer", "refuse", "hold", "freeze"])
def test_whoever_lost_the_lease_puts_down_no_outcome(
    spool: Spool, clock: FakeClock, instance_id: int, end: str
) -> None:
    slow = claimed_delivery(spool)
    clock.pass_s(LEASE_S)
    quick = claimed_delivery(spool)
    made = fallback(spool)
    with pytest.raises(LostClaim):
        {
            "sent": lambda: spool.delivering.sent(slow),
            "defer": lambda: spool.delivering.defer(slow, "timeout", "", 1.0),
            "refuse": lambda: spool.delivering.refuse(slow, "status-C000", "", 1.0),
            "hold": lambda: spool.delivering.hold(slow, "damaged", ""),
            "freeze": lambda: spool.delivering.freeze(slow, made),
        }[end]()
    assert spool.orphans() == [made.blob.name]
    spool.delivering.sent(quick)
    assert delivery_states(spool, instance_id) == ["sent"]


def test_a_lease_of_another_boot_is_over(spool: Spool, clock: FakeClock, instance_id: int) -> None:
    claimed_delivery(spool)
    clock.reboot()
    assert claimed_delivery(spool).instance_id == instance_id


@pytest.mark.usefixtures("instance_id")
def test_a_stage_that_starts_takes_back_what_it_held_and_no_other_ones(spool: Spool) -> None:
    arrive(spool, comes=arrival(uid="1.2.9"))
    make_ready(spool, ["cloud"])
    claimed_delivery(spool)
    claimed_delivery(spool, "cloud")
    spool.delivering.end_leases("central", 900.0)
    assert claimed_delivery(spool)
    assert spool.delivering.claim("cloud") is None


@pytest.mark.usefixtures("instance_id")
def test_a_wait_that_a_stepped_clock_made_absurd_is_cut_at_the_start(
    spool: Spool, clock: FakeClock
) -> None:
    spool.delivering.defer(claimed_delivery(spool), "timeout", "", 60.0)
    clock.now_s -= 365 * 86400
    spool.delivering.end_leases("central", 900.0)
    assert spool.delivering.next_due_s("central") == 900.0


def test_what_was_frozen_is_sent_at_every_later_try(
    spool: Spool, clock: FakeClock, instance_id: int
) -> None:
    made = fallback(spool)
    frozen = spool.delivering.freeze(claimed_delivery(spool), made)
    assert (frozen.rendition.blob, frozen.rendition.transfer_syntax_uid) == (made.blob, IMPLICIT)
    spool.delivering.defer(frozen, "timeout", "", 15.0)
    clock.pass_s(15)
    again = claimed_delivery(spool)
    assert again.rendition == frozen.rendition
    assert ("forward@central", "rendition") in history_of(spool, instance_id)
    roles = [one.role for one in spool.delivering.renditions(again)]
    assert roles == [Role.RECEIVED, Role.FALLBACK]
    assert not spool.orphans()


def test_a_rendition_that_exists_is_frozen_without_another_row(
    spool: Spool, instance_id: int
) -> None:
    delivery = claimed_delivery(spool)
    (received,) = spool.delivering.renditions(delivery)
    spool.delivering.freeze(delivery, received)
    assert len(spool.delivering.renditions(delivery)) == 1


def test_what_lies_ahead_is_told_for_the_presentation_contexts(spool: Spool) -> None:
    for number, syntax in enumerate((EXPLICIT, IMPLICIT, EXPLICIT)):
        arrive(spool, comes=arrival(uid=f"1.2.{number}", syntax=syntax))
        make_ready(spool)
    assert set(spool.delivering.ahead("central")) == {(SOP_CLASS, EXPLICIT), (SOP_CLASS, IMPLICIT)}
    assert spool.delivering.ahead("cloud") == []


@pytest.mark.usefixtures("instance_id")
def test_a_claim_seeks_in_an_index_and_sorts_nothing(spool: Spool) -> None:
    from spool import delivering

    values = {"to": "central", "priority": 5, "now": 0, "boot": "b/*", "up": 0, "door": ""}
    plan = spool.database.read(f"EXPLAIN QUERY PLAN {delivering._SEEK}", values)
    text = " ".join(row["detail"] for row in plan)
    assert "USING INDEX" in text
    assert "SCAN" not in text
    assert "TEMP B-TREE" not in text


def filled(spool: Spool, *kinds: tuple[str, Priority, int]) -> None:
    """Queue one object of so many bytes for `central`, for each door and priority."""
    for number, (door, priority, size) in enumerate(kinds):
        arrive(spool, bytes(size), arrival(f"1.2.{number}", door, priority))
        make_ready(spool)


def taken(spool: Spool, count_most: int, bytes_most: int) -> list[tuple[int, int]]:
    """Return (instance id, bytes) of what one batch holds."""
    found = spool.delivering.claim_batch("central", count_most, bytes_most)
    return [(one.instance_id, one.rendition.blob.dataset_bytes) for one in found]


def test_a_batch_is_of_one_priority_in_fair_turns(spool: Spool) -> None:
    a, b = ("ae:A", Priority.NORMAL, 1), ("ae:B", Priority.NORMAL, 1)
    filled(spool, a, a, a, b, b, ("ae:C", Priority.STAT, 1), ("ae:C", Priority.BACKLOG, 1))
    batches = [[number for number, _ in taken(spool, 10, 100)] for _ in range(4)]
    # Ids in the order in which they became ready: the urgent one was prepared first.
    stat = {row["id"]: row["priority"] for row in spool.database.read("SELECT * FROM instance")}
    assert [{stat[number] for number in batch} for batch in batches] == [{0}, {5}, {9}, set()]
    doors = {row["id"]: row["door"] for row in spool.database.read("SELECT * FROM instance")}
    assert [doors[number][-1] for number in batches[1]] == list("ABABA")


def test_a_batch_ends_before_its_bytes_are_exceeded_and_the_first_goes_whatever_its_size(
    spool: Spool,
) -> None:
    filled(spool, *[("ae:A", Priority.NORMAL, size) for size in (900, 40, 40, 40, 5)])
    sizes = [[size for _, size in taken(spool, 10, 100)] for _ in range(3)]
    assert sizes == [[900], [40, 40], [40, 5]]


def test_what_did_not_fit_a_batch_is_untouched_and_the_turn_is_still_its_own(
    spool: Spool,
) -> None:
    filled(spool, ("ae:A", Priority.NORMAL, 60), ("ae:B", Priority.NORMAL, 60))
    assert len(taken(spool, 10, 100)) == 1
    (left,) = spool.delivering.claim_batch("central", 10, 100)
    assert left.attempts == 1


def test_no_more_than_the_count_goes_in_a_batch(spool: Spool) -> None:
    filled(spool, *[("ae:A", Priority.NORMAL, 1)] * 3)
    assert [len(taken(spool, 2, 100)) for _ in range(3)] == [2, 1, 0]


def test_tries_are_told_ever_less_often_and_one_that_ends_otherwise_always(spool: Spool) -> None:
    filled(spool, ("ae:A", Priority.NORMAL, 1))
    for code in [*["timeout"] * 40, "lost"]:
        spool.delivering.defer(claimed_delivery(spool), code, "", 0.0)
    (found,) = spool.counting.show("1")
    told = [line["detail"] for line in found["history"] if line["what"] == "deferred"]
    assert told[0].split() == ["timeout", "try", "1"]
    assert told[-1].split() == ["lost", "try", "41"]
    assert len(told) < 20


def test_an_attempt_that_a_kill_cut_off_is_in_the_history(spool):
    instance_id = arrive(spool)
    make_ready(spool)
    claimed_delivery(spool)
    spool.delivering.end_leases("central", 900)
    spool.delivering.end_leases("central", 900)
    told = [what for who, what in history_of(spool, instance_id) if who == "forward@central"]
    assert told == ["interrupted"]
