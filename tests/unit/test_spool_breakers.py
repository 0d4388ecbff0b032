"""breakers: what is known of a destination as a whole, for every process and after a restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.breakers import Breaker
from spool.store import Spool
from tests.fakes.spools import FakeClock, arrival, arrive, claimed_delivery, make_ready, opened

AWAY = Breaker("open", 3, 1_772_352_060.0, "connection-refused", "Connection refused")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path)
    yield found
    found.close()


def test_a_destination_that_was_never_tried_is_closed(spool: Spool) -> None:
    assert spool.breakers.get("central") == Breaker()
    assert spool.breakers.all() == {}


def test_a_breaker_is_known_to_others_and_after_a_restart(spool: Spool, tmp_path: Path) -> None:
    spool.breakers.put("central", AWAY)
    other = opened(tmp_path)
    assert other.breakers.all() == {"central": AWAY}
    other.breakers.put("central", Breaker())
    other.close()
    assert spool.breakers.get("central") == Breaker()


def test_what_waited_for_a_destination_is_due_at_once_when_it_is_back(tmp_path: Path) -> None:
    clock = FakeClock()
    spool = opened(tmp_path, clock)
    for number in range(8):
        arrive(spool, comes=arrival(uid=f"1.2.{number}"))
        make_ready(spool, ["central", "cloud"])
    for _ in range(7):
        delivery = claimed_delivery(spool)
        spool.delivering.defer(delivery, "connection-refused", "", 900.0, away=True)
    own_fault = claimed_delivery(spool)
    spool.delivering.refuse(own_fault, "status-C000", "", 900.0)
    spool.delivering.defer(claimed_delivery(spool, "cloud"), "timeout", "", 900.0, away=True)
    spool.breakers.make_due("central", spread_s=2.0)
    clock.pass_s(2)
    due = [claimed_delivery(spool).id for _ in range(7)]
    assert own_fault.id not in due
    assert spool.delivering.claim("central") is None
    assert spool.delivering.next_due_s("cloud") == 0.0  # the seven that were never tried
    spool.close()


def test_what_is_due_again_is_spread_so_that_an_archive_is_not_run_over(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(16):
        arrive(spool, comes=arrival(uid=f"1.2.{number}"))
        make_ready(spool)
        spool.delivering.defer(claimed_delivery(spool), "timeout", "", 900.0, away=True)
    spool.breakers.make_due("central", spread_s=2.0)
    due = [row[0] for row in spool.database.read("SELECT not_before FROM delivery")]
    assert len(set(due)) == 16
    assert max(due) - min(due) < 2.0
    spool.close()
