"""What a claim reads does not grow with what waits: each is a seek in an index of its own."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spool import committing, confirming, failover, operating
from spool.store import Spool
from tests.fakes.spools import FakeClock, opened

MANY = 20_000
TO = "central"
#: Generous, since the machine has other things to do; a scan of the backlog costs a hundredfold.
SECONDS_MOST = 0.5


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path, FakeClock())
    found.ageing.tick()
    found.database.write(fill)
    yield found
    found.close()


def fill(db: sqlite3.Connection) -> None:
    """Put down what was sent: confirmed, waiting to be asked about, or held by a transaction."""
    numbers = [(number,) for number in range(1, MANY + 1)]
    db.executemany(
        "INSERT INTO instance (id, door, sop_instance_uid, sop_class_uid, received_at, state)"
        " VALUES (?1, 'ae:US1', '1.2.' || ?1, '1.2', 0, 'ready')",
        numbers,
    )
    db.executemany(
        "INSERT INTO rendition (id, instance_id, role, sop_instance_uid, sop_class_uid,"
        " transfer_syntax_uid, blob, dataset_offset, bytes, sha256, proved, made_at)"
        " VALUES (?1, ?1, 'received', '1.2.' || ?1, '1.2', '1.2', ?1, 0, 0, '', 1, 0)",
        numbers,
    )
    db.execute(
        "INSERT INTO delivery (id, instance_id, rendition_id, door, destination, state, sent_at,"
        " settled_at, transaction_uid, check_at) SELECT id, id, id, door, 'central',"
        " iif(id % 4 = 0, 'confirmed', 'sent'), 1, id % 4 = 0, iif(id % 4 = 1, '2.25.1', ''),"
        " iif(id % 4 = 2, 0, 1e12) FROM instance"
    )
    db.execute("INSERT INTO commitment (uid, destination, begun_at, deadline) VALUES"
               " ('2.25.1', 'central', 0, 1e12)")  # fmt: skip
    db.execute(
        "INSERT INTO commitment_item (uid, destination, delivery_id, sop_class_uid,"
        " sop_instance_uid) SELECT '2.25.1', 'central', id, '1.2', '1.2.' || id FROM delivery"
        " WHERE transaction_uid <> ''"
    )


PLANS = {
    "due": (confirming._DUE, "delivery_check"),
    "next": (confirming._NEXT, "delivery_check"),
    "outcomes": (committing._OUTCOMES, "commitment_answered"),
    "tied": (f"SELECT 1 FROM delivery {committing._TIED}", "commitment_item_of"),
    "backlog": (operating._BACKLOG, "delivery_state"),
    "stand in": (failover._WAITS, "delivery_state"),
    "first of its uid": (confirming._SENT.replace("= ?", "= :up"), "rendition_uid"),
}


@pytest.mark.parametrize("name", PLANS)
def test_every_claim_is_a_seek_however_much_waits(spool: Spool, name: str) -> None:
    query, index = PLANS[name]
    values = {
        "boot": "x/*", "up": 0, "to": TO, "now": 0, "most": 1, "uid": "2.25.1", "from": TO,
        "after": 0, "all": 1, "at": 0,
    }  # fmt: skip
    plan = [row["detail"] for row in spool.database.read(f"EXPLAIN QUERY PLAN {query}", values)]
    assert any(index in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN")], plan


@pytest.mark.parametrize(
    "act",
    [
        lambda spool: spool.confirming.claim(TO),
        lambda spool: spool.confirming.next_due_s(TO),
        lambda spool: spool.confirming.waiting(TO),
        lambda spool: spool.committing.outcomes(TO),
        lambda spool: spool.committing.overdue(TO),
        lambda spool: spool.committing.reported("2.25.1", [("1.2", "1.2.1")], []),
    ],
    ids=["claim", "next due", "waiting", "outcomes", "overdue", "reported"],
)
def test_a_question_among_twenty_thousand_costs_milliseconds(
    spool: Spool, act: Callable[[Spool], object]
) -> None:
    begun = time.perf_counter()
    act(spool)
    assert time.perf_counter() - begun < SECONDS_MOST
