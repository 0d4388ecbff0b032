"""counting: what a person and a program are told about the spool."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.counting import Filter
from spool.store import Spool
from tests.fakes.spools import (
    FakeClock,
    arrival,
    arrive,
    claimed,
    claimed_delivery,
    make_ready,
    opened,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    """Return a spool with: 1 sent and queued, 2 held, 3 received."""
    found = opened(tmp_path, clock)
    arrive(found, comes=arrival(uid="1.2.1"))
    make_ready(found, ["central", "cloud"])
    found.delivering.sent(claimed_delivery(found, "cloud"))
    arrive(found, comes=arrival(uid="1.2.2"))
    found.preparing.hold(claimed(found), "structure", "")
    arrive(found, comes=arrival(uid="1.2.3", door="folder:export"))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Filter(), [1, 2, 3]),
        (Filter(state="held"), [2]),
        (Filter(state="sent"), [1]),
        (Filter(state="queued", destination="central"), [1]),
        (Filter(destination="cloud"), [1]),
        (Filter(destination="nowhere"), []),
        (Filter(door="folder:export"), [3]),
        (Filter(study_instance_uid="1.2"), [1]),
        (Filter(most=2), [1, 2]),
        (Filter(most=2, after_id=2), [3]),
        (Filter(state="' OR 1=1 --"), []),
    ],
)
def test_a_list_holds_what_matches_oldest_first(
    spool: Spool, wanted: Filter, ids: list[int]
) -> None:
    assert [one["id"] for one in spool.counting.find(wanted)] == ids


def test_an_item_is_shown_whole_by_its_id_and_by_its_uid(spool: Spool) -> None:
    by_id, by_uid = spool.counting.show("1"), spool.counting.show("1.2.1")
    assert by_id == by_uid
    assert len(by_id[0]["deliveries"]) == 2
    assert [line["what"] for line in by_id[0]["history"]] == ["received", "ready", "sent"]


def test_all_that_came_under_one_uid_are_shown(spool: Spool) -> None:
    again = arrive(spool, comes=arrival(uid="1.2.2"))
    assert [one["id"] for one in spool.counting.show("1.2.2")] == [2, again]


@pytest.mark.parametrize("key", ["99", "1.2.99", "", "9" * 40, "%"])
def test_nothing_is_shown_for_what_is_not_there(spool: Spool, key: str) -> None:
    assert spool.counting.show(key) == []


def test_the_bytes_that_came_are_counted_from_a_moment_on(spool: Spool, clock: FakeClock) -> None:
    assert spool.counting.received_since(clock.utc()) == 3 * len(b"pixels")
    clock.pass_s(60)
    assert spool.counting.received_since(clock.utc()) == 0


def test_a_sound_database_says_so(spool: Spool) -> None:
    assert spool.counting.integrity() == "ok"


def test_counts_are_seen_by_a_second_process_at_once(spool: Spool, tmp_path: Path) -> None:
    other = opened(tmp_path)
    arrive(spool, comes=arrival(uid="1.2.4"))
    assert other.counting.instances()["received"] == 2
    other.close()
