"""sender: DCMTK's storescu, all files on one association.

Takes      a folder of Part 10 files, or one file, and a port of the loopback
Gives      the seconds until the last was answered, start of the program (about 15 ms) included
Holds      `BenchFailed`: an object was not taken; `MissingTool`
"""

import subprocess
import time
from pathlib import Path

from gateway.bench.processes import LEASH, BenchFailed, environment
from gateway.bench.tools import find, on_core

NEEDS = ("storescu", "dcmtk")
SEND_S = 600.0


def send(what: Path, port: int, core: int | None = None) -> float:
    """Send `what` and return the seconds it took."""
    options = ["--required", "--scan-directories"] if what.is_dir() else ["--required"]
    command = [find(*NEEDS), *options, "127.0.0.1", str(port), str(what)]
    began = time.perf_counter()
    done = subprocess.run(
        [*LEASH, *on_core(core, command)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SEND_S,
        check=False,
    )
    took_s = time.perf_counter() - began
    # An object that is refused ends storescu with a warning and code 0.
    if done.returncode or done.stderr.strip():
        raise BenchFailed("\n".join(["storescu", done.stderr.strip()]))
    return took_s
