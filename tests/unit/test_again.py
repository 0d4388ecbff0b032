"""Sent again: the four classes, the three rules, at any time, also when the first is retired."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.config.model import Compress, Destination, Settings, Source
from gateway.stages.prepare import DEFER_S, Prepare
from spool.store import Spool
from tests.fakes.data_sets import IMPLICIT
from tests.fakes.objects import small
from tests.fakes.rewriting import UIDS
from tests.fakes.spools import (
    UID,
    FakeClock,
    arrival,
    arrive,
    claimed_delivery,
    confirm,
    delivery_states,
    history_of,
    opened,
    state_of,
)

FIRST = small(UID)
OTHER = small(UID, pixels=bytes(256))
CORRECTED = FIRST.replace(b"SECRET-ID ", b"THE-RIGHT ")
ENCODED, AS_IMPLICIT = small(UID, form=IMPLICIT), arrival(syntax=UIDS[IMPLICIT])
PLACES = ("central", "second")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    found.ageing.tick()
    yield found
    found.close()


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=1 << 30, cpu_s=10, frame_bytes_most=1 << 20)
    yield found
    found.close()


@pytest.fixture
def stage(spool: Spool, codec: Codec) -> Callable[..., Prepare]:
    def make(rule: str = "hold", compression: str = "none") -> Prepare:
        settings = Settings(
            source=(Source(name="us", ae_title="US1", on_conflict=rule),),
            compress=Compress(transfer_syntax=compression, workers=1),
            destination=tuple(
                Destination(name=name, host="127.0.0.1", port=1, ae_title="A") for name in PLACES
            ),
        )
        return Prepare(settings, spool, codec, "")

    return make


def all_sent(spool: Spool) -> None:
    for name in PLACES:
        while one := spool.delivering.claim(name):
            spool.delivering.sent(one)


def all_confirmed(spool: Spool) -> None:
    all_sent(spool)
    for row in spool.database.read("SELECT id FROM delivery WHERE state = 'sent'"):
        confirm(spool, row["id"])


def all_retired(spool: Spool) -> None:
    all_confirmed(spool)
    clock = spool.clock
    assert isinstance(clock, FakeClock)
    clock.pass_s(10)
    spool.ageing.tick()
    assert spool.retiring.retire(1) == 1
    assert not list(spool.blobs.names())


def nothing(_: Spool) -> None:
    """The first is queued still."""


TIMES = {
    "queued": nothing,
    "sent": all_sent,
    "confirmed": all_confirmed,
    "retired": all_retired,
}
at_any_time = pytest.mark.parametrize("time", TIMES)


def found(spool: Spool, instance_id: int) -> dict[str, object]:
    (one,) = spool.counting.show(str(instance_id))
    return one


@at_any_time
def test_the_same_data_set_is_kept_once_and_sent_once(
    spool: Spool, stage: Callable[..., Prepare], time: str
) -> None:
    first = arrive(spool, FIRST)
    stage().turn()
    TIMES[time](spool)
    kept, before = list(spool.blobs.names()), delivery_states(spool, first)
    again = arrive(spool, FIRST)
    stage().turn()
    one = found(spool, again)
    assert (one["state"], one["reason"], one["detail"]) == ("merged", "sent-again", str(first))
    assert list(spool.blobs.names()) == kept
    assert delivery_states(spool, first) == before


@at_any_time
def test_the_same_content_in_another_encoding_is_kept_once_and_said_in_the_history(
    spool: Spool, stage: Callable[..., Prepare], time: str
) -> None:
    first = arrive(spool, FIRST)
    stage().turn()
    TIMES[time](spool)
    kept = list(spool.blobs.names())
    again = arrive(spool, ENCODED, AS_IMPLICIT)
    stage().turn()
    assert state_of(spool, again) == "merged"
    assert list(spool.blobs.names()) == kept
    (shown,) = spool.counting.show(str(again))
    said = f"sent-again {first} encoded as {UIDS[IMPLICIT]} instead of 1.2.840.10008.1.2.1"
    assert shown["history"][-1]["detail"] == said


@at_any_time
@pytest.mark.parametrize(("data", "code"), [(OTHER, "conflict"), (CORRECTED, "correction")])
class TestAnotherUnderTheSameUid:
    def test_is_held_by_default(
        self, spool: Spool, stage: Callable[..., Prepare], time: str, data: bytes, code: str
    ) -> None:
        first = arrive(spool, FIRST)
        stage().turn()
        TIMES[time](spool)
        before = found(spool, first)
        second = arrive(spool, data)
        stage().turn()
        one = found(spool, second)
        assert (one["state"], one["reason"]) == ("held", code)
        assert one["detail"] == f"instance {first}"
        assert delivery_states(spool, second) == []
        assert found(spool, first) == before

    def test_is_sent_once_a_person_releases_it(
        self, spool: Spool, stage: Callable[..., Prepare], time: str, data: bytes, code: str
    ) -> None:
        arrive(spool, FIRST)
        stage().turn()
        TIMES[time](spool)
        second = arrive(spool, data)
        stage().turn()
        spool.deciding.release(second, "person:ann")
        stage().turn()
        assert state_of(spool, second) == "ready"
        all_sent(spool)
        assert delivery_states(spool, second) == ["sent", "sent"]

    def test_is_kept_and_not_sent_by_keep_first(
        self, spool: Spool, stage: Callable[..., Prepare], time: str, data: bytes, code: str
    ) -> None:
        first = arrive(spool, FIRST)
        stage("keep-first").turn()
        TIMES[time](spool)
        before = found(spool, first)
        second = arrive(spool, data)
        stage("keep-first").turn()
        one = found(spool, second)
        assert one["state"] == "ready"
        assert [(each["state"], each["error_code"]) for each in one["deliveries"]] == [  # type: ignore[attr-defined]
            ("cancelled", "kept-first")
        ] * 2
        assert ("prepare", code) in history_of(spool, second)
        assert found(spool, first) == before

    def test_goes_after_the_first_by_send_both_in_order(
        self, spool: Spool, stage: Callable[..., Prepare], time: str, data: bytes, code: str
    ) -> None:
        arrive(spool, FIRST)
        stage("send-both-in-order").turn()
        TIMES[time](spool)
        second = arrive(spool, data)
        stage("send-both-in-order").turn()
        assert state_of(spool, second) == "ready"
        assert ("prepare", code) in history_of(spool, second)
        order = []
        while one := spool.delivering.claim("central"):
            order.append(one.instance_id)
            assert spool.delivering.claim("central") is None  # while the first is on its way
            spool.delivering.sent(one)
        assert order[-1] == second


def test_a_third_that_repeats_the_second_is_kept_once_too(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    for data in (FIRST, OTHER, OTHER):
        last = arrive(spool, data)
        stage().turn()
    third = arrive(spool, small(UID, pixels=bytes(256), form=IMPLICIT), AS_IMPLICIT)
    stage().turn()
    assert [found(spool, one)["detail"] for one in (last, third)] == ["2", "2"]
    assert spool.counting.instances()["merged"] == 2


def test_what_keep_first_keeps_is_never_retired_and_can_be_sent(
    spool: Spool, clock: FakeClock, stage: Callable[..., Prepare]
) -> None:
    arrive(spool, FIRST)
    stage("keep-first").turn()
    second = arrive(spool, OTHER)
    stage("keep-first").turn()
    all_confirmed(spool)
    clock.pass_s(10)
    spool.ageing.tick()
    assert spool.retiring.retire(0) == 1
    assert state_of(spool, second) == "ready"
    spool.deciding.resend(second, "person:ann")
    assert claimed_delivery(spool).instance_id == second


def test_in_order_a_dead_destination_holds_up_no_other(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    first = arrive(spool, FIRST)
    stage("send-both-in-order").turn()
    second = arrive(spool, OTHER)
    stage("send-both-in-order").turn()
    dead = claimed_delivery(spool, "central")
    spool.delivering.defer(dead, "timeout", "", 900.0, away=True)
    assert spool.delivering.claim("central") is None
    assert spool.delivering.next_due_s("central") == 900.0
    for wanted in (first, second):
        one = claimed_delivery(spool, "second")
        assert one.instance_id == wanted
        spool.delivering.sent(one)


def test_in_order_one_that_is_held_at_the_archive_keeps_the_later_one_waiting_with_the_reason(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    first = arrive(spool, FIRST)
    stage("send-both-in-order").turn()
    second = arrive(spool, OTHER)
    stage("send-both-in-order").turn()
    spool.delivering.hold(claimed_delivery(spool), "status-A900", "")
    assert spool.delivering.claim("central") is None
    reasons = [one["error_code"] for one in found(spool, second)["deliveries"]]  # type: ignore[attr-defined]
    assert reasons == ["waits-for-earlier"] * 2
    spool.deciding.cancel(first, "person:ann", destination="central")
    assert claimed_delivery(spool).instance_id == second


def test_in_order_one_that_is_held_here_keeps_the_later_one_waiting_with_the_reason(
    spool: Spool, clock: FakeClock, stage: Callable[..., Prepare]
) -> None:
    first = arrive(spool, FIRST)
    spool.deciding.hold(first, "person:ann")
    second = arrive(spool, OTHER)
    stranger = arrive(spool, small("1.2.9"), arrival(uid="1.2.9"))
    for _ in range(3):
        stage("send-both-in-order").turn()
    assert (state_of(spool, second), state_of(spool, stranger)) == ("received", "ready")
    assert found(spool, second)["reason"] == "waits-for-earlier"
    for _ in range(10):  # for days, if it must be: no attempt is counted
        clock.pass_s(DEFER_S)
        stage("send-both-in-order").turn()
    assert state_of(spool, second) == "received"
    spool.deciding.release(first, "person:ann")
    stage("send-both-in-order").turn()
    stage("send-both-in-order").turn()
    assert (state_of(spool, first), state_of(spool, second)) == ("ready", "ready")


def test_what_waits_reads_no_file(
    spool: Spool, clock: FakeClock, stage: Callable[..., Prepare]
) -> None:
    spool.deciding.hold(arrive(spool, FIRST), "person:ann")
    kept = set(spool.blobs.names())
    second = arrive(spool, OTHER)
    stage("send-both-in-order").turn()
    for name in set(spool.blobs.names()) - kept:
        spool.blobs.discard(name)  # so that reading it would be seen
    clock.pass_s(DEFER_S)
    stage("send-both-in-order").turn()
    one = found(spool, second)
    assert (one["state"], one["reason"]) == ("received", "waits-for-earlier")


def test_it_waits_until_the_earlier_one_is_decided_and_no_longer(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    arrive(spool, FIRST)
    slow = spool.preparing.claim()
    assert slow
    second = arrive(spool, ENCODED, AS_IMPLICIT)
    stage().turn()
    assert found(spool, second)["reason"] == "waits-for-earlier"
    spool.preparing.end_leases()
    stage().turn()
    stage().turn()  # at once: no second has passed
    assert state_of(spool, second) == "merged"


def test_released_it_still_goes_after_what_is_queued(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    first = arrive(spool, FIRST)
    stage().turn()
    second = arrive(spool, OTHER)
    stage().turn()
    spool.deciding.release(second, "person:ann")
    stage().turn()
    one = claimed_delivery(spool)
    spool.delivering.defer(one, "timeout", "", 60.0)
    assert (one.instance_id, spool.delivering.claim("central")) == (first, None)
    spool.deciding.hold(first, "person:ann", destination="central")
    assert claimed_delivery(spool).instance_id == second


def test_what_a_person_withdrew_and_comes_again_is_held(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    first = arrive(spool, FIRST)
    stage().turn()
    spool.deciding.withdraw(first, "person:ann")
    again = [arrive(spool, FIRST), arrive(spool, ENCODED, AS_IMPLICIT)]
    stage().turn()
    stage().turn()
    one = found(spool, again[0])
    assert (one["state"], one["reason"]) == ("held", "withdrawn-before")
    assert found(spool, again[1])["detail"] == str(again[0])
    spool.deciding.release(again[0], "person:ann")
    stage().turn()
    assert delivery_states(spool, again[0]) == ["queued", "queued"]


def test_a_first_that_was_withdrawn_is_no_reason_to_keep_back_the_other(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    first = arrive(spool, FIRST)
    stage("keep-first").turn()
    spool.deciding.withdraw(first, "person:ann")
    second = arrive(spool, OTHER)
    stage("keep-first").turn()
    assert (state_of(spool, second), found(spool, second)["reason"]) == ("held", "conflict")


def test_a_resend_is_never_thrown_away_for_one_whose_file_has_rotted(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    arrive(spool, FIRST)
    stage().turn()
    (name,) = spool.blobs.names()
    content = bytearray(spool.blobs.path(name).read_bytes())
    content[-3] ^= 1
    spool.blobs.path(name).write_bytes(content)
    again = arrive(spool, FIRST)
    stage().turn()
    assert (state_of(spool, again), delivery_states(spool, again)) == ("ready", ["queued"] * 2)


def test_of_what_was_prepared_by_the_first_schema_only_the_bytes_count(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    arrive(spool, FIRST)
    stage().turn()
    forget = "UPDATE rendition SET pixels_sha256 = '', identity_sha256 = '', rest_sha256 = ''"
    spool.database.write(lambda db: db.execute(forget))
    same, encoded = arrive(spool, FIRST), arrive(spool, ENCODED, AS_IMPLICIT)
    stage().turn()
    stage().turn()
    assert state_of(spool, same) == "merged"
    assert (state_of(spool, encoded), found(spool, encoded)["reason"]) == ("held", "conflict")


@pytest.mark.parametrize(
    "comes", [arrival(door="ae:OTHER"), arrival(door="import"), arrival(door="folder:US1")]
)
def test_the_rule_is_that_of_its_source_and_hold_for_a_stranger(
    spool: Spool, stage: Callable[..., Prepare], comes: object
) -> None:
    arrive(spool, FIRST)
    stage("keep-first").turn()
    second = arrive(spool, OTHER, comes)  # type: ignore[arg-type]
    stage("keep-first").turn()
    assert state_of(spool, second) == "held"


def test_hashes_are_all_that_the_database_knows_of_the_patient(
    spool: Spool, stage: Callable[..., Prepare]
) -> None:
    for data in (FIRST, OTHER, CORRECTED):
        arrive(spool, data)
        stage().turn()
    dump = "\n".join(spool.database.read("SELECT group_concat(sql) FROM sqlite_master")[0])
    for table in ("instance", "rendition", "delivery", "history"):
        assert table in dump
        for row in spool.database.read(f"SELECT * FROM {table}"):
            assert "SECRET" not in str(tuple(row))
            assert "THE-RIGHT" not in str(tuple(row))
