"""preparing: leases, and what prepare puts down about an instance in one transaction."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.errors import LostClaim
from spool.model import Decision, Instance, Priority, Rendition, Role
from spool.rows import LEASE_S
from spool.store import Spool
from tests.fakes.spools import (
    EXPLICIT,
    SOP_CLASS,
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

ROOT = Path(__file__).parents[2]
READY = Decision("1.2.3", "1.2.3.4", deliveries=(("central", -1), ("cloud", -1)))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


def compressed(spool: Spool, instance: Instance) -> Rendition:
    about = {
        "sop_class_uid": SOP_CLASS,
        "sop_instance_uid": UID,
        "transfer_syntax_uid": "1.2.840.10008.1.2.4.90",
    }
    incoming = spool.blobs.begin(about)
    incoming.write(b"codestream")
    return Rendition(
        Role.COMPRESSED,
        UID,
        SOP_CLASS,
        "1.2.840.10008.1.2.4.90",
        incoming.keep(),
        made_from=instance.received.id,
        recipe="a recipe",
        proved=True,
    )


def test_what_came_is_claimed_with_all_that_is_known_of_it(spool: Spool, clock: FakeClock) -> None:
    comes = arrival(priority=Priority.STAT)
    instance_id = arrive(spool, b"pixels", comes)
    instance = claimed(spool)
    assert (instance.id, instance.arrival) == (instance_id, comes)
    assert (instance.received_at, instance.attempts) == (clock.now_s, 1)
    assert (instance.received.role, instance.received.proved) == (Role.RECEIVED, True)
    assert instance.received.blob.path.read_bytes().endswith(b"pixels")


def test_the_most_urgent_goes_first_and_then_the_oldest(spool: Spool) -> None:
    wanted = [Priority.BACKLOG, Priority.NORMAL, Priority.STAT, Priority.NORMAL]
    ids = [arrive(spool, comes=arrival(priority=priority)) for priority in wanted]
    assert [claimed(spool).id for _ in ids] == [ids[2], ids[1], ids[3], ids[0]]
    assert spool.preparing.claim() is None


def test_what_is_claimed_is_claimed_once_by_eight_threads(spool: Spool) -> None:
    ids = [arrive(spool, comes=arrival(uid=f"1.2.{number}")) for number in range(40)]
    found: list[int] = []

    def work() -> None:
        while instance := spool.preparing.claim():
            found.append(instance.id)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ids


def test_what_is_claimed_is_claimed_once_by_two_processes(tmp_path: Path, spool: Spool) -> None:
    ids = [arrive(spool, comes=arrival(uid=f"1.2.{number}")) for number in range(40)]
    work = (
        "import sys\nfrom pathlib import Path\nfrom spool.store import Spool\n"
        "spool = Spool(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "while one := spool.preparing.claim():\n    print(one.id)\n"
        "spool.close()\n"
    )
    command = [sys.executable, "-c", work, str(tmp_path / "state"), str(tmp_path / "run")]
    children = [
        subprocess.Popen(
            command, env={"PYTHONPATH": str(ROOT / "queue")}, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    printed = [child.communicate()[0].split() for child in children]
    assert sorted(int(one) for found in printed for one in found) == ids


def test_a_lease_ends_after_its_time(spool: Spool, clock: FakeClock) -> None:
    arrive(spool)
    first = claimed(spool)
    clock.pass_s(LEASE_S - 1)
    assert spool.preparing.claim() is None
    clock.pass_s(1)
    assert claimed(spool).id == first.id


def test_a_lease_ends_with_the_boot(spool: Spool, clock: FakeClock) -> None:
    arrive(spool)
    first = claimed(spool)
    clock.reboot()
    second = claimed(spool)
    assert (second.id, second.attempts) == (first.id, 2)


def test_a_stage_that_starts_ends_its_own_leases(spool: Spool) -> None:
    arrive(spool)
    first = claimed(spool)
    spool.preparing.end_leases()
    assert claimed(spool).id == first.id


def test_a_wall_clock_that_steps_does_not_end_a_lease(spool: Spool, clock: FakeClock) -> None:
    arrive(spool)
    claimed(spool)
    clock.now_s += 365 * 86400
    assert spool.preparing.claim() is None


@pytest.mark.parametrize("end", ["ready", "hold", "merge", "defer"])
def test_whoever_lost_the_lease_puts_nothing_down(spool: Spool, clock: FakeClock, end: str) -> None:
    instance_id = arrive(spool)
    slow = claimed(spool)
    clock.pass_s(LEASE_S)
    quick = claimed(spool)
    before = history_of(spool, instance_id)
    with pytest.raises(LostClaim):
        {
            "ready": lambda: spool.preparing.ready(slow, READY),
            "hold": lambda: spool.preparing.hold(slow, "structure", ""),
            "merge": lambda: spool.preparing.merge(slow, 99),
            "defer": lambda: spool.preparing.defer(slow, "no-room", "", 1.0),
        }[end]()
    assert history_of(spool, instance_id) == before
    assert delivery_states(spool, instance_id) == []
    assert slow.received.blob.path.exists()
    spool.preparing.ready(quick, READY)
    assert state_of(spool, instance_id) == "ready"


def test_a_person_who_holds_it_takes_the_claim_from_prepare(spool: Spool) -> None:
    instance_id = arrive(spool)
    instance = claimed(spool)
    spool.deciding.hold(instance_id, "person:ann")
    with pytest.raises(LostClaim):
        spool.preparing.ready(instance, READY)
    assert state_of(spool, instance_id) == "held"
    assert delivery_states(spool, instance_id) == []


def test_renditions_deliveries_and_the_move_are_one_transaction(spool: Spool) -> None:
    instance_id = arrive(spool)
    instance = claimed(spool)
    decision = Decision(
        "1.2.3",
        "1.2.3.4",
        station="ROOM3",
        renditions=(compressed(spool, instance),),
        deliveries=(("central", 0), ("cloud", 0)),
        notes=(("compressed", "a recipe"),),
    )
    spool.preparing.ready(instance, decision)
    (found,) = spool.counting.show(str(instance_id))
    received, made = found["renditions"]
    assert (found["state"], found["study_instance_uid"], found["station"]) == (
        "ready",
        "1.2.3",
        "ROOM3",
    )
    assert (made["role"], made["made_from"], made["proved"]) == ("compressed", received["id"], 1)
    assert [one["destination"] for one in found["deliveries"]] == ["central", "cloud"]
    assert {one["rendition_id"] for one in found["deliveries"]} == {made["id"]}
    assert history_of(spool, instance_id) == [
        ("ae:US1", "received"),
        ("prepare", "compressed"),
        ("prepare", "ready"),
    ]
    assert not spool.orphans()


def test_without_a_new_rendition_the_received_one_is_sent(spool: Spool) -> None:
    instance_id = arrive(spool)
    spool.preparing.ready(claimed(spool), READY)
    (found,) = spool.counting.show(str(instance_id))
    assert found["deliveries"][0]["rendition_id"] == found["renditions"][0]["id"]


def test_what_is_held_is_not_claimed_and_its_file_stays(spool: Spool) -> None:
    instance_id = arrive(spool)
    instance = claimed(spool)
    spool.preparing.hold(instance, "structure", "byte 5")
    assert spool.preparing.claim() is None
    (found,) = spool.counting.show(str(instance_id))
    assert (found["state"], found["reason"], found["detail"]) == ("held", "structure", "byte 5")
    assert instance.received.blob.path.exists()


def test_what_is_deferred_is_due_after_its_time(spool: Spool, clock: FakeClock) -> None:
    arrive(spool)
    spool.preparing.defer(claimed(spool), "no-room", "", 15.0)
    assert spool.preparing.claim() is None
    assert spool.preparing.next_due_s() == 15.0
    clock.pass_s(15)
    assert spool.preparing.next_due_s() == 0.0
    assert claimed(spool)


def test_being_deferred_is_no_attempt_that_ended_the_process(
    spool: Spool, clock: FakeClock
) -> None:
    arrive(spool)
    for _ in range(20):
        instance = claimed(spool)
        assert instance.attempts == 1
        spool.preparing.defer(instance, "no-room", "", 15.0)
        clock.pass_s(15)


def test_a_clock_set_back_by_a_year_freezes_nothing_past_a_restart(
    spool: Spool, clock: FakeClock
) -> None:
    arrive(spool)
    spool.preparing.defer(claimed(spool), "no-room", "", 15.0)
    clock.now_s -= 365 * 86400
    spool.preparing.end_leases()
    clock.pass_s(LEASE_S)
    assert claimed(spool)


def test_what_is_awaited_at_a_gate_is_not_claimed(spool: Spool) -> None:
    instance_id = arrive(spool)
    gate = "UPDATE instance SET gate = ? WHERE id = ?"
    spool.database.write(lambda db: db.execute(gate, ("exam", instance_id)))
    assert spool.preparing.claim() is None
    assert spool.preparing.next_due_s() is None
    spool.database.write(lambda db: db.execute(gate, ("", instance_id)))
    assert claimed(spool)


def test_a_resend_that_is_merged_names_the_one_kept_and_gives_its_room_back(spool: Spool) -> None:
    first, again = arrive(spool), arrive(spool)
    spool.preparing.ready(claimed(spool), READY)
    instance = claimed(spool)
    (kept,) = spool.preparing.earlier.of(instance)
    assert (kept.id, kept.transfer_syntax_uid) == (first, EXPLICIT)
    assert (kept.sha256, kept.content) == (instance.received.blob.sha256, None)
    spool.preparing.merge(instance, kept.id)
    (found,) = spool.counting.show(str(again))
    assert (found["state"], found["detail"]) == ("merged", str(first))
    assert not instance.received.blob.path.exists()
    assert len(list(spool.blobs.names())) == 1


@pytest.mark.parametrize("code", ["structure", "uid-mismatch", "no-sop-instance-uid", "damaged"])
def test_what_is_broken_never_stands_in_the_way_of_a_whole_one(spool: Spool, code: str) -> None:
    arrive(spool)
    spool.preparing.hold(claimed(spool), code, "")
    arrive(spool)
    assert spool.preparing.earlier.of(claimed(spool)) == []


def test_an_instance_whose_file_was_lost_never_swallows_its_resend(spool: Spool) -> None:
    arrive(spool)
    first = claimed(spool)
    spool.preparing.ready(first, READY)
    first.received.blob.path.unlink()
    arrive(spool)
    assert spool.preparing.earlier.of(claimed(spool)) == []


def test_a_resend_is_still_known_when_only_the_compressed_bytes_are_left(spool: Spool) -> None:
    first = arrive(spool)
    instance = claimed(spool)
    made = compressed(spool, instance)
    spool.preparing.ready(instance, Decision("1.2", "1.3", renditions=(made,)))
    assert spool.retiring.trim() == 1
    assert not instance.received.blob.path.exists()
    arrive(spool)
    assert [other.id for other in spool.preparing.earlier.of(claimed(spool))] == [first]


def test_a_resend_is_still_known_when_the_first_is_retired(spool: Spool) -> None:
    first = arrive(spool)
    spool.preparing.ready(claimed(spool), Decision("1.2", "1.3"))
    spool.database.write(
        lambda db: db.execute("UPDATE instance SET state = 'retired' WHERE id = ?", (first,))
    )
    for name in list(spool.blobs.names()):
        spool.blobs.discard(name)
    arrive(spool)
    assert [other.id for other in spool.preparing.earlier.of(claimed(spool))] == [first]


def test_a_claim_seeks_in_an_index_and_reads_no_backlog(spool: Spool) -> None:
    from spool import preparing

    values = {"priority": 5, "now": 0, "boot": "b/*", "up": 0, "door": "", "lease": "", "until": 0}
    plan = spool.database.read(f"EXPLAIN QUERY PLAN {preparing._SEEK}", values)
    text = " ".join(row["detail"] for row in plan)
    assert "USING INDEX" in text
    assert "SCAN" not in text
    assert "TEMP B-TREE" not in text


def test_a_crash_between_file_and_row_leaves_a_blob_that_nobody_was_promised(
    spool: Spool,
) -> None:
    incoming = spool.receiving.begin(arrival())
    incoming.write(b"pixels")
    blob = incoming.keep()  # and here the process ends
    assert spool.orphans() == [blob.name]
    assert spool.counting.instances()["received"] == 0


def test_an_instance_outlives_a_process_that_is_killed_after_it_was_kept(tmp_path: Path) -> None:
    work = (
        "import os, sys\nfrom pathlib import Path\n"
        "from tests.fakes.spools import arrive, opened\n"
        "arrive(opened(Path(sys.argv[1])), b'pixels')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "queue")])}
    done = subprocess.run([sys.executable, "-c", work, str(tmp_path)], env=environment)
    assert done.returncode == -9
    spool = opened(tmp_path)
    assert claimed(spool).received.blob.path.read_bytes().endswith(b"pixels")
    spool.close()
