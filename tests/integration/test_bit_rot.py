"""One flipped bit on the disk: found by the scrub or before sending, held and named, never sent."""

from collections.abc import Callable

import pytest

from tests.fakes.appliance import Gateway, archive
from tests.fakes.damage import flip, lose_database
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, small
from tests.fakes.running import Running
from tests.fakes.scripted_archive import ScriptedArchive
from tests.fakes.upper_layer import US_IMAGE

STUDY = 4
#: The part of the file, and where in it a bit is flipped.
PARTS: dict[str, Callable[[dict[str, int]], int]] = {
    "preamble": lambda _: 45,
    "file meta": lambda where: where["dataset_offset"] - 30,
    "data set": lambda where: where["dataset_offset"] + where["bytes"] // 2,
}


def send_study(port: int) -> list[str]:
    uids = [new_uid() for _ in range(STUDY)]
    with Modality(port) as modality:
        for uid in uids:
            assert modality.store(US_IMAGE, uid, small(uid)) == 0
        modality.release()
    return uids


def rot(gateway: Gateway, uid: str, part: str) -> str:
    """Flip one bit of a part of the received file; return the file's name."""
    (found,) = (one for one in gateway.queue() if one["sop_instance_uid"] == uid)
    (received,) = found["renditions"]
    path = gateway.state_dir / str(received["blob"])
    flip(path, PARTS[part](received))
    return path.name


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("found_by", ["prepare", "forward"])
def test_a_flipped_bit_is_found_before_sending_and_the_others_of_the_study_go(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
    part: str,
    found_by: str,
) -> None:
    port = free_port()
    gateway = make_gateway(destination=[archive(port)], scrub={"days": 3650})
    processes = ("intake",) if found_by == "prepare" else ()
    running = gateway.start(*processes)
    rotten, *others = send_study(gateway.port)
    if found_by == "forward":
        running.wait_for("prepare ready", STUDY)
    running.kill()
    rot(gateway, rotten, part)
    peer = make_archive(None, port)
    goes_on_without(rotten, others, gateway, gateway.start(), peer)
    held = {one["sop_instance_uid"]: one for one in gateway.queue("held")}[rotten]
    told = held["reason"] if found_by == "prepare" else held["deliveries"][0]["error"]
    assert told["code"] == "damaged"


def goes_on_without(
    rotten: str, others: list[str], gateway: Gateway, running: Running, peer: ScriptedArchive
) -> None:
    """Assert that all but the damaged one are sent, and that one is named."""
    gateway.settle(running)
    assert sorted(one.sop_instance_uid for one in peer.took) == sorted(others)
    held = [one["sop_instance_uid"] for one in gateway.queue("held")]
    assert held == [rotten]


@pytest.mark.parametrize("part", PARTS)
def test_the_scrub_finds_a_flipped_bit_in_what_only_waits(
    make_gateway: Callable[..., Gateway], free_port: Callable[[], int], part: str
) -> None:
    away = archive(free_port(), probe_most_s=600)
    gateway = make_gateway(destination=[away], scrub={"days": 0, "bytes_per_s": 10_000_000})
    running = gateway.start()
    rotten, *others = send_study(gateway.port)
    running.wait_for("prepare ready", STUDY)
    name = rot(gateway, rotten, part)
    (line,) = running.wait_for("tend damaged")[:1]
    assert name in line
    assert part in line
    states = {uid: one["state"] for uid, one in gateway.deliveries().items()}
    assert states == {rotten: "held"} | dict.fromkeys(others, "queued")
    code = gateway.deliveries()[rotten]["error"]["code"]
    assert code == "damaged"


@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_file_without_a_row_is_held_or_named_and_the_others_go(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
    part: str,
) -> None:
    port = free_port()
    gateway = make_gateway(destination=[archive(port)])
    running = gateway.start("intake")
    rotten, *others = send_study(gateway.port)
    running.kill()
    rot(gateway, rotten, part)
    lose_database(gateway.state_dir)
    peer = make_archive(None, port)
    goes_on_without(rotten, others, gateway, gateway.start(), peer)
    codes = {one["code"] for one in gateway.status()["incidents"]}
    assert ("blob-damaged" in codes) is (part != "data set")


def test_a_person_sends_what_was_received_in_place_of_a_damaged_compressed_file(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    gateway = make_gateway(destination=[archive(port)])
    running = gateway.start()
    uid = new_uid()
    sent = small(uid, side=48)
    with Modality(gateway.port) as modality:
        assert modality.store(US_IMAGE, uid, sent) == 0
        modality.release()
    running.wait_for("prepare ready")
    running.kill()
    (found,) = gateway.queue()
    (compressed,) = (one for one in found["renditions"] if one["role"] == "compressed")
    flip(gateway.state_dir / compressed["blob"], PARTS["data set"](compressed))
    peer = make_archive(None, port)
    running = gateway.start()
    gateway.settle(running)
    assert not peer.took
    assert gateway.deliveries()[uid]["error"]["code"] == "damaged"
    assert gateway.verb("queue", "retry", uid).returncode == 0
    gateway.settle(running)
    assert [one.data for one in peer.took] == [sent]
