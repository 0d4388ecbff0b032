"""No program of the demo outlives what it should."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.children import Child, ChildFailed

ENDS_WITHIN_S = 20.0

#: Prints the process id of a child of its own, which ignores SIGTERM (1: SIG_IGN), and waits.
PARENT = """
import signal, subprocess, sys
inner = "import signal; signal.signal(15, 1); print('ready', flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", inner], stdout=subprocess.PIPE)
child.stdout.readline()
print("child", child.pid, flush=True)
signal.pause()
"""

#: A demo that starts one child and is then killed itself.
DEMO = """
import signal, sys
from pathlib import Path
from gateway.demo.children import Child
child = Child(["sh", "-c", "echo $$; exec sleep 1000"], Path(sys.argv[1]), print)
signal.pause()
"""


def started(tmp_path: Path, code: str) -> tuple[Child, list[str]]:
    lines: list[str] = []
    return Child([sys.executable, "-c", code], tmp_path / "log", lines.append), lines


def is_gone(handle: int) -> bool:
    """Return whether the process behind a pidfd ends in time (man 2 pidfd_open)."""
    ready, _writable, _failed = select.select([handle], [], [], ENDS_WITHIN_S)
    os.close(handle)
    return bool(ready)


def test_a_child_is_heard_line_by_line_and_logged(tmp_path: Path) -> None:
    child, lines = started(tmp_path, "print('one'); print('two')")
    assert child.wait(ENDS_WITHIN_S) == 0
    assert lines == ["one", "two"]
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_killing_a_child_kills_what_it_started(tmp_path: Path) -> None:
    child, lines = started(tmp_path, PARENT)
    child.wait_for(lambda line: line.startswith("child"), ENDS_WITHIN_S)
    grandchild = os.pidfd_open(int(lines[0].split()[1]))
    child.kill_group()
    assert is_gone(grandchild)


def test_stopping_a_child_leaves_nothing_that_ignored_the_signal(tmp_path: Path) -> None:
    child, lines = started(tmp_path, PARENT)
    child.wait_for(lambda line: line.startswith("child"), ENDS_WITHIN_S)
    grandchild = os.pidfd_open(int(lines[0].split()[1]))
    assert child.stop() == -signal.SIGTERM
    assert is_gone(grandchild)


def test_a_child_that_ends_without_its_word_is_reported_with_its_last_lines(
    tmp_path: Path,
) -> None:
    child, _lines = started(tmp_path, "print('port is taken'); raise SystemExit(1)")
    with pytest.raises(ChildFailed, match="port is taken"):
        child.wait_for(lambda line: "listening" in line, ENDS_WITHIN_S)
    child.kill_group()


def test_a_child_that_takes_too_long_is_killed_and_reported(tmp_path: Path) -> None:
    child, _lines = started(tmp_path, "import signal; signal.pause()")
    with pytest.raises(ChildFailed):
        child.wait(0.2)


def test_children_die_with_a_demo_that_is_killed(tmp_path: Path, root: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", DEMO, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"},
    )
    with demo:
        assert demo.stdout
        handle = os.pidfd_open(int(demo.stdout.readline()))
        demo.kill()
        assert is_gone(handle)
