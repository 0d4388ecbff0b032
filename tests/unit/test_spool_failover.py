"""failover: another destination stands in for one that is away; nothing is doubled or lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.counting import Filter
from spool.repair import ensure_database
from spool.store import Spool
from tests.fakes.spools import (
    FakeClock,
    arrival,
    arrive,
    claimed_delivery,
    confirm,
    make_ready,
    opened,
)

WHO = "person:ann"
A, B = "a", "b"
Fate = list[tuple[str, str]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    found.ageing.tick()
    clock.pass_s(1)
    yield found
    found.close()


def queued(spool: Spool, count: int = 1, to: tuple[str, ...] = (A,)) -> list[int]:
    """Return so many instances that are queued for these destinations."""
    found = []
    for _ in range(count):
        uid = f"1.2.{spool.counting.instances()['ready']}.{time.monotonic_ns()}"
        found.append(arrive(spool, uid.encode(), arrival(uid)))
        make_ready(spool, to)
    return found


def sent(spool: Spool, to: str = A, *, settles: bool = False) -> int:
    """Hand over the next delivery there; return its id."""
    delivery = claimed_delivery(spool, to)
    spool.delivering.sent(delivery, settles=settles)
    return delivery.id


def fate(spool: Spool, instance_id: int) -> Fate:
    """Return (destination, state) of each delivery."""
    (found,) = spool.counting.show(str(instance_id))
    return [(one["destination"], one["state"]) for one in found["deliveries"]]


def newest(spool: Spool, instance_id: int) -> dict[str, object]:
    (found,) = spool.counting.show(str(instance_id))
    return dict(found["deliveries"][-1])


def rebuilt(spool: Spool, folder: Path, clock: FakeClock, *, keeps_backup: bool = False) -> Spool:
    """Return the spool as it is after its database was lost."""
    spool.database.read("PRAGMA wal_checkpoint")
    for one in (folder / "state" / "db").glob("spool.db*"):
        one.unlink()
    if not keeps_backup:
        for one in (folder / "state" / "backup").glob("*"):
            one.unlink()
    incidents = ensure_database(folder / "state", clock.utc())
    found = opened(folder, clock)
    found.repair.reconcile(incidents)
    return found


def offer(spool: Spool, to: str = B, wanted: Filter = Filter(), since: float = 0.0) -> int:  # noqa: B008
    return spool.operating.offer(to, wanted, since, WHO)


def test_a_stand_in_gets_what_waits_once_and_what_comes_meanwhile(spool: Spool) -> None:
    one, two = queued(spool, 2)
    assert spool.operating.stands_in(A) == ""
    assert spool.operating.stand_in(A, B) == 2
    assert spool.operating.stand_in(A, B) == 0
    assert spool.operating.stands_in(A) == B
    (three,) = queued(spool)
    assert spool.operating.stand_in(A, B) == 1
    for each in (one, two, three):
        assert fate(spool, each) == [(A, "queued"), (B, "queued")]


def test_a_stand_in_is_not_given_what_a_person_did_not_want_there(spool: Spool) -> None:
    one, two = queued(spool, 2, (A, B))
    spool.deciding.cancel(one, WHO, destination=B)
    spool.deciding.hold(two, WHO)
    assert spool.operating.stand_in(A, B) == 0


@pytest.mark.parametrize("how", ["confirmed", "settled"])
def test_what_the_stand_in_has_firmly_stays_there_by_rule(spool: Spool, how: str) -> None:
    one, two, three = queued(spool, 3)
    spool.operating.stand_in(A, B)
    delivery = sent(spool, B, settles=how == "settled")
    if how == "confirmed":
        confirm(spool, delivery)
    sent(spool, B)
    assert spool.operating.stand_down(A, B, "keep-there") == 1
    assert fate(spool, one)[0] == (A, "cancelled")
    assert fate(spool, two) == [(A, "queued"), (B, "sent")]
    assert fate(spool, three) == [(A, "queued"), (B, "queued")]
    assert spool.operating.stands_in(A) == ""
    assert spool.retiring.retire(0) == 1


def test_the_first_gets_all_of_it_too_by_the_other_rule(spool: Spool) -> None:
    (one,) = queued(spool)
    spool.operating.stand_in(A, B)
    confirm(spool, sent(spool, B))
    assert spool.operating.stand_down(A, B, "send-too") == 0
    assert fate(spool, one) == [(A, "queued"), (B, "confirmed")]


def test_what_goes_to_both_by_its_routes_goes_to_both(spool: Spool) -> None:
    (one,) = queued(spool, to=(A, B))
    assert spool.operating.stand_in(A, B) == 0
    confirm(spool, sent(spool, B))
    assert spool.operating.stand_down(A, B, "keep-there") == 0
    assert fate(spool, one) == [(A, "queued"), (B, "confirmed")]


def test_what_a_person_sends_again_to_the_first_goes_there(spool: Spool) -> None:
    (one,) = queued(spool)
    spool.operating.stand_in(A, B)
    confirm(spool, sent(spool, B))
    assert spool.operating.stand_down(A, B, "keep-there") == 1
    spool.deciding.resend(one, WHO, destination=A)
    assert spool.operating.stand_down(A, B, "keep-there") == 0
    assert fate(spool, one)[-1] == (A, "queued")


def test_what_stayed_with_the_stand_in_stays_there_after_a_loss(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    queued(spool)
    spool.operating.stand_in(A, B)
    confirm(spool, sent(spool, B))
    spool.operating.stand_down(A, B, "keep-there")
    spool = rebuilt(spool, tmp_path, clock)
    make_ready(spool, (A,))
    assert fate(spool, 1) == [(A, "cancelled")]
    spool.close()
