"""lock: one process a stage and a state folder, and never a lock that outlives its holder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spool.errors import FolderBusy
from spool.lock import Lock, is_held

ROOT = Path(__file__).parents[2]
HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom spool.lock import Lock\n"
    "lock = Lock(Path(sys.argv[1]))\nprint('held', flush=True)\ntime.sleep(600)\n"
)


def holder(path: Path) -> subprocess.Popen[str]:
    """Return a process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(path)]
    child = subprocess.Popen(
        command, env={"PYTHONPATH": str(ROOT / "queue")}, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    assert child.stdout.readline() == "held\n"
    return child


def test_a_second_holder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    path = tmp_path / "db" / "receive.lock"
    child = holder(path)
    with pytest.raises(FolderBusy, match=rf"receive \(process {child.pid}\)"):
        Lock(path)
    child.kill()
    child.communicate()


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "receive.lock"
    child = holder(path)
    assert is_held(path)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert not is_held(path)
    Lock(path).release()


def test_a_lock_that_was_released_can_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "receive.lock"
    Lock(path).release()
    again = Lock(path)
    assert path.read_text().strip() == str(os.getpid())
    again.release()


def test_the_same_process_takes_it_once_too(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "receive.lock")
    with pytest.raises(FolderBusy):
        Lock(tmp_path / "receive.lock")
    assert is_held(tmp_path / "receive.lock")  # asking, and failing, took nothing away
    lock.release()


def test_asking_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "receive.lock"
    assert not is_held(path)
    assert not path.exists()
    Lock(path).release()
    assert not is_held(path)
    Lock(path).release()


def test_a_child_does_not_inherit_a_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "receive.lock")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock.release()
    assert not is_held(tmp_path / "receive.lock")
    child.communicate(b"\n")
