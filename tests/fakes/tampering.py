"""tampering: strace in the way of a running program, at its n-th system call.

Takes      the process id of the unmodified program, a call's name, and what is to happen there
Gives      how often each call is made, and whether the fault was met

strace counts for each thread by itself, from the moment it attaches; a thread that is born later
begins at one.

References: man 1 strace, section "Tampering".
"""

import os
import re
import select
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.running import Running

#: Files, syncs, the database's locks, sockets: what can fail, or be the last that was done.
CALLS = (
    *("openat", "read", "pread64", "write", "pwrite64", "fsync", "fdatasync", "ftruncate"),
    *("linkat", "link", "rename", "unlink", "unlinkat", "mkdir", "lseek", "statfs", "fstatfs"),
    *("flock", "fcntl", "close", "accept4", "recvfrom", "sendmsg", "sendto", "setsockopt"),
    *("socket", "bind", "connect", "fchmod", "newfstatat", "fstat", "getdents64"),
)
#: What cannot fail in the kernel for want of room or by a broken disk is not made to fail.
DISK_CALLS = (
    *("openat", "write", "pwrite64", "pread64", "fsync", "fdatasync", "ftruncate"),
    *("linkat", "link", "rename", "mkdir", "unlink"),
)
_LINE = re.compile(r"^(\d+) +(\w+)\(")
_TAMPERED = "INJECTED"


def counted(strace: str, pid: int, log: Path, act: Callable[[], object]) -> dict[str, int]:
    """Return, for each call that `act` makes the program do, the most that one thread makes."""
    command = [strace, "-f", "-o", str(log), "-e", f"trace={','.join(CALLS)}", "-p", str(pid)]
    with _attached(command, pid, log):
        act()
    threads: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if "resumed>" not in line and (met := _LINE.match(line)):
            threads[met[2]][met[1]] += 1
    return {call: max(each.values()) for call, each in threads.items()}


def fault_at(
    strace: str, pid: int, log: Path, call: str, when: int, fault: str, act: Callable[[], object]
) -> bool:
    """Let `act` run into `fault` at the `when`-th `call`; return whether it was met.

    Parameters
    ----------
    fault
        "SIGKILL", which ends the program as it enters the call, or an errno such as "ENOSPC".
    """
    what = f"signal={fault}" if fault.startswith("SIG") else f"error={fault}"
    inject = f"inject={call}:{what}:when={when}"
    command = [strace, "-f", "-o", str(log), "-e", f"trace={call}", "-e", inject, "-p", str(pid)]
    with _attached(command, pid, log):
        act()
    if not is_alive(pid):
        return True
    return _TAMPERED in log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def _attached(command: list[str], pid: int, log: Path) -> Iterator[None]:
    log.unlink(missing_ok=True)
    tracer = Running(command, log.with_suffix(".strace"))
    tracer.wait_for(f"Process {pid} attached")
    try:
        yield
    finally:
        if is_alive(pid):
            tracer.ask_to_end()  # it detaches, and the program goes on
        if not is_alive(pid) or not _ends(tracer, pid):
            tracer.kill()  # strace may wait for a thread that is gone


def _ends(tracer: Running, pid: int, within_s: int = 20) -> bool:
    """Tell whether it ended; it does not where the program is killed in this very moment."""
    for _ in range(within_s):
        try:
            tracer.wait(1)
            return True
        except subprocess.TimeoutExpired:
            if not is_alive(pid):
                break
    return False


def wait_for_end(pid: int, within_s: float) -> bool:
    """Return whether the program ended in time; its parent need not have been told (pidfd_open)."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], within_s)[0])
    finally:
        os.close(fd)


def is_alive(pid: int) -> bool:
    """Tell whether the program still runs; its parent may not have been told yet of its end."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
