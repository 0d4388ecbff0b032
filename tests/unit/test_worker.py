"""worker, notify and backoff: the loop, what the service manager hears, and how long to wait."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import notify
from gateway.backoff import backoff_s
from gateway.worker import Loop, SharedBell
from spool.doorbell import Doorbell, ring


def running(loop: Loop) -> threading.Thread:
    thread = threading.Thread(target=loop.run)
    thread.start()
    return thread


def test_a_loop_turns_until_there_is_nothing_and_again_when_it_is_rung(tmp_path: Path) -> None:
    work, turned, idle = [1, 2, 3], [], threading.Semaphore(0)

    def turn() -> float:
        if work:
            turned.append(work.pop(0))
            return 0.0
        idle.release()
        return 60.0

    loop = Loop("some", turn, Doorbell(tmp_path, "some"))
    thread = running(loop)
    idle.acquire()
    assert turned == [1, 2, 3]
    work.append(4)
    ring(tmp_path, "some")
    idle.acquire()
    assert turned == [1, 2, 3, 4]
    loop.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_one_ring_wakes_every_loop_of_a_shared_bell_and_each_ends_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.POLL_S", 600.0)
    bell = SharedBell(Doorbell(tmp_path, "some"), 3)
    idle = [threading.Semaphore(0) for _ in range(3)]

    def turn_of(number: int) -> Callable[[], float]:
        def turn() -> float:
            idle[number].release()
            return 600.0

        return turn

    loops = [Loop(f"some#{number}", turn_of(number), bell) for number in range(3)]
    threads = [running(loop) for loop in loops]
    for one in idle:
        assert one.acquire(timeout=10)
        while not one.acquire(timeout=0.05):  # it may have been on its way to the bell
            ring(tmp_path, "some")
    for loop, thread in zip(loops, threads, strict=True):
        loop.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_a_lost_ring_costs_one_poll_and_no_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.POLL_S", 0.05)
    looked = threading.Semaphore(0)

    def turn() -> float:
        looked.release()
        return 3600.0

    loop = Loop("some", turn, Doorbell(tmp_path, "some"))
    thread = running(loop)
    for _ in range(3):
        assert looked.acquire(timeout=10)
    loop.stop()
    thread.join(10)


def test_a_loop_that_is_stopped_finishes_its_turn_and_takes_nothing_new(tmp_path: Path) -> None:
    entered, go_on, turned = threading.Event(), threading.Event(), []

    def turn() -> float:
        entered.set()
        go_on.wait(10)
        turned.append("whole")
        return 0.0

    closed: list[str] = []
    bell = Doorbell(tmp_path, "some")
    loop = Loop("some", turn, bell, close=lambda: closed.append("closed"))
    thread = running(loop)
    entered.wait(10)
    loop.stop()
    go_on.set()
    thread.join(10)
    assert (turned, closed) == (["whole"], ["closed"])


def test_a_turn_that_hangs_is_broken_off_by_a_kill(tmp_path: Path) -> None:
    broken_off = threading.Event()

    def turn() -> float:
        broken_off.wait(60)
        return 0.0

    loop = Loop("some", turn, Doorbell(tmp_path, "some"), break_off=broken_off.set)
    thread = running(loop)
    loop.stop()
    loop.kill()
    thread.join(10)
    assert not thread.is_alive()


def test_a_loop_that_broke_can_still_be_stopped(tmp_path: Path) -> None:
    def turn() -> float:
        raise ValueError("a fault of ours")

    loop = Loop("some", turn, Doorbell(tmp_path, "some"))
    with pytest.raises(ValueError, match="a fault of ours"):
        loop.run()
    loop.stop()  # the others, who are stopped after it, must have their turn


@given(failures=st.integers(0, 10_000))
def test_a_wait_is_doubled_up_to_the_longest_and_never_nothing(failures: int) -> None:
    longest = min(900.0, 15.0 * 2 ** min(max(failures - 1, 0), 30))
    assert longest / 10 <= backoff_s(failures, 15.0, 900.0) <= longest


def test_waits_are_spread_so_that_many_boxes_do_not_call_at_once() -> None:
    waits = [backoff_s(5, 15.0, 900.0) for _ in range(400)]
    assert min(waits) < 60
    assert max(waits) > 200


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    abstract: bool,
) -> None:
    name = f"@gateway-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify.tell("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/no/such/socket"])
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.tell("READY=1")


@pytest.mark.parametrize(
    ("usec", "pid", "wanted"),
    [
        ("30000000", str(os.getpid()), 15.0),
        ("30000000", "1", None),
        ("", str(os.getpid()), None),
        ("soon", str(os.getpid()), None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time_and_only_by_whom_it_means(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, wanted: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert notify.watchdog_s() == wanted
