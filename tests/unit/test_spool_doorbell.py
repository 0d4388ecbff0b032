"""doorbell: it wakes across processes; a ring that nobody hears is no fault."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from spool.doorbell import Doorbell, ring
from tests.fakes.spools import opened

ROOT = Path(__file__).parents[2]
RING = (
    "import sys\nfrom pathlib import Path\nfrom spool.doorbell import ring\n"
    "ring(Path(sys.argv[1]), sys.argv[2])\n"
)


def waited_s(bell: Doorbell, limit_s: float) -> float:
    begin = time.monotonic()
    bell.wait(limit_s)
    return time.monotonic() - begin


def test_a_ring_from_another_process_wakes(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path, "prepare")
    command = [sys.executable, "-c", RING, str(tmp_path), "prepare"]
    child = subprocess.Popen(command, env={"PYTHONPATH": str(ROOT / "queue")})
    assert waited_s(bell, 60.0) < 60.0
    assert child.wait() == 0
    bell.close()


def test_a_ring_before_the_wait_is_not_lost(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path, "prepare")
    ring(tmp_path, "prepare")
    assert waited_s(bell, 60.0) < 60.0
    bell.close()


def test_many_rings_wake_once(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path, "prepare")
    for _ in range(1000):  # more than a socket holds: the rest is dropped, and nobody waits
        ring(tmp_path, "prepare")
    assert waited_s(bell, 60.0) < 60.0
    assert waited_s(bell, 0.05) >= 0.05
    bell.close()


@pytest.mark.parametrize("left", ["nothing", "a socket that nobody holds"])
def test_a_ring_that_nobody_hears_is_no_fault(tmp_path: Path, left: str) -> None:
    if left != "nothing":
        Doorbell(tmp_path, "prepare").close()
    ring(tmp_path, "prepare")
    ring(tmp_path / "no such folder", "prepare")


def test_a_bell_that_a_crash_left_is_taken_over(tmp_path: Path) -> None:
    Doorbell(tmp_path, "prepare").close()
    bell = Doorbell(tmp_path, "prepare")
    ring(tmp_path, "prepare")
    assert waited_s(bell, 60.0) < 60.0
    bell.close()


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / ("longer" * 30)
    bell = Doorbell(folder, "prepare")
    ring(folder, "prepare")
    assert len(str(folder)) > 107
    assert waited_s(bell, 60.0) < 60.0
    bell.close()


def test_a_destination_with_the_longest_name_has_a_bell_of_its_own(tmp_path: Path) -> None:
    name, other = f"forward@{'中' * 64}", f"forward@{'中' * 63}国"
    bell, quiet = Doorbell(tmp_path, name), Doorbell(tmp_path, other)
    ring(tmp_path, name)
    assert waited_s(bell, 60.0) < 60.0
    assert waited_s(quiet, 0.05) >= 0.05
    bell.close()
    quiet.close()


def test_an_interrupt_ends_this_wait_and_every_later_one(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path, "prepare")
    thread = threading.Thread(target=bell.wait, args=(60.0,))
    thread.start()
    bell.interrupt()
    thread.join(10)
    assert not thread.is_alive()
    assert waited_s(bell, 60.0) < 60.0
    bell.close()


def test_an_interrupt_after_the_end_is_harmless(tmp_path: Path) -> None:
    bell = Doorbell(tmp_path, "prepare")
    bell.close()
    bell.interrupt()


def test_two_state_folders_do_not_hear_each_other(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "one"), opened(tmp_path / "other")
    bell = other.doorbell("prepare")
    one.ring("prepare")
    assert waited_s(bell, 0.05) >= 0.05
    other.ring("prepare")
    assert waited_s(bell, 60.0) < 60.0
    bell.close()
    one.close()
    other.close()
