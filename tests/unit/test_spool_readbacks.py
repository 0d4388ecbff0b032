"""readbacks: what was asked for by C-MOVE is told from what a stranger sends under the same UID."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.model import CameBack
from spool.readbacks import EXPECT_S
from spool.store import Spool
from tests.fakes.spools import EXPLICIT, UID, FakeClock, opened

BACK = Path("/scratch/back")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    yield found
    found.close()


def came(spool: Spool) -> bool:
    return spool.readbacks.came(UID, BACK, 132, 64, EXPLICIT)


def test_nothing_is_expected_that_nobody_asked_for(spool: Spool) -> None:
    assert not spool.readbacks.is_expected(UID)
    assert not came(spool)
    assert spool.readbacks.take(UID) is None


def test_what_was_asked_for_is_taken_once(spool: Spool, tmp_path: Path, clock: FakeClock) -> None:
    spool.readbacks.expect("central", UID)
    assert spool.readbacks.take(UID) is None
    intake = opened(tmp_path, clock)
    assert intake.readbacks.is_expected(UID)
    assert came(intake)
    intake.close()
    assert spool.readbacks.take(UID) == CameBack(BACK, 132, 64, EXPLICIT)
    assert spool.readbacks.take(UID) is None
    assert not spool.readbacks.is_expected(UID)


def test_what_comes_a_second_time_is_an_ordinary_arrival(spool: Spool) -> None:
    spool.readbacks.expect("central", UID)
    assert came(spool)
    assert not spool.readbacks.is_expected(UID)
    assert not came(spool)


def test_an_expectation_ends_with_its_time_and_with_the_boot(
    spool: Spool, clock: FakeClock
) -> None:
    spool.readbacks.expect("central", UID)
    clock.pass_s(EXPECT_S + 1)
    assert not spool.readbacks.is_expected(UID)
    assert not came(spool)
    spool.readbacks.expect("central", UID)
    clock.reboot()
    assert not spool.readbacks.is_expected(UID)


def test_what_is_forgotten_gives_back_what_nobody_took(spool: Spool) -> None:
    spool.readbacks.expect("central", UID)
    assert spool.readbacks.forget(UID) is None
    assert not spool.readbacks.is_expected(UID)
    spool.readbacks.expect("central", UID)
    assert came(spool)
    assert spool.readbacks.forget(UID) == CameBack(BACK, 132, 64, EXPLICIT)
    assert spool.readbacks.take(UID) is None
