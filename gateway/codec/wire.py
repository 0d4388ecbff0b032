"""What a codec child and its parent say to each other over two pipes.

A job goes down as a number, a length and JSON; an answer comes up as the same number, a status,
a length and bytes. Nothing that comes up is executed or unpickled: a child may have been taken
over by the picture it decoded. The number comes back so that no frame is taken for another.
"""

import dataclasses
import json
import struct
from typing import BinaryIO, Literal

from gateway.codec.frames import LOSSLESS, FrameAt, Geometry, Target

DONE, FAILED, UNREADABLE = 0, 1, 2
JOB_HEAD = struct.Struct(">QI")
ANSWER_HEAD = struct.Struct(">QBQ")
LIKENESS = struct.Struct(">d")  #: peak signal-to-noise ratio, dB


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One frame to encode or to decode. Answered with a codestream, or with the raw frame.

    Where content is lost, the codestream's likeness to the frame stands before it (`LIKENESS`).
    """

    verb: Literal["encode", "decode"]
    frame: FrameAt
    geometry: Geometry
    target: Target = LOSSLESS


def send_job(pipe: BinaryIO, number: int, job: Job) -> None:
    """Write one job. Raises BrokenPipeError when the child has gone."""
    text = json.dumps(dataclasses.asdict(job)).encode()
    pipe.write(JOB_HEAD.pack(number, len(text)) + text)
    pipe.flush()


def receive_job(pipe: BinaryIO) -> tuple[int, Job] | None:
    """Return the next job and its number, or None when the parent has closed its end."""
    head = pipe.read(JOB_HEAD.size)
    if len(head) < JOB_HEAD.size:
        return None
    number, count = JOB_HEAD.unpack(head)
    fields = json.loads(pipe.read(count))
    frame = fields["frame"] | {"parts": tuple(map(tuple, fields["frame"]["parts"]))}
    geometry, target = Geometry(**fields["geometry"]), Target(**fields["target"])
    return number, Job(fields["verb"], FrameAt(**frame), geometry, target)


def send_answer(pipe: BinaryIO, number: int, status: int, payload: bytes | memoryview) -> None:
    """Write one answer: the frame (DONE), or "CODE text" (FAILED), or an errno (UNREADABLE)."""
    pipe.write(ANSWER_HEAD.pack(number, status, len(payload)))
    pipe.write(payload)
    pipe.flush()


def receive_answer(pipe: BinaryIO, number: int, *, bytes_most: int) -> tuple[int, bytes]:
    """Return status and payload of the answer to job `number`.

    Raises
    ------
    EOFError
        The child has gone, answered another job, or sends more than `bytes_most`.
    """
    head = pipe.read(ANSWER_HEAD.size)
    if len(head) < ANSWER_HEAD.size:
        raise EOFError("no answer")
    answered, status, count = ANSWER_HEAD.unpack(head)
    if answered != number or count > bytes_most:
        raise EOFError("not the answer to this job")
    payload = pipe.read(count)
    if len(payload) < count:
        raise EOFError("half an answer")
    return status, payload
