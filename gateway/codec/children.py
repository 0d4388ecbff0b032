"""One codec child as its parent sees it: start, ask, end.

Takes      jobs, one at a time
Gives      frames
Holds      CodecDied when the child ends on the job; the errors that the child reports

PR_SET_PDEATHSIG follows the *thread* that forked (man 2 prctl): the thread that starts a `Child`
must live as long as the child shall.
"""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, cast

import gateway
from gateway.codec import wire
from gateway.codec.errors import REPORTED, CodecDied

#: A codestream of noise is a little larger than its pixels; an error text is shorter than this.
ANSWER_SLACK_BYTES = 1 << 20

#: All that a child gets to see of our environment: no credential, one thread in each library.
ENVIRONMENT = {
    "PYTHONPATH": str(Path(gateway.__file__).resolve().parent.parent),
    "PYTHONDONTWRITEBYTECODE": "1",
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class Child:
    """A running codec child. Belongs to the thread that made it; only `kill` is for others."""

    def __init__(self, *, memory_bytes: int, cpu_s: int) -> None:
        limits = [str(os.getpid()), str(memory_bytes), str(cpu_s)]
        # What a hostile picture makes a library say goes nowhere: a log takes no raw bytes.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gateway.codec.child", *limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            cwd="/",
        )
        self._jobs = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._numbers = itertools.count(1)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, job: wire.Job) -> bytes:
        """Return the answer to `job`.

        Raises
        ------
        CodecDied
            The child ended on it. This `Child` is of no use any more.
        CodecError, OSError
            As the child reports it.
        """
        number = next(self._numbers)
        try:
            wire.send_job(self._jobs, number, job)
            most = 2 * job.geometry.frame_bytes + ANSWER_SLACK_BYTES
            status, payload = wire.receive_answer(self._answers, number, bytes_most=most)
        except (BrokenPipeError, EOFError) as error:
            raise CodecDied(self._last_words()) from error
        return _frame(status, payload, job)

    def kill(self) -> None:
        """End the child at once, from any thread; `ask` then raises CodecDied."""
        self._process.kill()

    def close(self) -> None:
        """End the child and take its status, so that no zombie stays."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        try:
            self._jobs.close()
        except BrokenPipeError:
            # The job that it died on still lay in the buffer; close() has closed all the same.
            return

    def _last_words(self) -> str:
        # A child that said what it should not is alive; one that died is not harmed again.
        self._process.kill()
        status = self._process.wait()
        if status == os.EX_OSERR:
            return "the codec child ran out of memory"
        if status < 0:
            return f"the codec child was ended by {signal.Signals(-status).name}"
        return f"the codec child ended with status {status}"


def _frame(status: int, payload: bytes, job: wire.Job) -> bytes:
    """Return the frame of an answer, or raise what it reports."""
    if status == wire.DONE:
        if job.verb == "decode" and len(payload) != job.geometry.frame_bytes:
            raise CodecDied(f"the codec child answered {len(payload)} bytes for a raw frame")
        return payload
    if status == wire.UNREADABLE:
        number = int(payload)
        raise OSError(number, os.strerror(number), job.frame.path)
    code, _, text = payload.decode(errors="replace").partition(" ")
    raise REPORTED.get(code, CodecDied)(text)
