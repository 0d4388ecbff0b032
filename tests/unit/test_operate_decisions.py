"""What a person decides about many items at once, and what stands of it beside the files."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import decide
from spool.counting import Filter
from spool.deciding import ROWS_MOST
from spool.decisions import Decided, Decisions
from spool.store import START, Spool
from tests.fakes.spools import (
    FakeClock,
    arrival,
    arrive,
    claimed,
    claimed_delivery,
    delivery_states,
    history_of,
    make_ready,
    opened,
    state_of,
)

WHO = "person:ann"
DAY_S = 86400.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


def ready(spool: Spool, uid: str, *destinations: str, door: str = "ae:US1") -> int:
    instance_id = arrive(spool, comes=arrival(uid=uid, door=door))
    make_ready(spool, destinations or ("central",))
    return instance_id


def fail(spool: Spool, destination: str, code: str) -> None:
    spool.delivering.hold(claimed_delivery(spool, destination), code, "")


def test_a_filter_that_speaks_of_deliveries_means_those_alone(spool: Spool) -> None:
    one = ready(spool, "1.2.1", "central", "cloud")
    fail(spool, "central", "timeout")
    spool.deciding.hold(one, WHO, destination="cloud")
    met = decide.by_filter(spool, "retry", Filter(error_code="timeout"), WHO)
    assert met.ids == [one]
    assert delivery_states(spool, one) == ["queued", "held"]


def test_a_state_means_the_instance_or_those_of_its_deliveries_that_are_in_it(spool: Spool) -> None:
    one = ready(spool, "1.2.1", "central", "cloud")
    fail(spool, "central", "timeout")
    other = arrive(spool, comes=arrival(uid="1.2.2"))
    spool.preparing.hold(claimed(spool), "structure", "")
    wanted = Filter(state="held")
    assert spool.counting.targets(wanted) == [(one, "central"), (other, "")]
    assert [item["id"] for item in spool.counting.find(wanted)] == [one, other]


@pytest.mark.parametrize(
    ("wanted", "targets"),
    [
        (Filter(), [(1, ""), (2, "")]),
        (Filter(destination="cloud"), [(1, "cloud")]),
        (Filter(destination="cloud", state="ready"), [(1, "cloud")]),
        (Filter(destination="cloud", state="held"), []),
        (Filter(state="ready"), [(1, "")]),
        (Filter(reason="structure"), [(2, "")]),
        (Filter(error_code="timeout"), [(1, "central")]),
        (Filter(door="folder:export"), [(2, "")]),
        (Filter(door="export"), [(2, "")]),
        (Filter(door="xport"), []),
        (Filter(study_instance_uid="1.2"), [(1, "")]),
        (Filter(after_id=1), [(2, "")]),
        (Filter(reason="' OR 1=1 --"), []),
    ],
)
def test_every_word_of_a_filter_narrows_it(
    spool: Spool, wanted: Filter, targets: list[tuple[int, str]]
) -> None:
    ready(spool, "1.2.1", "central", "cloud")
    fail(spool, "central", "timeout")
    arrive(spool, comes=arrival(uid="1.2.2", door="folder:export"))
    spool.preparing.hold(claimed(spool), "structure", "")
    assert spool.counting.targets(wanted) == targets
    listed = [item["id"] for item in spool.counting.find(wanted)]
    assert listed == sorted({instance_id for instance_id, _ in targets})


def test_an_age_counts_from_when_it_came(spool: Spool, clock: FakeClock) -> None:
    arrive(spool, comes=arrival(uid="1.2.1"))
    clock.pass_s(2 * DAY_S)
    arrive(spool, comes=arrival(uid="1.2.2"))
    assert spool.counting.targets(Filter(received_before=clock.utc() - DAY_S)) == [(1, "")]


@pytest.mark.parametrize("what", ["hold", "cancel", "withdraw", "retry"])
def test_a_dry_run_says_what_would_be_met_and_changes_nothing(spool: Spool, what: str) -> None:
    one = ready(spool, "1.2.1")
    spool.delivering.sent(claimed_delivery(spool))
    two = ready(spool, "1.2.2")
    before = spool.counting.find(Filter())
    met = decide.by_filter(spool, what, Filter(), WHO, dry_run=True)
    assert met.ids == ([one, two] if what == "withdraw" else [two])
    assert [left.instance_id for left in met.left] == ([] if what == "withdraw" else [one])
    assert spool.counting.find(Filter()) == before
    assert not list(spool.blobs.folder.rglob("*.decision"))
    assert (WHO, what) not in history_of(spool, two)


def test_many_items_are_decided_in_short_transactions_and_others_get_their_turn(
    spool: Spool,
) -> None:
    for number in range(300):
        arrive(spool, comes=arrival(uid=f"1.2.{number + 1}"))
    changes: list[int] = []
    write = spool.database.write

    def counted(work):  # type: ignore[no-untyped-def]
        def observed(db):  # type: ignore[no-untyped-def]
            before = db.total_changes
            try:
                return work(db)
            finally:
                changes.append(db.total_changes - before)

        return write(observed)

    spool.database.write = counted  # type: ignore[method-assign]
    met = decide.by_filter(spool, "withdraw", Filter(), WHO)
    assert len(met.ids) == 300
    assert len(changes) >= 4
    assert max(changes) <= ROWS_MOST + 10  # the last item of a transaction is not cut in two
    assert spool.counting.instances()["withdrawn"] == 300


@pytest.mark.nightly
def test_ten_thousand_items_are_withdrawn_within_two_minutes(spool: Spool) -> None:
    for number in range(10_000):
        arrive(spool, comes=arrival(uid=f"1.2.{number + 1}"))
    begin = time.monotonic()
    assert len(decide.by_filter(spool, "withdraw", Filter(), WHO).ids) == 10_000
    assert time.monotonic() - begin < 120


def test_what_moved_meanwhile_is_left_alone(spool: Spool) -> None:
    one, two = ready(spool, "1.2.1"), ready(spool, "1.2.2")
    spool.delivering.sent(claimed_delivery(spool))
    outcomes = list(spool.deciding.decide("cancel", [(one, ""), (two, "")], WHO))
    assert {(outcome.instance_id, outcome.refused_in) for outcome in outcomes} == {
        (one, "ready"),
        (two, None),
    }


def test_a_start_does_not_begin_while_items_are_decided(spool: Spool) -> None:
    arrive(spool)
    held = []
    decided = spool.deciding.decide

    def watched(*arguments, **more):  # type: ignore[no-untyped-def]
        held.append(spool.is_running(START))
        return decided(*arguments, **more)

    spool.deciding.decide = watched  # type: ignore[method-assign]
    decide.by_key(spool, "hold", "1", WHO)
    assert (held, spool.is_running(START)) == ([True], False)


def test_what_was_given_up_waits_anew_after_a_retry(spool: Spool, clock: FakeClock) -> None:
    spool.ageing.tick()
    one = ready(spool, "1.2.1")
    clock.pass_s(15 * DAY_S)
    assert spool.ageing.give_up(14 * DAY_S) == 1
    spool.deciding.retry(one, WHO)
    clock.pass_s(60)
    assert spool.ageing.give_up(14 * DAY_S) == 0
    assert delivery_states(spool, one) == ["queued"]


def test_what_was_sent_is_not_settled_anew_by_a_cancel_that_meets_nothing(
    spool: Spool, clock: FakeClock
) -> None:
    spool.ageing.tick()
    one = ready(spool, "1.2.1")
    spool.delivering.sent(claimed_delivery(spool), settles=True)
    clock.pass_s(DAY_S)
    decide.by_key(spool, "cancel", str(one), WHO)
    assert spool.retiring.retire(DAY_S / 2) == 1


def test_what_is_brought_back_is_not_retired_for_what_was_sent_before(
    spool: Spool, clock: FakeClock
) -> None:
    spool.ageing.tick()
    one = ready(spool, "1.2.1")
    spool.delivering.sent(claimed_delivery(spool), settles=True)
    clock.pass_s(60 * DAY_S)
    spool.deciding.withdraw(one, WHO)
    spool.deciding.restore(one, WHO)
    make_ready(spool, ["central", "cloud"])
    assert spool.retiring.retire(30 * DAY_S) == 0
    assert state_of(spool, one) == "ready"


def test_what_is_resent_goes_in_a_new_round_with_the_same_bytes(spool: Spool) -> None:
    one = ready(spool, "1.2.1")
    first = claimed_delivery(spool)
    spool.delivering.sent(first)
    decide.by_key(spool, "resend", str(one), WHO)
    second = claimed_delivery(spool)
    assert (second.round, second.rendition.blob) == (first.round + 1, first.rendition.blob)


DECISIONS = st.tuples(
    st.sampled_from(["hold", "release", "retry", "cancel", "resend", "withdraw", "restore"]),
    st.sampled_from(["", "central", "cloud"]),
)
STOPPED = {"held": "hold", "cancelled": "cancel"}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(decisions=st.lists(DECISIONS, max_size=8))
def test_what_stands_beside_a_file_lets_out_nothing_that_the_rows_stop(
    tmp_path_factory: pytest.TempPathFactory, decisions: list[tuple[str, str]]
) -> None:
    spool = opened(tmp_path_factory.mktemp("spool"))
    one = ready(spool, "1.2.1", "central", "cloud")
    for what, destination in decisions:
        if what in ("withdraw", "restore") and destination:
            continue
        list(spool.deciding.decide(what, [(one, destination)], WHO))
        if state_of(spool, one) == "received":
            make_ready(spool, ["central", "cloud"])
    (item,) = spool.counting.show(str(one))
    last = {row["destination"]: row["state"] for row in item["deliveries"]}
    in_force = spool.decisions.in_force(item["renditions"][0]["blob"])
    if item["state"] == "withdrawn":
        assert in_force[""] == "withdraw"
    for destination, state in last.items():
        if state in STOPPED and item["state"] == "ready":
            assert in_force.get(destination, in_force.get("", "")) in ("hold", "cancel")
    spool.close()


def test_half_a_line_spoils_no_decision_before_or_after_it(spool: Spool) -> None:
    arrive(spool)
    (blob,) = spool.blobs.names()
    decisions = Decisions(spool.blobs)
    decisions.write(blob, Decided("hold", WHO, 1.0, "central"))
    with (spool.blobs.folder / f"{blob}.decision").open("a") as file:
        file.write('{"at": 3.0, "destina')
    decisions.write(blob, Decided("cancel", WHO, 2.0, "cloud"))
    assert decisions.in_force(blob) == {"central": "hold", "cloud": "cancel"}


def test_incidents_are_shown_until_a_person_has_seen_them(spool: Spool) -> None:
    spool.incidents.write_down("database-rebuilt", "spool-20260301.db")
    assert [one.code for one in spool.incidents.unseen()] == ["database-rebuilt"]
    assert spool.incidents.see(WHO) == 1
    assert spool.incidents.unseen() == []
    assert spool.incidents.see(WHO) == 0
