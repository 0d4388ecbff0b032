"""Success is said only after file, folder and row are synced: seen from outside, by strace.

References: man 1 strace (-y: paths of descriptors), man 2 fsync, man 2 link.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, small
from tests.fakes.running import Running

TRACED = "trace=fsync,fdatasync,sync_file_range,link,linkat,rename,sendmsg,sendto,write,writev"
#: pid, time, call, arguments, result; a call that another thread interrupted is put together below.
CALL = re.compile(r"^(?:\[pid +)?(\d+)?\]? *([\d:.]+) (\w+)\((.*)\) += +(-?\d+)")


@dataclass(frozen=True)
class Call:
    """One system call that ended."""

    name: str
    arguments: str
    result: int


def traced(program: str, pid: int, folder: Path) -> Running:
    command = [program, "-f", "-y", "-tt", "-s", "64", "-e", TRACED, "-p", str(pid)]
    one = Running(command, folder / "strace.log")
    one.wait_for(f"Process {pid} attached")
    return one


def calls(lines: list[str]) -> list[Call]:
    """Return the calls in the order in which they ended."""
    begun: dict[str, str] = {}
    found = []
    for line in lines:
        thread = (re.match(r"\[pid +(\d+)\]", line) or ["", ""])[1]
        if line.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>").rstrip()
            continue
        if "resumed>" in line:
            line = begun.pop(thread) + line.partition("resumed>")[2]
        if hit := CALL.match(line):
            found.append(Call(hit[3], hit[4], int(hit[5])))
    return found


def first(found: list[Call], name: str, *words: str, after: int = -1) -> int:
    """Return the place of the first such call behind `after` that succeeded."""
    for place, call in enumerate(found[after + 1 :], after + 1):
        named = re.fullmatch(name, call.name) and all(word in call.arguments for word in words)
        if named and call.result >= 0:
            return place
    raise AssertionError(f"no {name} with {words} behind call {after} of {found}")


def test_file_folder_and_row_are_synced_before_the_response_leaves(
    make_gateway: Callable[..., Gateway], program: Callable[[str], str], tmp_path: Path
) -> None:
    gateway = make_gateway()
    receiver = gateway.start("receive")
    uid = new_uid()
    with Modality(gateway.port) as modality:
        strace = traced(program("strace"), receiver.pid, tmp_path)
        assert modality.store(ul.US_IMAGE, uid, small(uid)) == 0
        strace.ask_to_end()
        strace.wait(20)
    found = calls(strace.lines)
    file = first(found, "fsync|fdatasync", "spool/incoming")
    link = first(found, "link|linkat", ".dcm", after=file)
    folder = first(found, "fsync|fdatasync", "spool/blobs/2", after=link)
    row = first(found, "fsync|fdatasync", "spool.db", after=folder)
    # 04 is a P-DATA-TF; what was said before the object came is not in the trace.
    answer = first(found, "sendmsg|sendto|write|writev", "socket:[", r'"\4\0')
    assert file < link < folder < row < answer, found


def test_the_trace_would_show_a_response_that_came_too_early() -> None:
    lines = [
        "[pid 7] 10:00:00.1 sendmsg(5<socket:[1]>, <unfinished ...>",
        "[pid 8] 10:00:00.2 fsync(6</s/spool/incoming/#1>) = 0",
        '[pid 7] 10:00:00.3 <... sendmsg resumed>{"\\4\\0"}) = 12',
    ]
    found = calls(lines)
    assert [call.name for call in found] == ["fsync", "sendmsg"]
    assert first(found, "sendmsg", "socket:[") > first(found, "fsync", "incoming")
