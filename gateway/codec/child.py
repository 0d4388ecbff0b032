"""`python -m gateway.codec.child PARENT MEMORY_BYTES CPU_S`: works on one frame after another.

Takes      jobs on standard input
Gives      frames on standard output, each codestream proved
Holds      answers FAILED with the error's code, UNREADABLE with an errno
Ends       with its parent (PR_SET_PDEATHSIG, and the end of standard input), at its memory or
           processor time, or by whatever a hostile picture does to it: never anything but itself

References: man 2 prctl, man 2 setrlimit, man 2 sched_setscheduler.
"""

import ctypes
import math
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gateway.codec import wire
from gateway.codec.errors import CodecError, Undecodable
from gateway.codec.frames import FrameAt, Geometry

if TYPE_CHECKING:  # numpy comes up after the limits stand
    from gateway.codec.cells import Cells

PR_SET_PDEATHSIG = 1  # linux/prctl.h
#: A frame's stored form may be larger than its pixels, but not without bound.
STORED_SLACK_BYTES = 1 << 16


def main() -> None:
    """Answer jobs until the parent closes the pipe."""
    parent, memory_bytes, cpu_s = map(int, sys.argv[1:4])
    die_with(parent)
    confine(memory_bytes)
    jobs, answers = sys.stdin.buffer, _answers()
    while (asked := wire.receive_job(jobs)) is not None:
        allow_cpu(cpu_s)
        answer(answers, *asked)


def die_with(parent: int) -> None:
    """Be killed when the thread that started this process ends, or leave now if it has ended."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def confine(memory_bytes: int) -> None:
    """Take the lowest priority, bound the memory, write no file and no core (it holds a picture).

    A service manager and a terminal signal the whole group: the parent decides when this ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(19)
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def allow_cpu(cpu_s: int) -> None:
    """Give the next frame `cpu_s` seconds of processor time; SIGXCPU then ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until_s = math.ceil(used.ru_utime + used.ru_stime) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (until_s, resource.RLIM_INFINITY))


def _answers() -> BinaryIO:
    """Keep standard output for answers alone: what a library prints must not become a picture."""
    pipe = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    return pipe


def answer(pipe: BinaryIO, number: int, job: wire.Job) -> None:
    """Send the frame, or why there is none. Memory that ran out ends the process."""
    try:
        wire.send_answer(pipe, number, wire.DONE, work(job))
    except CodecError as error:
        wire.send_answer(pipe, number, wire.FAILED, f"{error.code} {error}".encode())
    except MemoryError:
        os._exit(os.EX_OSERR)
    except OSError as error:
        wire.send_answer(pipe, number, wire.UNREADABLE, str(error.errno).encode())


def work(job: wire.Job) -> bytes:
    """Return the proved codestream of a frame, or the raw frame."""
    # Imported here: numpy and OpenJPEG come up after the limits stand.
    from gateway.codec import cells, jpeg2000, rle

    stored = read(job.frame, job.geometry)
    decode = {"raw": cells.from_raw, "rle": rle.decode, "jpeg2000": jpeg2000.decode}
    pixels = decode[job.frame.coding](stored, job.geometry)
    return encoded(pixels, job) if job.verb == "encode" else pixels.tobytes()


def encoded(pixels: "Cells", job: wire.Job) -> bytes:
    """Return the codestream that was asked for, its likeness before it where content is lost."""
    from gateway.codec import jpeg2000

    transform = job.target.colour_transform
    geometry = replace(job.geometry, planar=False, swapped=False, colour_transform=transform)
    if job.target.ratio:
        codestream, likeness_db = jpeg2000.encode_lossy(pixels, geometry, job.target.ratio)
        return wire.LIKENESS.pack(likeness_db) + codestream
    if job.target.coding == "htj2k":
        from gateway.codec import htj2k

        return htj2k.encode(pixels, geometry)
    return jpeg2000.encode(pixels, geometry)


def read(frame: FrameAt, geometry: Geometry) -> bytes:
    """Return the stored bytes of a frame, its parts joined.

    Raises
    ------
    Undecodable
        The frame is far larger than its pixels, or the file ends within it.
    """
    if frame.stored_bytes > 2 * geometry.frame_bytes + STORED_SLACK_BYTES:
        raise Undecodable(f"{frame.stored_bytes} bytes for a frame of {geometry.frame_bytes}")
    with Path(frame.path).open("rb", buffering=0) as file:
        stored = b"".join(os.pread(file.fileno(), count, at) for at, count in frame.parts)
    if len(stored) != frame.stored_bytes:
        raise Undecodable("the file ends within the frame")
    return stored


if __name__ == "__main__":
    main()
