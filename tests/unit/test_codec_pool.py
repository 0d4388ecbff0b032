"""The codec's children: their limits, their deaths, their order, and that none is left behind."""

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import gateway.codec
from gateway.codec import codestream
from gateway.codec.errors import (
    CodecClosed,
    CodecDied,
    CodecError,
    OverBudget,
    Undecodable,
    UnusedBits,
)
from gateway.codec.frames import FrameAt, Geometry
from gateway.codec.pool import Codec

GREY = Geometry(64, 48, 1, 8, 8, False)
MEMORY_BYTES = 1 << 30
ROOT = str(Path(gateway.codec.__file__).parents[2])


def codec_of(**other: int) -> Codec:
    limits = {"workers": 2, "memory_bytes": MEMORY_BYTES, "cpu_s": 20, "frame_bytes_most": 1 << 28}
    return Codec(**limits | other)


@pytest.fixture
def codec() -> Iterator[Codec]:
    made = codec_of()
    yield made
    made.close()


def cine(path: Path, frames: int, geometry: Geometry = GREY) -> list[FrameAt]:
    """Write `frames` different frames one after another and return where they lie."""
    ramp = np.arange(geometry.frame_bytes, dtype="u4")
    size = geometry.frame_bytes
    with path.open("wb") as file:
        for number in range(frames):
            file.write(((ramp // 7 + number) % 251).astype("u1").tobytes())
    return [FrameAt(str(path), "raw", ((number * size, size),)) for number in range(frames)]


def raw(frame: FrameAt) -> bytes:
    with Path(frame.path).open("rb") as file:
        return b"".join(os.pread(file.fileno(), count, at) for at, count in frame.parts)


def encoded_file(path: Path, codestreams: list[bytes]) -> list[FrameAt]:
    path.write_bytes(b"".join(codestreams))
    edges = np.cumsum([0, *map(len, codestreams)]).tolist()
    return [
        FrameAt(str(path), "jpeg2000", ((edges[number], len(stream)),))
        for number, stream in enumerate(codestreams)
    ]


def stopped(pid: int) -> bool:
    """True when the process is gone or waits only to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(holds: Callable[[], bool], within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_frames_come_back_in_order_and_pixel_equal(codec: Codec, tmp_path: Path) -> None:
    frames = cine(tmp_path / "cine", 25)
    codestreams = list(codec.encode(frames, GREY))
    again = codec.decode(encoded_file(tmp_path / "j2k", codestreams), GREY)
    assert list(again) == [raw(frame) for frame in frames]


def test_a_frame_in_several_parts_is_joined(codec: Codec, tmp_path: Path) -> None:
    (whole,) = codec.encode(frames := cine(tmp_path / "cine", 1), GREY)
    (tmp_path / "parts").write_bytes(whole[:100] + b"between" + whole[100:])
    at = FrameAt(str(tmp_path / "parts"), "jpeg2000", ((0, 100), (107, len(whole) - 100)))
    assert list(codec.decode([at], GREY)) == [raw(frames[0])]


def test_two_callers_share_the_children_and_neither_gets_the_others_frames(
    codec: Codec, tmp_path: Path
) -> None:
    many = cine(tmp_path / "many", 60)
    few = cine(tmp_path / "few", 90)[80:]
    results: dict[str, list[bytes]] = {}
    long_done_at: list[float] = []

    def encode_many() -> None:
        results["many"] = list(codec.encode(many, GREY))
        long_done_at.append(time.monotonic())

    caller = threading.Thread(target=encode_many)
    caller.start()
    results["few"] = list(codec.encode(few, GREY))
    few_done_at = time.monotonic()
    caller.join()
    assert few_done_at < long_done_at[0]
    for name, frames in (("many", many), ("few", few)):
        stored = encoded_file(tmp_path / f"{name}.j2k", results[name])
        assert list(codec.decode(stored, GREY)) == [raw(frame) for frame in frames]


def test_frames_are_read_no_further_than_one_beyond_the_workers(
    codec: Codec, tmp_path: Path
) -> None:
    read = []

    def frames() -> Iterator[FrameAt]:
        for frame in cine(tmp_path / "cine", 20):
            read.append(frame)
            yield frame

    encoding = codec.encode(frames(), GREY)
    for number, _ in enumerate(encoding, 1):
        assert len(read) <= number + codec.workers


def test_a_frame_over_the_pixel_budget_is_refused_before_it_is_read(codec: Codec) -> None:
    huge = Geometry(32000, 32000, 1, 8, 8, False)
    with pytest.raises(OverBudget):
        codec.decode([FrameAt("/nowhere", "raw", ((0, 1),))], huge)
    assert codec.child_pids() == []


def test_a_codestream_that_asks_for_gigabytes_never_reaches_the_decoder(
    codec: Codec, tmp_path: Path
) -> None:
    (small,) = codec.encode(cine(tmp_path / "cine", 1), GREY)
    lying = bytearray(small)
    struct.pack_into(">II", lying, 8, 32000, 32000)
    assert codestream.read_header(bytes(lying)).columns == 32000
    with pytest.raises(Undecodable, match="32000"):
        list(codec.decode(encoded_file(tmp_path / "lying", [bytes(lying)]), GREY))


def test_a_missing_file_is_an_os_error_and_the_child_lives_on(codec: Codec, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        list(codec.encode([FrameAt(str(tmp_path / "gone"), "raw", ((0, 1),))], GREY))
    alive = codec.child_pids()
    assert len(list(codec.encode(cine(tmp_path / "cine", 2), GREY))) == 2
    assert set(alive) <= set(codec.child_pids())


def test_a_file_that_ends_within_a_frame_is_undecodable(codec: Codec, tmp_path: Path) -> None:
    (frame,) = cine(tmp_path / "cine", 1)
    os.truncate(frame.path, 100)
    with pytest.raises(Undecodable):
        list(codec.encode([frame], GREY))


def test_the_error_of_one_frame_stops_its_image_and_no_other(codec: Codec, tmp_path: Path) -> None:
    twelve = Geometry(64, 48, 1, 16, 12, False)
    (tmp_path / "overlay").write_bytes(b"\0\x10" * (64 * 48))
    overlay = FrameAt(str(tmp_path / "overlay"), "raw", ((0, 64 * 48 * 2),))
    with pytest.raises(UnusedBits):
        list(codec.encode([overlay] * 5, twelve))
    assert len(list(codec.encode(cine(tmp_path / "cine", 3), GREY))) == 3


def test_a_child_killed_on_one_frame_fails_that_frame_and_the_next_call_goes_on(
    tmp_path: Path,
) -> None:
    codec = codec_of(workers=1)
    frames = cine(tmp_path / "cine", 3)
    encoding = codec.encode(frames, GREY)
    next(encoding)
    (pid,) = codec.child_pids()
    os.kill(pid, signal.SIGSTOP)
    failing = codec.encode(frames, GREY)
    threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(CodecDied, match="SIGKILL"):
        list(encoding) and list(failing)
    assert len(list(codec.encode(frames, GREY))) == 3
    assert codec.child_pids() != [pid]
    codec.close()


def test_a_frame_that_takes_too_long_ends_its_child_only(tmp_path: Path) -> None:
    codec = codec_of(workers=1, cpu_s=1)
    slow = Geometry(6000, 6000, 1, 16, 16, False)
    noise = np.random.default_rng(4).integers(0, 1 << 16, 36_000_000, "u2")
    (tmp_path / "slow").write_bytes(noise.tobytes())
    with pytest.raises(CodecDied, match="SIGXCPU"):
        list(codec.encode([FrameAt(str(tmp_path / "slow"), "raw", ((0, 72_000_000),))], slow))
    assert len(list(codec.encode(cine(tmp_path / "cine", 2), GREY))) == 2
    codec.close()


def test_processor_time_is_counted_anew_for_each_frame(tmp_path: Path) -> None:
    codec = codec_of(workers=1, cpu_s=2)
    geometry = Geometry(1024, 1024, 1, 8, 8, False)
    frames = cine(tmp_path / "cine", 1, geometry) * 60
    assert len(list(codec.encode(frames, geometry))) == 60
    (pid,) = codec.child_pids()
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11]
    assert int(ticks) / os.sysconf("SC_CLK_TCK") > 2
    codec.close()


def test_a_frame_that_needs_more_memory_than_a_child_has_fails_alone(tmp_path: Path) -> None:
    codec = codec_of(workers=1, memory_bytes=400 << 20)
    large = Geometry(8000, 16000, 1, 16, 16, False)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(large.frame_bytes)
    with pytest.raises(CodecError):
        list(
            codec.encode(
                [FrameAt(str(tmp_path / "large"), "raw", ((0, large.frame_bytes),))], large
            )
        )
    assert len(list(codec.encode(cine(tmp_path / "cine", 2), GREY))) == 2
    codec.close()


def test_a_child_runs_at_the_lowest_priority_within_its_limits(
    codec: Codec, tmp_path: Path
) -> None:
    list(codec.encode(cine(tmp_path / "cine", 1), GREY))
    pid = codec.child_pids()[0]
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    assert resource.prlimit(pid, resource.RLIMIT_AS) == (MEMORY_BYTES, MEMORY_BYTES)
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"OPENBLAS_NUM_THREADS=1" in environment
    assert b"HOME=" not in environment


def test_a_child_leaves_the_signals_of_the_group_to_its_parent(
    codec: Codec, tmp_path: Path
) -> None:
    list(codec.encode(cine(tmp_path / "cine", 1), GREY))
    before = codec.child_pids()
    for pid in before:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    assert len(list(codec.encode(cine(tmp_path / "cine", 5), GREY))) == 5
    assert set(before) <= set(codec.child_pids())


def test_the_end_of_the_thread_that_asked_ends_no_child(codec: Codec, tmp_path: Path) -> None:
    frames = cine(tmp_path / "cine", 6)
    for _ in range(3):
        caller = threading.Thread(target=lambda: list(codec.encode(frames, GREY)))
        caller.start()
        caller.join()
    pids = codec.child_pids()
    time.sleep(0.2)  # a parent-death signal would have come by now; there is no event to wait for
    assert pids
    assert not any(stopped(pid) for pid in pids)
    assert codec.child_pids() == pids


def test_closing_ends_every_child_and_fails_what_waits(tmp_path: Path) -> None:
    codec = codec_of()
    frames = cine(tmp_path / "cine", 2000)
    encoding = codec.encode(frames, GREY)
    next(encoding)
    pids = codec.child_pids()
    codec.close()
    with pytest.raises(CodecClosed):
        list(encoding)
    with pytest.raises(CodecClosed):
        list(codec.encode(frames, GREY))
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    codec.close()


def test_children_without_work_give_their_memory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.codec.pool.IDLE_S", 0.1)
    codec = codec_of()
    list(codec.encode(cine(tmp_path / "cine", 2), GREY))
    until(lambda: codec.child_pids() == [])
    assert len(list(codec.encode(cine(tmp_path / "cine", 2), GREY))) == 2
    codec.close()


PARENT = """
import sys
sys.path.insert(0, {root!r})
from gateway.codec.frames import FrameAt, Geometry
from gateway.codec.pool import Codec
codec = Codec(workers=2, memory_bytes=1 << 30, cpu_s=60, frame_bytes_most=1 << 28)
big = Geometry(4000, 4000, 1, 16, 16, False)
frames = [FrameAt({path!r}, "raw", ((0, big.frame_bytes),))] * 8
small = Geometry(32, 32, 1, 8, 8, False)
list(codec.encode([FrameAt({path!r}, "raw", ((0, 1024),))] * 8, small))
print(*codec.child_pids(), flush=True)
list(codec.encode(frames, big))
"""


def test_children_die_with_a_killed_parent_even_in_the_middle_of_a_frame(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).integers(0, 1 << 16, 16_000_000, "u2")
    (tmp_path / "noise").write_bytes(noise.tobytes())
    text = PARENT.format(root=ROOT, path=str(tmp_path / "noise"))
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert pids
        parent.kill()
    until(lambda: all(stopped(pid) for pid in pids), within_s=5)


def test_a_child_whose_parent_has_already_gone_leaves_at_once() -> None:
    command = [sys.executable, "-m", "gateway.codec.child", "1", str(MEMORY_BYTES), "5"]
    assert os.getpid() != 1
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.PIPE, timeout=20, check=False)
    assert done.returncode == 0


CINE = """
import sys
sys.path.insert(0, {root!r})
from gateway.codec.frames import FrameAt, Geometry
from gateway.codec.pool import Codec
geometry = Geometry(128, 128, 1, 8, 8, False)
codec = Codec(workers=2, memory_bytes=1 << 30, cpu_s=60, frame_bytes_most=1 << 28)
size = geometry.frame_bytes
frames = (FrameAt({path!r}, "raw", ((number * size, size),)) for number in range({frames}))
written = sum(len(codestream) for codestream in codec.encode(frames, geometry))
codec.close()
# Not ru_maxrss: across vfork and exec it keeps what the test runner had.
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1])
"""


def test_memory_follows_the_frames_on_their_way_and_not_the_frames_of_the_image(
    tmp_path: Path,
) -> None:
    cine(tmp_path / "cine", 3000, Geometry(128, 128, 1, 8, 8, False))
    peaks_kib = []
    for frames in (120, 3000):
        text = CINE.format(root=ROOT, path=str(tmp_path / "cine"), frames=frames)
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, check=True)
        peaks_kib.append(int(done.stdout))
    assert abs(peaks_kib[1] - peaks_kib[0]) < 10 * 1024
