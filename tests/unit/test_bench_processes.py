"""Programs under measurement: processor time, memory, and that none is left over."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.bench import peers, processes
from gateway.bench.processes import BenchFailed, Program
from gateway.bench.product import Gateway
from gateway.bench.servers import free_port, listens

BUSY = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
#: A parent that waits for a busy child, then says so by a file and lives on.
PARENT = f"""
import subprocess, sys, signal, pathlib
subprocess.run([sys.executable, "-c", {BUSY!r}], check=True)
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""


def test_processor_time_counts_children_that_have_ended(tmp_path: Path) -> None:
    done = tmp_path / "done"
    program = Program([sys.executable, "-c", PARENT, str(done)], tmp_path / "log")
    try:
        program.wait_until(done.exists, 30)
        assert 0.2 <= program.cpu_s() < 5
    finally:
        program.stop()


#: A parent and a child that both live on; each has 20 MB of its own.
PAIR = """
import os, signal, pathlib, sys
child = os.fork()
mine = bytearray(b"x" * 20_000_000)
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
signal.pause()
"""


def test_memory_is_that_of_all_processes_and_shared_pages_count_once(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.mkdir()
    program = Program([sys.executable, "-c", PAIR, str(ready)], tmp_path / "log")
    try:
        program.wait_until(lambda: len(list(ready.iterdir())) == 2, 30)
        with program.watched() as seen:
            pass
    finally:
        program.stop()
    assert seen[0].pss_bytes > 40_000_000
    assert seen[0].rss_bytes > seen[0].pss_bytes


def test_a_stopped_program_leaves_no_process(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.mkdir()
    program = Program([sys.executable, "-c", PAIR, str(ready)], tmp_path / "log")
    program.wait_until(lambda: len(list(ready.iterdir())) == 2, 30)
    program.stop()
    assert program.memory().rss_bytes == 0


def test_a_program_that_ends_too_early_is_named(tmp_path: Path) -> None:
    program = Program(["sh", "-c", "echo the reason"], tmp_path / "log")
    with pytest.raises(BenchFailed, match="sh\nthe reason"):
        program.wait_until(lambda: False, 30)
    program.stop()


def test_a_program_that_takes_too_long_is_named(tmp_path: Path) -> None:
    program = Program(["sleep", "60"], tmp_path / "log")
    began = time.monotonic()
    with pytest.raises(BenchFailed, match="sleep"):
        program.wait_until(lambda: False, 0.1)
    program.stop()
    assert time.monotonic() - began < 10


def test_a_gateway_under_measurement_uses_no_run_directory_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/gateway")
    known = processes.environment()
    assert "RUNTIME_DIRECTORY" not in known
    assert known["TCP_NODELAY"] == "1"


def test_storescp_is_counted_and_gone_afterwards(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    program("storescp")
    with peers.Storescp(tmp_path / "server") as server:
        assert listens(server.port)
        assert server.objects() == 0
    assert not listens(server.port)


def test_a_server_that_does_not_start_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    class Broken(Gateway):
        process = ("no-such-stage",)

    with pytest.raises(BenchFailed), Broken(tmp_path / "server"):
        pass
    assert "no-such-stage" in (tmp_path / "server/log").read_text(encoding="utf-8")


def test_nobody_listens_on_a_free_port() -> None:
    assert not listens(free_port())
