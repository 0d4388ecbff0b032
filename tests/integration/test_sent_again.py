"""Sent again, with the real program: both are kept, the rule is applied and shown, at any time."""

import itertools
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from spool.store import Spool
from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway, archive
from tests.fakes.data_sets import IMPLICIT
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, several, small
from tests.fakes.rewriting import UIDS
from tests.fakes.running import Running
from tests.fakes.scripted_archive import Fault, ScriptedArchive
from tests.fakes.spools import confirm as confirm_delivery

OTHER = bytes(256)
#: The received bytes go to the archive as they are, so that they can be compared.
AS_RECEIVED = {"transfer_syntax": "none", "workers": 1}


class Box:
    """A gateway with one rule, its archive, and a modality that sends one object at a time."""

    def __init__(self, gateway: Gateway, peer: ScriptedArchive) -> None:
        self.gateway, self.peer = gateway, peer
        self.running: Running = gateway.start()

    def store(self, uid: str, data: bytes, syntax: str = ul.EXPLICIT) -> None:
        with Modality(self.gateway.port, ((ul.US_IMAGE, (syntax,)),)) as modality:
            assert modality.store(ul.US_IMAGE, uid, data) == 0

    def instances(self, uid: str) -> list[dict[str, Any]]:
        return [one for one in self.gateway.queue() if one["sop_instance_uid"] == uid]

    def spool(self) -> Spool:
        return Spool(self.gateway.state_dir, self.gateway.state_dir / "run")

    def came(self, uid: str) -> list[bytes]:
        """Return what the archive got under this UID, in order: a repeat is harmless."""
        return [data for data, _ in itertools.groupby(self.peer.bytes_of(uid))]

    def wait_for(self, uid: str, wanted: list[bytes]) -> None:
        self.peer.wait_for(lambda: len(self.came(uid)) >= len(wanted))
        assert self.came(uid) == wanted

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Return once `holds`; it is asked when the log has news."""
        known = -1
        while not holds():
            count = self.running.news(known, 20)
            assert count > known, "nothing happens any more"
            known = count


@pytest.fixture
def box(
    make_gateway: Callable[..., Gateway], make_archive: Callable[..., ScriptedArchive]
) -> Callable[..., Box]:
    def make(rule: str = "hold", confirm: str = "query", **sections: object) -> Box:
        peer = make_archive()
        source = [{"name": "us", "ae_title": "US1", "on_conflict": rule}]
        given = {"compress": AS_RECEIVED, "destination": [archive(peer.port, confirm=confirm)]}
        return Box(make_gateway(**(given | {"source": source} | sections)), peer)

    return make


def bring_to(box: Box, time: str) -> tuple[str, bytes]:
    """Bring a first object to this point of its life; return its UID and bytes."""
    uid = new_uid()
    data = small(uid)
    if time == "queued":
        box.peer.standing = Fault.REJECT
        box.store(uid, data)
        box.running.wait_for("forward@archive away")
        return uid, data
    box.store(uid, data)
    box.wait_until(lambda: [one["state"] for one in deliveries(box, uid)] == ["sent"])
    if time in ("confirmed", "retired"):
        confirm(box, uid)
    if time == "retired":
        retire(box)
        assert box.instances(uid)[0]["state"] == "retired"
    return uid, data


def deliveries(box: Box, uid: str) -> list[dict[str, Any]]:
    return [delivery for one in box.instances(uid) for delivery in one["deliveries"]]


def confirm(box: Box, uid: str) -> None:
    """Until the destinations can, the store does it."""
    spool = box.spool()
    (delivery,) = deliveries(box, uid)
    confirm_delivery(spool, delivery["id"])
    spool.close()


def retire(box: Box) -> None:
    spool = box.spool()
    spool.ageing.tick()
    assert spool.retiring.retire(0) >= 1
    spool.close()


def both_are_kept(box: Box, uid: str, first: bytes, second: bytes) -> None:
    one, other = box.instances(uid)
    if one["state"] != "retired":
        assert box.gateway.data_set(one) == first
    assert box.gateway.data_set(other) == second


@pytest.mark.parametrize("rule", ["hold", "keep-first", "send-both-in-order"])
def test_other_bytes_under_the_same_uid_are_both_kept_and_the_rule_is_applied_at_any_time(
    rule: str, box: Callable[..., Box]
) -> None:
    made = box(rule)
    for time in ("retired", "confirmed", "sent", "queued"):
        uid, first = bring_to(made, time)
        second = small(uid, pixels=OTHER)
        made.store(uid, second)
        waits_for_its_end(made, uid, rule)
        both_are_kept(made, uid, first, second)
        made.peer.standing = 0
        made.wait_for(uid, [first, second] if rule == "send-both-in-order" else [first])
        shown(made, rule, uid)
        if rule != "send-both-in-order":
            decided_otherwise(made, rule, uid, [first, second])


def waits_for_its_end(box: Box, uid: str, rule: str) -> None:
    ended = "held" if rule == "hold" else "ready"
    box.wait_until(lambda: box.instances(uid)[1]["state"] == ended)


def shown(box: Box, rule: str, uid: str) -> None:
    """`queue show` says in words what came of the second."""
    second = box.instances(uid)[1]
    said = box.gateway.verb("queue", "show", str(second["id"])).stdout
    if rule == "hold":
        assert second["reason"]["code"] == "conflict"
        assert "[conflict]" in said
    elif rule == "keep-first":
        (delivery,) = second["deliveries"]
        assert (delivery["state"], delivery["error"]["code"]) == ("cancelled", "kept-first")
        assert "[kept-first]" in said
    assert "conflict" in said


def decided_otherwise(box: Box, rule: str, uid: str, wanted: list[bytes]) -> None:
    """A person sends the second after all."""
    what = {"hold": "release", "keep-first": "resend"}[rule]
    done = box.gateway.verb("queue", what, str(box.instances(uid)[1]["id"]))
    assert done.returncode == 0, done.stderr
    box.wait_for(uid, wanted)


def test_in_order_the_first_that_the_archive_refuses_keeps_the_second_waiting_with_its_reason(
    box: Callable[..., Box],
) -> None:
    made, uid = box("send-both-in-order"), new_uid()
    made.peer.statuses[uid] = 0xA900
    first, second = small(uid), small(uid, pixels=OTHER)
    made.store(uid, first)
    made.running.wait_for("forward@archive held")
    made.store(uid, second)
    made.running.wait_for("prepare ready", 2)
    waits = made.instances(uid)[1]["deliveries"][0]
    assert (waits["state"], waits["error"]["code"]) == ("queued", "waits-for-earlier")
    stranger = new_uid()
    made.store(stranger, small(stranger))
    made.peer.wait_for(lambda: bool(made.peer.bytes_of(stranger)))
    del made.peer.statuses[uid]
    assert made.gateway.verb("queue", "retry", str(made.instances(uid)[0]["id"])).returncode == 0
    made.peer.wait_for(lambda: made.peer.bytes_of(uid)[-1:] == [second])
    assert made.peer.bytes_of(uid)[-2:] == [first, second]


def test_the_same_bytes_ten_times_over_ten_associations_at_once_are_stored_once(
    box: Callable[..., Box],
) -> None:
    made, uid = box(confirm="none"), new_uid()
    data = small(uid)
    with ThreadPoolExecutor(5) as modalities:
        list(modalities.map(lambda _: made.store(uid, data), range(10)))
    made.running.wait_for("prepare merged", 9)
    made.running.wait_for("forward@archive sent")
    counts = made.gateway.status()["instances"]
    assert (counts["ready"], counts["merged"]) == (1, 9)
    assert len(list((made.gateway.state_dir / "spool/blobs").glob("*/*.dcm"))) == 1
    assert made.peer.bytes_of(uid) == [data]


def test_after_a_year_a_resend_is_acknowledged_and_neither_kept_nor_sent_again(
    box: Callable[..., Box],
) -> None:
    made = box()
    uid, data = bring_to(made, "retired")
    made.store(uid, data)
    made.store(uid, small(uid, form=IMPLICIT), UIDS[IMPLICIT])
    made.running.wait_for("prepare merged", 2)
    states = [one["state"] for one in made.instances(uid)]
    assert states == ["retired", "merged", "merged"]
    assert not list((made.gateway.state_dir / "spool/blobs").glob("*/*.dcm"))
    assert made.peer.bytes_of(uid) == [data]
    (_, same), (_, encoded) = (
        one["history"][-2:]
        for one in made.gateway._json("queue", "show", uid, "--json")["instances"][1:]
    )
    assert "encoded as" not in same["detail"]
    assert UIDS[IMPLICIT] in encoded["detail"]


def test_a_real_picture_that_comes_again_compressed_is_kept_once(
    box: Callable[..., Box],
    store: Callable[..., Any],
    program: Callable[[str], str],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    made = box(compress={"workers": 1}, confirm="none")
    (picture,) = several(sample("CT_small.dcm"), tmp_path / "sent", 1)
    coded = tmp_path / "coded.dcm"
    subprocess.run([program("dcmcrle"), str(picture), str(coded)], check=True)
    assert store(made.gateway.port, [picture]).acknowledged == (picture,)
    made.running.wait_for("forward@archive sent")
    assert store(made.gateway.port, [coded], "-xr").acknowledged == (coded,)
    made.running.wait_for("prepare merged")
    assert len(made.peer.took) == 1
