"""The state machines: their table of moves, the trigger that guards it, tally and history."""

import contextlib
import random
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spool.deciding import WrongState
from spool.model import Decision, DeliveryState, InstanceState
from spool.store import Spool
from tests.fakes.spools import arrival, arrive, claimed_delivery, make_ready, opened

#: Where each machine begins, and where an item may stay for good.
BEGINS = {"instance": "received", "delivery": "queued"}
ENDS = {
    "instance": {"retired", "withdrawn", "merged"},
    "delivery": {"confirmed", "cancelled", "superseded"},
}
STATES = {"instance": list(InstanceState), "delivery": list(DeliveryState)}
EVERY_MOVE = [
    (machine, str(one), str(other))
    for machine, states in STATES.items()
    for one in states
    for other in states
    if one != other
]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path)
    yield found
    found.close()


def moves(spool: Spool, machine: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in spool.database.read("SELECT * FROM move WHERE machine = ?", (machine,)):
        found[row["from_state"]].add(row["to_state"])
    return found


def reached(graph: dict[str, set[str]], begin: str) -> set[str]:
    found, waiting = {begin}, [begin]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize("machine", BEGINS)
def test_every_state_is_reachable_from_where_an_item_begins(spool: Spool, machine: str) -> None:
    assert reached(moves(spool, machine), BEGINS[machine]) == set(STATES[machine])


@pytest.mark.parametrize("machine", BEGINS)
def test_every_state_has_a_way_to_an_end(spool: Spool, machine: str) -> None:
    graph = moves(spool, machine)
    for state in STATES[machine]:
        assert reached(graph, state) & ENDS[machine], state


@pytest.mark.parametrize("machine", BEGINS)
def test_the_table_knows_only_states_of_the_code(spool: Spool, machine: str) -> None:
    graph = moves(spool, machine)
    assert {*graph, *(to for tos in graph.values() for to in tos)} == set(STATES[machine])


def put_in(spool: Spool, machine: str, state: str) -> int:
    """Return the id of a row that stands in `state`, however it came there."""
    arrive(spool)
    if machine == "instance":
        sql = (
            "INSERT INTO instance (sop_instance_uid, sop_class_uid, door, received_at, state)"
            " VALUES ('1.2', '1.3', 'ae:US1', 0, ?)"
        )
    else:
        sql = (
            "INSERT INTO delivery (instance_id, destination, rendition_id, state)"
            " VALUES (1, 'central', 1, ?)"
        )
    return spool.database.write(lambda db: int(db.execute(sql, (state,)).lastrowid or 0))


@pytest.mark.parametrize(("machine", "from_state", "to_state"), EVERY_MOVE)
def test_the_database_itself_allows_a_move_of_the_table_and_refuses_every_other(
    spool: Spool, machine: str, from_state: str, to_state: str
) -> None:
    row_id = put_in(spool, machine, from_state)

    def move(db: sqlite3.Connection) -> int:
        sql = f"UPDATE {machine} SET state = ? WHERE id = ?"
        return db.execute(sql, (to_state, row_id)).rowcount

    if to_state in moves(spool, machine)[from_state]:
        assert spool.database.write(move) == 1
    else:
        with pytest.raises(sqlite3.IntegrityError, match="may not move so"):
            spool.database.write(move)


@pytest.mark.parametrize("machine", BEGINS)
def test_a_state_of_a_later_version_is_shown_and_left_alone(spool: Spool, machine: str) -> None:
    row_id = put_in(spool, machine, "quarantined")
    with pytest.raises(sqlite3.IntegrityError, match="may not move so"):
        spool.database.write(
            lambda db: db.execute(f"UPDATE {machine} SET state = 'held' WHERE id = ?", (row_id,))
        )
    counts = spool.counting.instances() if machine == "instance" else None
    counts = counts or spool.counting.deliveries()["central"]
    assert counts["quarantined"] == 1


@pytest.mark.parametrize("sql", ["UPDATE history SET who = 'nobody'", "DELETE FROM history"])
def test_history_is_append_only(spool: Spool, sql: str) -> None:
    arrive(spool)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        spool.database.write(lambda db: db.execute(sql))
    assert len(spool.database.read("SELECT * FROM history")) == 1


def counted(spool: Spool) -> set[tuple[str, str, str, int]]:
    """Return the counts by state as SQL counts them, the slow way."""
    rows = spool.database.read(
        "SELECT 'instance', '', state, count(*) FROM instance GROUP BY state"
        " UNION ALL SELECT 'delivery', destination, state, count(*) FROM delivery"
        " GROUP BY destination, state"
    )
    return {tuple(row) for row in rows}


def tallied(spool: Spool) -> set[tuple[str, str, str, int]]:
    rows = spool.database.read("SELECT machine, destination, state, n FROM tally WHERE n <> 0")
    return {tuple(row) for row in rows}


def act(spool: Spool, what: str, chance: random.Random) -> None:
    """Do one thing that a stage or a person does, on whatever item it meets."""
    destination = chance.choice(["central", "cloud"])
    anything = str(chance.randint(1, 6))
    if what == "arrive":
        arrive(spool, what.encode(), arrival(uid=f"1.2.{anything}"))
    elif what in {"ready", "hold", "merge", "defer"}:
        prepare(spool, what, destination)
    elif what in {"sent", "refuse", "fail", "give_back"}:
        deliver(spool, what, destination)
    else:
        getattr(spool.deciding, what)(int(anything), "person:ann")


def prepare(spool: Spool, what: str, destination: str) -> None:
    instance = spool.preparing.claim()
    if instance is None:
        return
    if what == "ready":
        decision = Decision("1.2", "1.3", deliveries=((destination, -1), ("third", -1)))
        spool.preparing.ready(instance, decision)
    elif what == "merge":
        spool.preparing.merge(instance, instance.id)
    elif what == "hold":
        spool.preparing.hold(instance, "conflict", "")
    else:
        spool.preparing.defer(instance, "no-room", "", 0.0)


def deliver(spool: Spool, what: str, destination: str) -> None:
    delivery = spool.delivering.claim(destination)
    if delivery is None:
        return
    if what == "sent":
        spool.delivering.sent(delivery)
    elif what == "refuse":
        spool.delivering.refuse(delivery, "status-C000", "", 0.0)
    elif what == "fail":
        spool.delivering.hold(delivery, "status-A900", "")
    else:
        spool.delivering.give_back(delivery)


ACTS = [
    *("arrive", "ready", "hold", "merge", "defer"),
    *("sent", "refuse", "fail", "give_back"),
    *("retry", "release"),
]


@settings(max_examples=20, deadline=None)
@given(acts=st.lists(st.sampled_from(ACTS), max_size=40), seed=st.integers(0, 1 << 16))
def test_the_tally_is_what_sql_counts_after_any_operations(
    acts: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spool = opened(tmp_path_factory.mktemp("tally"))
    chance = random.Random(seed)  # noqa: S311  # no secret depends on it
    for what in ["arrive", "arrive", "ready", *acts]:
        with contextlib.suppress(WrongState):
            act(spool, what, chance)
    assert tallied(spool) == counted(spool)
    spool.close()


def test_a_tally_counts_each_destination_by_itself(spool: Spool) -> None:
    for number in range(3):
        arrive(spool, comes=arrival(uid=f"1.2.{number}"))
        make_ready(spool, ["central", "cloud"])
    spool.delivering.sent(claimed_delivery(spool, "cloud"))
    counts = spool.counting.deliveries()
    assert (counts["central"]["queued"], counts["central"]["sent"]) == (3, 0)
    assert (counts["cloud"]["queued"], counts["cloud"]["sent"]) == (2, 1)
    assert spool.counting.instances() == {
        **dict.fromkeys(map(str, InstanceState), 0),
        "ready": 3,
    }
