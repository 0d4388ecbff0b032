"""dcmtk: DCMTK's storescu, storescp and echoscu (man 1 of each), as modality and archive."""

import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.running import Running, wait_for_port

#: Debian's builds leave Nagle's algorithm on without it, which costs 40 ms an object.
NO_DELAY = {"TCP_NODELAY": "1"}


@dataclass(frozen=True)
class Said:
    """What storescu or echoscu said; `acknowledged` are the files answered with success."""

    code: int
    text: str
    acknowledged: tuple[Path, ...] = ()
    took_s: float = 0.0


def storescu(program: str, port: int, files: Sequence[Path], *options: str) -> Said:
    """Send `files` in one association; what was sent in vain is told by what is missing."""
    command = [program, "-v", "-R", "-aet", "US1", "-aec", "EDGE", *options]
    begun = time.monotonic()
    code, text = _run([*command, "127.0.0.1", str(port), *map(str, files)])
    pairs = re.findall(r"Sending file: (\S+)(?:(?!Sending file)[\s\S])*?Response \(Success\)", text)
    return Said(code, text, tuple(map(Path, pairs)), time.monotonic() - begun)


def echoscu(program: str, port: int, *options: str) -> Said:
    return Said(*_run([program, "-v", *options, "127.0.0.1", str(port)]))


def _run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        command, env=NO_DELAY, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


class Storescp:
    """An archive that keeps every object as a file of its own in `folder`."""

    def __init__(
        self, program: str, folder: Path, free_port: Callable[[], int], *options: str
    ) -> None:
        self.port, self.folder = free_port(), folder / "storescp"
        self.folder.mkdir()
        command = [program, "-v", "-pm", "+B", "-od", str(self.folder), *options, str(self.port)]
        self.running = Running(command, folder / "storescp.log")
        wait_for_port(self.running, self.port, is_open=True)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def associations(self) -> int:
        return len(self.running.found("Association Received"))

    def close(self) -> None:
        self.running.kill()
