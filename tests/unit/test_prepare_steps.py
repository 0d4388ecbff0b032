"""The steps structure, again and routes, and how prepare ends a turn: merged, held or deferred."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.codec.pool import Codec
from gateway.config.model import Compress, Destination, Route, Settings
from gateway.filing import file_in
from gateway.prepare import packing, structure
from gateway.stages.prepare import ATTEMPTS_MOST, DEFER_S, Prepare
from spool.errors import Hold, SpoolFull
from spool.store import Spool
from tests.fakes.objects import small
from tests.fakes.routed import when
from tests.fakes.spools import (
    EXPLICIT,
    UID,
    FakeClock,
    arrival,
    arrive,
    claimed,
    delivery_states,
    history_of,
    opened,
    state_of,
)

WHOLE = small(UID)
SETTINGS = Settings(
    compress=Compress(transfer_syntax="none", workers=1),
    destination=(
        Destination(name="central", host="127.0.0.1", port=1, ae_title="A"),
        Destination(name="cloud", kind="dicomweb", url="https://dicom.example.org"),
    ),
)

US = when({"modality": "US"})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=1 << 30, cpu_s=10, frame_bytes_most=1 << 20)
    yield found
    found.close()


@pytest.fixture
def stage(spool: Spool, codec: Codec) -> Prepare:
    return Prepare(SETTINGS, spool, codec, "")


def reason_of(spool: Spool, instance_id: int) -> str:
    (found,) = spool.counting.show(str(instance_id))
    return str(found["reason"])


def test_a_sound_data_set_says_to_what_it_belongs(spool: Spool) -> None:
    arrive(spool, WHOLE)
    belongs = structure.examine(claimed(spool))
    assert belongs == structure.Belongs("1.2.3.4", "1.2.3.5", walked=True)


@pytest.mark.parametrize(
    ("data", "comes", "code"),
    [
        (WHOLE[:-1], arrival(), "structure"),
        (WHOLE + b"\0", arrival(), "structure"),
        (WHOLE + b"\xfe\xff\0\xe0\0\0\0\0", arrival(), "structure"),
        (b"garbage that is no data set", arrival(), "structure"),
        (WHOLE, arrival(uid="1.2.3.4.5"), "uid-mismatch"),
        (small(UID, "1.2.840.10008.5.1.4.1.1.7"), arrival(), "uid-mismatch"),
        (small(""), arrival(), "no-sop-instance-uid"),
    ],
)
def test_what_is_not_what_its_carrier_said_is_held_with_its_reason(
    spool: Spool, data: bytes, comes: Any, code: str
) -> None:
    arrive(spool, data, comes)
    with pytest.raises(Hold) as caught:
        structure.examine(claimed(spool))
    assert caught.value.code == code


def test_what_a_person_waived_is_let_by_unwalked(spool: Spool) -> None:
    instance_id = arrive(spool, WHOLE[:-1])
    spool.preparing.hold(claimed(spool), "structure", "")
    spool.deciding.release(instance_id, "person:ann")
    assert not structure.examine(claimed(spool)).walked


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1.99", "1.3.6.1.4.1.5962.300.1"])
def test_what_nobody_here_can_walk_is_let_by_as_it_is(spool: Spool, syntax: str) -> None:
    arrive(spool, b"\x01\x02 not to be walked", arrival(syntax=syntax))
    assert not structure.examine(claimed(spool)).walked


def test_without_routes_an_instance_goes_to_every_destination(spool: Spool, stage: Prepare) -> None:
    instance_id = arrive(spool, WHOLE)
    stage.turn()
    (found,) = spool.counting.show(str(instance_id))
    assert {one["destination"] for one in found["deliveries"]} == {"central", "cloud"}


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (Settings(), "no-destination"),
        (replace(SETTINGS, route=(Route(from_=("folder",), to=("central",)),)), "no-route"),
        (replace(SETTINGS, route=(Route(when=US, to=("central",)),)), "route-unclear"),
    ],
)
def test_what_would_go_nowhere_is_held_and_goes_once_there_is_a_way(
    spool: Spool, codec: Codec, stage: Prepare, settings: Settings, code: str
) -> None:
    deflated = arrival(syntax="1.2.840.10008.1.2.1.99")
    instance_id = arrive(spool, b"\x01\x02 not to be walked", deflated)
    Prepare(settings, spool, codec, "").turn()
    assert (state_of(spool, instance_id), reason_of(spool, instance_id)) == ("held", code)
    assert delivery_states(spool, instance_id) == []
    spool.deciding.retry(instance_id, "person:ann")
    stage.turn()
    assert (state_of(spool, instance_id)) == "ready"
    assert delivery_states(spool, instance_id) == ["queued", "queued"]


def test_released_a_rule_that_cannot_be_judged_does_not_match(spool: Spool, codec: Codec) -> None:
    routes = (Route(when=US, to=("central",)), Route(from_=("ae",), to=("cloud",)))
    settings = replace(SETTINGS, route=routes)
    instance_id = arrive(spool, b"not to be walked", arrival(syntax="1.2.840.10008.1.2.1.99"))
    Prepare(settings, spool, codec, "").turn()
    assert reason_of(spool, instance_id) == "route-unclear"
    spool.deciding.release(instance_id, "person:ann")
    Prepare(settings, spool, codec, "").turn()
    (found,) = spool.counting.show(str(instance_id))
    assert [one["destination"] for one in found["deliveries"]] == ["cloud"]


def test_a_turn_makes_an_instance_ready_and_says_when_to_look_again(
    spool: Spool, stage: Prepare
) -> None:
    instance_id = arrive(spool, WHOLE)
    assert stage.turn() == 0.0
    assert state_of(spool, instance_id) == "ready"
    assert delivery_states(spool, instance_id)[0] == "queued"
    assert stage.turn() > 0


def test_a_resend_is_stored_once_and_delivered_once(spool: Spool, stage: Prepare) -> None:
    first, again_id = arrive(spool, WHOLE), arrive(spool, WHOLE)
    stage.turn()
    stage.turn()
    assert state_of(spool, again_id) == "merged"
    assert len(delivery_states(spool, first)) == len(SETTINGS.destination)
    assert delivery_states(spool, again_id) == []
    assert len(list(spool.blobs.names())) == 1


def test_other_bytes_under_the_same_uid_are_both_kept(spool: Spool, stage: Prepare) -> None:
    first = arrive(spool, WHOLE)
    second = arrive(spool, small(UID, pixels=bytes(256)))
    stage.turn()
    stage.turn()
    assert state_of(spool, first) == "ready"
    assert (state_of(spool, second), reason_of(spool, second)) == ("held", "conflict")
    assert len(list(spool.blobs.names())) == 2


def test_a_whole_image_after_a_truncated_one_goes_its_way(spool: Spool, stage: Prepare) -> None:
    broken, whole = arrive(spool, WHOLE[:-1]), arrive(spool, WHOLE)
    stage.turn()
    stage.turn()
    assert (state_of(spool, broken), state_of(spool, whole)) == ("held", "ready")


def test_a_file_with_another_bit_in_it_is_held_as_damaged(spool: Spool, stage: Prepare) -> None:
    instance_id = arrive(spool, WHOLE)
    (name,) = spool.blobs.names()
    path = spool.blobs.path(name)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    stage.turn()
    assert (state_of(spool, instance_id), reason_of(spool, instance_id)) == ("held", "damaged")


def test_a_resend_of_a_damaged_image_takes_its_place(spool: Spool, stage: Prepare) -> None:
    damaged = arrive(spool, WHOLE)
    (name,) = spool.blobs.names()
    spool.blobs.path(name).unlink()
    stage.turn()
    assert reason_of(spool, damaged) == "damaged"
    again_id = arrive(spool, WHOLE)
    stage.turn()
    assert state_of(spool, again_id) == "ready"


@pytest.mark.parametrize("fault", [SpoolFull("no room"), OSError("the disk"), MemoryError()])
def test_what_fails_here_is_no_fault_of_the_image(
    spool: Spool,
    clock: FakeClock,
    stage: Prepare,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    instance_id = arrive(spool, WHOLE)

    def failing(*_: object) -> None:
        raise fault

    with monkeypatch.context() as patched:
        patched.setattr(structure, "examine", failing)
        for _ in range(ATTEMPTS_MOST + 3):
            stage.turn()
            clock.pass_s(DEFER_S)
    wanted = "held" if isinstance(fault, MemoryError) else "received"
    assert state_of(spool, instance_id) == wanted
    if wanted == "received":
        stage.turn()
        assert state_of(spool, instance_id) == "ready"


def test_an_image_that_ends_the_process_again_and_again_waits_for_a_person(
    spool: Spool, clock: FakeClock, stage: Prepare
) -> None:
    poison = arrive(spool, WHOLE)
    for _ in range(ATTEMPTS_MOST):
        claimed(spool)  # and here the process ends
        spool.preparing.end_leases()
    after = arrive(spool, small("1.2.9"), arrival(uid="1.2.9"))
    stage.turn()
    stage.turn()
    assert (state_of(spool, poison), state_of(spool, after)) == ("held", "ready")


def test_a_person_who_holds_what_prepare_would_hold_ends_no_process(
    spool: Spool, stage: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance_id = arrive(spool, WHOLE[:-1])
    real = structure.examine

    def meanwhile(instance: Any) -> Any:
        spool.deciding.hold(instance_id, "person:ann")
        return real(instance)

    monkeypatch.setattr(structure, "examine", meanwhile)
    stage.turn()
    assert history_of(spool, instance_id)[-1] == ("person:ann", "hold")


def test_renditions_that_came_too_late_leave_no_file(
    spool: Spool,
    codec: Codec,
    sample: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings(compress=Compress(workers=1), destination=SETTINGS.destination)
    instance_id = file_in(spool, sample("CT_small.dcm"), "import").instance_id
    stage, real = Prepare(settings, spool, codec, ""), packing.compress

    def meanwhile(*given: Any, **named: Any) -> Any:
        made = real(*given, **named)
        spool.deciding.hold(instance_id, "person:ann")
        return made

    monkeypatch.setattr(packing, "compress", meanwhile)
    stage.turn()
    assert state_of(spool, instance_id) == "held"
    assert not spool.orphans()


def test_a_compressed_rendition_is_what_is_sent(
    spool: Spool, codec: Codec, sample: Callable[[str], Path]
) -> None:
    settings = Settings(compress=Compress(workers=1), destination=SETTINGS.destination)
    filed = file_in(spool, sample("CT_small.dcm"), "import")
    Prepare(settings, spool, codec, "").turn()
    (found,) = spool.counting.show(str(filed.instance_id))
    received, made = found["renditions"]
    assert (received["transfer_syntax_uid"], made["role"]) == (EXPLICIT, "compressed")
    assert made["proved"] == 1
    assert {one["rendition_id"] for one in found["deliveries"]} == {made["id"]}
    assert not list(spool.blobs.incoming.iterdir())
