"""forward: what one object of a batch meets is its own; a pause; failing over; several lanes."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.config.model import Destination, Settings
from gateway.destinations.archive import Answer, ArchiveAway
from gateway.dicom.request import UnreadableFile
from gateway.dicom.status import Verdict
from gateway.outage import stranded
from gateway.stages import forward
from gateway.stages.forward import Forward
from tests.fakes.objects import small
from tests.fakes.spools import FakeClock, arrival, arrive, make_ready, opened
from tests.fakes.told_archive import ToldArchive

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
CENTRAL = Destination(name="central", host="127.0.0.1", port=104, ae_title="A", confirm="none")
SECOND = replace(CENTRAL, name="second")


class Bench:
    """A spool, and a stage whose archive says what it is told."""

    def __init__(self, folder: Path, codec: Codec, *destinations: Destination) -> None:
        self.clock, self._codec = FakeClock(), codec
        self.spool = opened(folder, self.clock)
        self.settings = Settings(destination=destinations or (CENTRAL,))
        self.archive = ToldArchive()
        self.stage = self.started()

    def started(self, *, lane: int = 1) -> Forward:
        destination = self.settings.destination[0]
        found = Forward(self.settings, self.spool, self._codec, destination, lane=lane)
        found.archive = self.archive
        return found

    def queue(self, *uids: str) -> list[int]:
        ids = []
        for uid in uids:
            ids.append(arrive(self.spool, small(uid), arrival(uid=uid)))
            make_ready(self.spool)
        return ids

    def states(self, ids: list[int], destination: str = "central") -> list[str]:
        return [self.delivery(one, destination)["state"] for one in ids]

    def delivery(self, instance_id: int, destination: str = "central") -> dict[str, object]:
        (found,) = self.spool.counting.show(str(instance_id))
        own = [one for one in found["deliveries"] if one["destination"] == destination]
        return dict(own[-1]) if own else {"state": "none"}

    def history(self, instance_id: int) -> list[str]:
        (found,) = self.spool.counting.show(str(instance_id))
        return [f"{line['what']} {line['detail']}" for line in found["history"]]

    def turns(self, count: int, each_s: float = 900.0) -> None:
        for _ in range(count):
            self.stage.turn()
            self.clock.pass_s(each_s)


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=1 << 30, cpu_s=10, frame_bytes_most=1 << 20)
    yield found
    found.close()


@pytest.fixture
def bench(tmp_path: Path, codec: Codec) -> Iterator[Bench]:
    found = Bench(tmp_path, codec)
    yield found
    found.spool.close()


def test_a_batch_goes_in_one_hand_over_and_each_object_has_its_own_answer(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2", "1.3", "1.4", "1.5")
    bench.archive.answers = {
        "1.2": Answer(Verdict.REFUSED, "stow-C000", "cannot understand"),
        "1.3": Answer(Verdict.HELD, "http-413", "too large"),
        "1.4": Answer(Verdict.SENT, "stow-B000", "coerced"),
        "1.5": Answer(Verdict.BUSY, "stow-0213", "no resources"),
    }
    bench.stage.turn()
    assert bench.archive.uids() == [["1.1", "1.2", "1.3", "1.4", "1.5"]]
    assert bench.states(ids) == ["sent", "queued", "held", "sent", "queued"]
    assert bench.delivery(ids[1])["refusals"] == 1
    assert bench.delivery(ids[2])["error_code"] == "http-413"
    assert bench.delivery(ids[3])["error_text"] == "stow-B000 coerced"
    assert bench.spool.breakers.get("central").error_code == "busy"


def test_a_damaged_object_of_a_batch_holds_only_itself_and_is_never_sent(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2", "1.3")
    name = sorted(bench.spool.blobs.names())[1]
    path = bench.spool.blobs.path(name)
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    bench.stage.turn()
    assert sorted(bench.states(ids)) == ["held", "sent", "sent"]
    assert [len(one) for one in bench.archive.given] == [2]


def test_a_file_that_fails_while_it_is_sent_is_found_one_by_one(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2")
    bench.archive.faults.append(UnreadableFile("it became shorter"))
    bench.turns(3, each_s=1.0)
    assert bench.states(ids) == ["sent", "sent"]
    assert bench.archive.uids() == [["1.1", "1.2"], ["1.1"], ["1.2"]]


def test_an_object_on_which_the_archive_hangs_up_keeps_no_other_from_going(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2", "1.3")
    bench.archive.lost_with = lambda one: one.sop_instance_uid == "1.2"
    bench.turns(4, each_s=1.0)
    assert bench.states(ids) == ["sent", "queued", "sent"]
    assert bench.delivery(ids[1])["error_code"] == "closed"
    assert bench.spool.breakers.get("central").state == "closed"


def test_an_archive_that_is_away_as_a_whole_is_left_alone_as_long_as_it_asks(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2")
    bench.archive.standing = ArchiveAway("http-503", "", whole=True, retry_after_s=120.0)
    bench.stage.turn()
    assert bench.states(ids) == ["queued", "queued"]
    bench.clock.pass_s(119.0)
    bench.stage.turn()
    assert len(bench.archive.given) == 1
    bench.archive.standing = None
    bench.clock.pass_s(1.0)
    bench.turns(2, each_s=2.0)
    assert bench.states(ids) == ["sent", "sent"]


def test_nobody_asks_to_be_left_alone_for_a_year(bench: Bench) -> None:
    bench.queue("1.1")
    bench.archive.standing = ArchiveAway("http-503", "", whole=True, retry_after_s=31_536_000.0)
    bench.stage.turn()
    left_s = bench.spool.breakers.get("central").next_try_at - bench.clock.utc()
    assert left_s <= CENTRAL.retry_most_s


def test_what_is_refused_in_one_syntax_goes_in_another_made_once_and_frozen(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2")
    other = Answer(Verdict.OTHER_SYNTAX, "http-415", accepted=frozenset({IMPLICIT}))
    bench.archive.answers = {"1.1": other, "1.2": other}
    bench.stage.turn()
    first, second = bench.archive.given
    assert {one.transfer_syntax_uid for one in first} == {EXPLICIT}
    assert {one.transfer_syntax_uid for one in second} == {IMPLICIT}
    assert bench.states(ids) == ["held", "held"]
    assert bench.delivery(ids[0])["error_code"] == "no-syntax-in-common"
    bench.archive.answers = {}
    for one in ids:
        bench.spool.deciding.retry(one, "person:ann")
    bench.stage.turn()
    assert bench.states(ids) == ["sent", "sent"]
    assert {one.id for one in bench.archive.given[-1]} == {one.id for one in second}
    assert not bench.spool.orphans()


@pytest.mark.parametrize("accepted", [frozenset(), frozenset({"1.2.840.10008.1.2.4.50"})])
def test_what_no_rung_of_the_ladder_fits_is_held_and_the_others_go(
    bench: Bench, accepted: frozenset[str]
) -> None:
    ids = bench.queue("1.1", "1.2")
    bench.archive.answers = {"1.1": Answer(Verdict.OTHER_SYNTAX, accepted=accepted)}
    bench.stage.turn()
    assert bench.states(ids) == ["held", "sent"]


def test_an_archive_that_answers_about_too_few_makes_nothing_sent(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2")
    real = bench.archive.send
    bench.archive.send = lambda given, ahead: real(given, ahead)[:-1]  # type: ignore[method-assign]
    bench.turns(3, each_s=1.0)
    assert bench.states(ids) == ["held", "held"]
    assert bench.delivery(ids[0])["error_code"] == "unexpected"


def test_a_transfer_that_is_broken_off_gives_the_whole_batch_back(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2")
    bench.stage.break_off()
    bench.stage.turn()
    for one in ids:
        delivery = bench.delivery(one)
        assert (delivery["state"], delivery["lease"], delivery["attempts"]) == ("queued", "", 0)


def test_a_turn_that_could_not_write_gives_back_its_own_claims_and_no_others(
    bench: Bench, codec: Codec
) -> None:
    ids = bench.queue("1.1", "1.2")
    bench.archive.size = replace(bench.archive.size, count_most=1)
    other = bench.started(lane=2)
    stage_claims, other_claims = bench.stage._claim(), other._claim()
    assert len(stage_claims) == len(other_claims) == 1
    other.give_back()
    leased = [one for one in ids if bench.delivery(one)["lease"]]
    assert leased == [stage_claims[0].instance_id]


def test_an_archive_that_takes_fewer_connections_is_not_taken_for_away(bench: Bench) -> None:
    ids = bench.queue("1.1", "1.2")
    other, rejecting = bench.started(lane=2), ToldArchive()
    other.archive = rejecting
    rejecting.standing = ArchiveAway("rejected", "", whole=True)
    for _ in range(3):
        other.turn()
    assert len(rejecting.given) == 1
    assert bench.spool.breakers.get("central").state == "closed"
    assert bench.delivery(ids[0])["attempts"] == 0
    bench.stage.turn()
    assert bench.states(ids) == ["sent", "sent"]
    rejecting.standing = None
    bench.clock.pass_s(CENTRAL.probe_most_s)
    (late,) = bench.queue("1.3")
    other.turn()
    assert bench.states([late]) == ["sent"]


def test_nothing_is_claimed_while_a_destination_is_paused_and_a_restart_does_not_end_it(
    bench: Bench,
) -> None:
    ids = bench.queue("1.1")
    bench.spool.operating.pause("central", "person:ann")
    bench.turns(2)
    bench.stage = bench.started()
    bench.turns(2)
    assert bench.states(ids) == ["queued"]
    assert not bench.archive.given
    bench.spool.operating.resume("central", "person:ann")
    bench.stage.turn()
    assert bench.states(ids) == ["sent"]


def test_each_of_the_first_tries_stands_in_the_history_and_then_ever_fewer(bench: Bench) -> None:
    (one,) = bench.queue("1.1")
    bench.archive.lost_with = lambda _: True
    bench.turns(100)
    lines = [line for line in bench.history(one) if line.startswith("deferred")]
    assert len(lines) == 8 + 3  # 1 to 8, 16, 32, 64
    assert "closed" in lines[0]
    bench.archive.lost_with = lambda _: False
    bench.archive.faults.append(ArchiveAway("timeout"))
    bench.turns(1)
    lines = [line for line in bench.history(one) if line.startswith("deferred")]
    assert "timeout" in lines[-1]


def test_what_was_sent_before_confirm_became_none_need_not_be_confirmed(
    tmp_path: Path, codec: Codec
) -> None:
    bench = Bench(tmp_path, codec, replace(CENTRAL, confirm="query"))
    ids = bench.queue("1.1")
    bench.stage.turn()
    bench.stage.turn()
    assert bench.spool.confirming.waiting("central")[0] == 1
    bench.settings = Settings(destination=(CENTRAL,))
    bench.stage = bench.started()
    bench.turns(2)
    assert bench.spool.confirming.waiting("central")[0] == 0
    assert bench.states(ids) == ["sent"]
    bench.spool.close()


def test_a_sent_object_is_due_to_be_asked_about_after_its_time(
    tmp_path: Path, codec: Codec
) -> None:
    bench = Bench(tmp_path, codec, replace(CENTRAL, confirm="query", confirm_after_s=30.0))
    bench.queue("1.1")
    bell = bench.spool.doorbell("confirm@central")
    bench.stage.turn()
    assert bench.spool.confirming.next_due_s("central") == pytest.approx(30.0)
    began = time.monotonic()
    bell.wait(10.0)  # rung
    assert time.monotonic() - began < 5.0
    bell.close()
    bench.spool.close()


FAILING = replace(CENTRAL, fallback="second", fallback_after_s=600.0)


@pytest.fixture
def failing(tmp_path: Path, codec: Codec) -> Iterator[Bench]:
    found = Bench(tmp_path, codec, FAILING, SECOND)
    away = ArchiveAway("connection-refused", "", whole=True)
    found.archive.standing = found.archive.unreachable = away
    yield found
    found.spool.close()


def test_another_archive_stands_in_after_its_time_also_over_a_restart(failing: Bench) -> None:
    ids = failing.queue("1.1", "1.2")
    failing.turns(2, each_s=300.0)
    failing.stage = failing.started()
    failing.turns(1, each_s=299.0)
    assert failing.states(ids, "second") == ["none", "none"]
    failing.turns(2, each_s=60.0)
    assert failing.states(ids, "second") == ["queued", "queued"]
    assert failing.states(ids) == ["queued", "queued"]
    assert failing.spool.operating.stands_in("central") == "second"


def test_what_comes_meanwhile_goes_to_the_stand_in_once(failing: Bench) -> None:
    failing.queue("1.1")
    failing.turns(4, each_s=400.0)
    (late,) = failing.queue("1.2")
    failing.turns(3, each_s=60.0)
    (found,) = failing.spool.counting.show(str(late))
    to = sorted(one["destination"] for one in found["deliveries"])
    assert to == ["central", "second"]


@pytest.mark.parametrize(("rule", "state"), [("send-too", "sent"), ("keep-there", "cancelled")])
def test_when_the_first_is_back_it_gets_what_its_rule_says(
    tmp_path: Path, codec: Codec, rule: str, state: str
) -> None:
    first = replace(FAILING, fallback_back=rule)  # type: ignore[arg-type]
    bench = Bench(tmp_path, codec, first, SECOND)
    away = ArchiveAway("connection-refused", "", whole=True)
    bench.archive.standing = bench.archive.unreachable = away
    trigger, kept = bench.queue("1.1", "1.2")
    bench.turns(4, each_s=400.0)
    settings = bench.settings
    other = Forward(settings, bench.spool, codec, SECOND)
    other.archive = ToldArchive()
    other.turn()
    assert bench.states([trigger, kept], "second") == ["sent", "sent"]
    bench.archive.standing = bench.archive.unreachable = None
    bench.archive.size = replace(bench.archive.size, count_most=1)
    bench.turns(4, each_s=60.0)
    assert bench.states([trigger, kept]) == ["sent", state]
    assert bench.spool.operating.stands_in("central") == ""
    bench.spool.close()


def test_what_waits_for_a_destination_that_left_the_configuration_is_named(
    bench: Bench, codec: Codec, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.queue("1.1")
    without = Settings(destination=(SECOND,))
    assert stranded(without, bench.spool) == {"central": {"queued": 1}}
    assert stranded(bench.settings, bench.spool) == {}
    from gateway import logs

    logs.begin()
    for loop in forward.parts(without, bench.spool, codec):
        loop._close()
        loop._bell.close()
    assert "forward stranded destination=central queued=1" in capsys.readouterr().err
