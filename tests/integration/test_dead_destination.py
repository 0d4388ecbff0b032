"""One dead destination of three: the others' latency stays, and its backlog drains in order."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise

import pytest

from tests.fakes.appliance import Gateway, archive
from tests.fakes.black_hole import BlackHole
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, small
from tests.fakes.scripted_archive import ScriptedArchive
from tests.fakes.upper_layer import US_IMAGE

IMAGES = 40
#: The median may be so many times the one without a dead destination, and never below a few ms.
RATIO_MOST, NOISE_S = 3.0, 0.02
SOURCES = [
    {"name": "emergency", "ae_title": "STAT1", "priority": "stat"},
    {"name": "archive", "ae_title": "OLD1", "priority": "backlog"},
]
#: Calling AE title -> how urgent it is.
RANKS = {"STAT1": 0, "US1": 1, "US2": 1, "OLD1": 2}


def latencies(gateway: Gateway, peers: list[ScriptedArchive]) -> list[float]:
    """Return the seconds from each answer to the modality until every one of `peers` has it."""
    found = []
    for _ in range(IMAGES):
        uid = new_uid()
        with Modality(gateway.port) as modality:
            assert modality.store(US_IMAGE, uid, small(uid)) == 0
            begun = time.monotonic()
            for peer in peers:
                peer.wait_for(lambda peer=peer, uid=uid: bool(peer.bytes_of(uid)))  # type: ignore[misc]
            found.append(time.monotonic() - begun)
            modality.release()
    return found


@pytest.fixture
def dead(ending: ExitStack) -> BlackHole:
    hole = BlackHole()
    ending.callback(hole.close)
    return hole


def send_from(port: int, calling: str, count: int) -> list[str]:
    """Send `count` images as the modality with this AE title; return their UIDs."""
    uids = [new_uid() for _ in range(count)]
    with Modality(port, calling=calling.encode()) as modality:
        for uid in uids:
            assert modality.store(US_IMAGE, uid, small(uid)) == 0
        modality.release()
    return uids


def test_the_latency_of_two_archives_does_not_move_when_a_third_is_a_black_hole(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    dead: BlackHole,
) -> None:
    peers = [make_archive(), make_archive()]
    here = [archive(peer.port, f"peer-{number}") for number, peer in enumerate(peers)]
    gateway = make_gateway(destination=here)
    running = gateway.start()
    alone = statistics.median(latencies(gateway, peers))
    running.kill()
    gateway = make_gateway(destination=[*here, archive(dead.port, "third", connect_s=2)])
    running = gateway.start()
    beside = statistics.median(latencies(gateway, peers))
    running.wait_for("forward@third away")
    assert gateway.status()["deliveries"]["third"]["queued"] == IMAGES
    assert beside <= max(RATIO_MOST * alone, NOISE_S)


def test_the_backlog_of_an_archive_that_comes_back_drains_by_urgency_and_in_fair_turns(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    dead: BlackHole,
) -> None:
    gateway = make_gateway(
        destination=[archive(dead.port, connect_s=1, probe_most_s=1)], source=SOURCES
    )
    running = gateway.start()
    send_from(gateway.port, "US1", 1)  # the one that finds out that nobody is there
    running.wait_for("forward@archive away")
    came_from = {
        uid: calling
        for calling in ("OLD1", "US1", "US2", "STAT1")
        for uid in send_from(gateway.port, calling, IMAGES)
    }
    running.wait_for("prepare ready", 1 + len(came_from))
    dead.close()
    back = make_archive(None, dead.port)
    back.wait_for(lambda: {one.sop_instance_uid for one in back.took} >= {*came_from}, 60)
    order = [came_from[uid] for one in back.took if (uid := one.sop_instance_uid) in came_from]
    assert len(order) == len(came_from)
    assert [RANKS[calling] for calling in order] == sorted(RANKS[calling] for calling in order)
    usual = [calling for calling in order if RANKS[calling] == 1]
    assert all(one != other for one, other in pairwise(usual)), "the doors take turns"
