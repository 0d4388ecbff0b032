"""forward: what each answer of an archive does to the delivery, the breaker and the others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.config.model import Destination, Settings
from gateway.stages.forward import Forward
from tests.fakes.objects import small
from tests.fakes.scripted_archive import Fault, ScriptedArchive
from tests.fakes.spools import FakeClock, arrival, arrive, make_ready, opened

IMPLICIT = "1.2.840.10008.1.2"


class Bench:
    """One archive that does as it is told, and the stage that sends to it."""

    def __init__(self, folder: Path, archive: ScriptedArchive, codec: Codec) -> None:
        self.clock = FakeClock()
        self.spool, self.archive, self._codec = opened(folder, self.clock), archive, codec
        self.destination = Destination(
            name="central",
            host="127.0.0.1",
            port=archive.port,
            ae_title="ARCHIVE",
            confirm="none",
            connect_s=5.0,
            answer_s=0.5,
        )
        self.stage = self.started()

    def started(self) -> Forward:
        settings = Settings(destination=(self.destination,))
        return Forward(settings, self.spool, self._codec, self.destination)

    def queue(self, uid: str = "1.2.3") -> int:
        instance_id = arrive(self.spool, small(uid), arrival(uid=uid))
        make_ready(self.spool)
        return instance_id

    def delivery(self, instance_id: int) -> dict[str, object]:
        (found,) = self.spool.counting.show(str(instance_id))
        (delivery,) = found["deliveries"]
        return dict(delivery)

    def turns(self, count: int) -> None:
        """Turn, the longest wait apart."""
        for _ in range(count):
            self.stage.turn()
            self.clock.pass_s(self.destination.retry_most_s)


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=1 << 30, cpu_s=10, frame_bytes_most=1 << 20)
    yield found
    found.close()


@pytest.fixture
def archive() -> Iterator[ScriptedArchive]:
    found = ScriptedArchive()
    yield found
    found.close()


@pytest.fixture
def bench(tmp_path: Path, archive: ScriptedArchive, codec: Codec) -> Iterator[Bench]:
    found = Bench(tmp_path, archive, codec)
    yield found
    found.stage.archive.release()
    found.spool.close()


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB007, 0x0111, 0x0107])
def test_success_a_warning_and_a_duplicate_are_sent_and_the_status_is_kept(
    bench: Bench, status: int
) -> None:
    bench.archive.standing = status
    instance_id = bench.queue()
    bench.stage.turn()
    delivery = bench.delivery(instance_id)
    assert delivery["state"] == "sent"
    assert (f"{status:04X}" in str(delivery["error_text"])) == bool(status)
    assert bench.archive.bytes_of("1.2.3") == [small("1.2.3")]


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xCFFF, 0x0110, 0x0117, 0x0122, 0x0124])
def test_an_object_that_is_refused_three_times_is_held_and_not_before(
    bench: Bench, status: int
) -> None:
    bench.archive.standing = status
    instance_id = bench.queue()
    bench.turns(2)
    assert bench.delivery(instance_id)["state"] == "queued"
    bench.turns(1)
    delivery = bench.delivery(instance_id)
    assert (delivery["state"], delivery["error_code"]) == ("held", f"status-{status:04X}")
    assert bench.archive.bytes_of("1.2.3") == [small("1.2.3")] * 3
    assert bench.spool.breakers.get("central").state == "closed"


@pytest.mark.parametrize("status", [0xA800, 0xFFFF, 0x0002])
def test_a_status_that_no_table_has_is_held_at_once(bench: Bench, status: int) -> None:
    bench.archive.standing = status
    instance_id = bench.queue()
    bench.turns(1)
    assert bench.delivery(instance_id)["state"] == "held"


@pytest.mark.parametrize("status", [0xA700, 0xA7FF])
def test_a_busy_archive_is_waited_for_and_no_object_is_held_for_it(
    bench: Bench, status: int
) -> None:
    bench.archive.standing = status
    first, second = bench.queue("1.2.1"), bench.queue("1.2.2")
    bench.turns(19)
    assert {bench.delivery(one)["state"] for one in (first, second)} == {"queued"}
    assert bench.spool.breakers.get("central").state == "open"
    bench.archive.standing = 0
    bench.turns(4)
    assert {bench.delivery(one)["state"] for one in (first, second)} == {"sent"}
    assert bench.spool.breakers.get("central").state == "closed"


def test_one_refused_object_does_not_stop_the_next(bench: Bench) -> None:
    bench.archive.statuses["1.2.1"] = 0xC000
    bad, good = bench.queue("1.2.1"), bench.queue("1.2.2")
    bench.stage.turn()
    bench.stage.turn()
    assert bench.delivery(bad)["state"] == "queued"
    assert bench.delivery(good)["state"] == "sent"


@pytest.mark.parametrize(
    "fault", [Fault.REJECT, Fault.SILENT, Fault.HANG, Fault.ABORT_IN, Fault.ABORT_AFTER]
)
def test_an_archive_that_fails_costs_nothing_but_time(bench: Bench, fault: Fault) -> None:
    bench.archive.standing = fault
    instance_id = bench.queue()
    bench.turns(4)
    delivery = bench.delivery(instance_id)
    assert (delivery["state"], delivery["refusals"]) == ("queued", 0)
    assert delivery["error_code"]
    bench.archive.standing = 0
    bench.turns(3)
    assert bench.delivery(instance_id)["state"] == "sent"
    assert set(bench.archive.bytes_of("1.2.3")) == {small("1.2.3")}


def test_an_archive_that_is_away_opens_the_breaker_and_burns_no_attempts(bench: Bench) -> None:
    bench.archive.close()
    ids = [bench.queue(f"1.2.{number}") for number in range(5)]
    bench.turns(10)
    breaker = bench.spool.breakers.get("central")
    assert (breaker.state, breaker.error_code) == ("open", "connection-refused")
    assert breaker.failures > 5
    assert sum(int(str(bench.delivery(one)["attempts"])) for one in ids) == 1


def test_when_the_archive_is_back_all_that_waited_goes_over_one_association(
    bench: Bench, codec: Codec
) -> None:
    port = bench.archive.port
    bench.archive.close()
    ids = [bench.queue(f"1.2.{number}") for number in range(5)]
    bench.turns(3)
    back = ScriptedArchive(port=port)
    bench.stage.turn()  # the probe
    bench.clock.pass_s(2)
    for _ in ids:
        bench.stage.turn()
    assert {bench.delivery(one)["state"] for one in ids} == {"sent"}
    assert len({one.association for one in back.took}) == 1
    back.close()


def test_a_clock_that_was_set_back_does_not_keep_an_archive_away(bench: Bench) -> None:
    port = bench.archive.port
    bench.archive.close()
    instance_id = bench.queue()
    bench.turns(3)
    bench.clock.now_s -= 365 * 86400
    back = ScriptedArchive(port=port)
    bench.stage.turn()
    bench.clock.pass_s(bench.destination.probe_most_s)
    bench.stage.turn()
    assert bench.delivery(instance_id)["state"] == "sent"
    back.close()


def test_an_archive_that_refuses_the_encoding_gets_another_of_the_same_object(
    tmp_path: Path, codec: Codec
) -> None:
    archive = ScriptedArchive([IMPLICIT, "1.2.840.10008.1.1"])
    bench = Bench(tmp_path, archive, codec)
    instance_id = bench.queue()
    archive.turns.append(0xC000)
    bench.turns(2)
    assert bench.delivery(instance_id)["state"] == "sent"
    first, second = archive.took
    assert first.transfer_syntax_uid == IMPLICIT
    assert first.data == second.data  # the same bytes at every try
    assert not bench.spool.orphans()
    bench.stage.archive.release()
    bench.spool.close()
    archive.close()


def test_an_archive_that_takes_no_encoding_of_it_holds_this_object_alone(
    tmp_path: Path, codec: Codec
) -> None:
    archive = ScriptedArchive(["1.2.840.10008.1.2.4.50"])
    bench = Bench(tmp_path, archive, codec)
    instance_id = bench.queue()
    bench.turns(1)
    delivery = bench.delivery(instance_id)
    assert (delivery["state"], delivery["error_code"]) == ("held", "no-context")
    bench.stage.archive.release()
    bench.spool.close()
    archive.close()


@pytest.mark.parametrize("damage", ["a bit", "gone"])
def test_what_is_not_what_was_written_is_never_sent(bench: Bench, damage: str) -> None:
    instance_id = bench.queue()
    (name,) = bench.spool.blobs.names()
    path = bench.spool.blobs.path(name)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink() if damage == "gone" else path.write_bytes(content)
    bench.turns(1)
    delivery = bench.delivery(instance_id)
    assert (delivery["state"], delivery["error_code"]) == ("held", "damaged")
    assert not bench.archive.took


def test_a_delivery_held_by_a_person_meanwhile_is_lost_without_harm(
    bench: Bench,
) -> None:
    instance_id = bench.queue()
    real = bench.stage.archive.send

    def meanwhile(*given: object) -> object:
        answer = real(*given)  # type: ignore[arg-type]
        bench.spool.deciding.hold(instance_id, "person:ann")
        return answer

    bench.stage.archive.send = meanwhile  # type: ignore[assignment,method-assign]
    assert bench.stage.turn() == 0.0
    assert bench.delivery(instance_id)["state"] == "held"


def test_a_transfer_that_is_broken_off_at_the_stop_is_given_back(bench: Bench) -> None:
    bench.archive.standing = Fault.HANG
    instance_id = bench.queue()
    bench.stage.break_off()
    bench.stage.turn()
    delivery = bench.delivery(instance_id)
    assert (delivery["state"], delivery["lease"], delivery["attempts"]) == ("queued", "", 0)


def test_another_destination_goes_on_while_one_is_away(bench: Bench, codec: Codec) -> None:
    other_archive = ScriptedArchive()
    cloud = replace(bench.destination, name="cloud", port=other_archive.port)
    settings = Settings(destination=(bench.destination, cloud))
    other = Forward(settings, bench.spool, codec, cloud)
    bench.archive.close()
    arrive(bench.spool, small("1.2.3"), arrival(uid="1.2.3"))
    make_ready(bench.spool, ["central", "cloud"])
    bench.turns(3)
    other.turn()
    counts = bench.spool.counting.deliveries()
    assert (counts["central"]["queued"], counts["cloud"]["sent"]) == (1, 1)
    other.archive.release()
    other_archive.close()
