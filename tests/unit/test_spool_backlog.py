"""A week's backlog for one dead destination: it costs the others nothing and keeps its order."""

import itertools
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.model import Priority
from spool.store import Spool
from tests.fakes.spools import FakeClock, arrival, arrive, claimed_delivery, make_ready, opened

BACKLOG = 20_000
WEEK_S, DAY_S = 7 * 86400.0, 86400.0
#: Generous, since the machine has other things to do; a scan of the backlog costs a hundredfold.
RATIO_MOST = 4.0
DOORS = ("ae:CT1", "ae:US1", "folder:export")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    found.ageing.tick()
    yield found
    found.close()


def fill(db: sqlite3.Connection) -> None:
    """Put down what a week brings for a destination that is away, of every priority and door."""
    numbers = range(1, BACKLOG + 1)
    kinds = itertools.cycle(itertools.product((9, 5, 0), DOORS))
    rows = [(10**6 + n, *kind) for n, kind in zip(numbers, kinds, strict=False)]
    db.executemany(
        "INSERT INTO instance (id, priority, door, sop_instance_uid, sop_class_uid, received_at,"
        " state) VALUES (?1, ?2, ?3, '1.2.' || ?1, '1.2', 0, 'ready')",
        rows,
    )
    db.executemany(
        "INSERT INTO rendition (id, instance_id, role, sop_instance_uid, sop_class_uid,"
        " transfer_syntax_uid, blob, dataset_offset, bytes, sha256, made_at)"
        " VALUES (?1, ?1, 'received', '1.2.' || ?1, '1.2', '1.2', ?1, 0, 0, '', 0)",
        [row[:1] for row in rows],
    )
    db.executemany(
        "INSERT INTO delivery (instance_id, rendition_id, priority, door, destination)"
        " VALUES (?1, ?1, ?2, ?3, 'dead')",
        rows,
    )


def hand_over_s(spool: Spool) -> float:
    """Return the median time of claim and move at a destination that lives."""
    found = []
    for number in range(60):
        arrive(spool, comes=arrival(f"1.2.3.{time.monotonic_ns()}.{number}"))
        make_ready(spool, ("central",))
        begun = time.perf_counter()
        spool.delivering.sent(claimed_delivery(spool))
        assert spool.delivering.claim("central") is None
        spool.delivering.next_due_s("central")
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


def test_the_backlog_of_one_destination_does_not_slow_another(spool: Spool) -> None:
    alone = hand_over_s(spool)
    spool.database.write(fill)
    assert hand_over_s(spool) <= RATIO_MOST * alone


def test_a_week_of_waiting_gives_nothing_up_and_drains_by_urgency_and_in_turns(
    spool: Spool, clock: FakeClock
) -> None:
    spool.database.write(fill)
    clock.pass_s(WEEK_S)
    spool.ageing.tick()
    assert spool.ageing.give_up(14 * DAY_S) == 0
    spool.breakers.make_due("dead", spread_s=0.0)
    taken = [drain_one(spool) for _ in range(300)]
    assert {priority for priority, _ in taken} == {Priority.STAT}
    assert all(one != other for (_, one), (_, other) in itertools.pairwise(taken))
    spool.database.write(
        lambda db: db.execute("UPDATE delivery SET state = 'sent' WHERE priority = 0")
    )
    assert {drain_one(spool)[0] for _ in range(300)} == {Priority.NORMAL}
    spool.database.write(
        lambda db: db.execute("UPDATE delivery SET state = 'sent' WHERE priority = 5")
    )
    assert {drain_one(spool)[0] for _ in range(300)} == {Priority.BACKLOG}


def drain_one(spool: Spool) -> tuple[int, str]:
    """Send the next one; return its priority and door."""
    delivery = claimed_delivery(spool, "dead")
    spool.delivering.sent(delivery)
    (row,) = spool.database.read("SELECT * FROM delivery WHERE id = ?", (delivery.id,))
    return row["priority"], row["door"]


def test_what_waited_for_longer_than_agreed_is_held_and_none_deleted(
    spool: Spool, clock: FakeClock
) -> None:
    spool.database.write(fill)
    clock.pass_s(15 * DAY_S)
    spool.ageing.tick()
    held = 0
    while more := spool.ageing.give_up(14 * DAY_S):
        held += more
    assert held == BACKLOG
    assert spool.counting.deliveries()["dead"]["held"] == BACKLOG
