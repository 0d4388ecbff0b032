"""The peers that come with the gateway: modality and archive on pynetdicom, each a process.

Takes      a folder to work in
Gives      the objects as files, a repeat as a further file
Holds      `ChildFailed` where one does not start
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmread

from gateway.demo.children import Child, free_port
from gateway.demo.peers import Step, Stored, Tell
from gateway.demo.pictures import Picture

START_S = 30.0
SEND_S = 120.0


class EmbeddedModality:
    """`gateway.demo.modality`: all pictures on one association."""

    name = "pynetdicom"

    def __init__(self, folder: Path) -> None:
        self._log = folder / "modality.log"

    def send(self, pictures: Sequence[Picture], port: int, tell: Tell) -> None:
        """See `peers.Modality`."""
        files = [str(picture.path) for picture in pictures]
        command = [sys.executable, "-m", "gateway.demo.modality", "--port", str(port), *files]
        child = Child(command, self._log, lambda line: _hear(line, tell))
        child.wait(SEND_S)


class EmbeddedArchive:
    """`gateway.demo.archive`: one file for each object that comes."""

    name = "pynetdicom"
    drops: frozenset[int] = frozenset()

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "archive.log"
        self._objects = folder / "archive"
        self._objects.mkdir()
        self._arrived: Counter[str] = Counter()
        self._running: Child | None = None

    def start(self, hear: Callable[[str], object]) -> None:
        """See `peers.Archive`."""
        command = [sys.executable, "-m", "gateway.demo.archive", "--port", str(self.port)]
        command += ["--folder", str(self._objects)]
        self._running = Child(command, self._log, lambda line: hear(self._count(line)))
        self._running.wait_for(lambda line: "listening" in facts(line), START_S)

    def arrived(self) -> dict[str, int]:
        """See `peers.Archive`."""
        return dict(self._arrived)

    def stored(self) -> dict[str, Stored]:
        """See `peers.Archive`."""
        files: dict[str, list[Path]] = {}
        for path in sorted(self._objects.glob("*.dcm")):
            uid = dcmread(path, stop_before_pixels=True).SOPInstanceUID
            files.setdefault(uid, []).append(path)
        return {uid: Stored(tuple(paths), len(paths)) for uid, paths in files.items()}

    def stop(self) -> None:
        """See `peers.Archive`."""
        if self._running:
            self._running.kill_group()

    def _count(self, line: str) -> str:
        if uid := facts(line).get("sop_instance_uid"):
            self._arrived[uid] += 1
        return line


def facts(line: str) -> dict[str, Any]:
    """Return the JSON object on `line`, an empty one for a line that holds none."""
    return dict(json.loads(line)) if line.startswith("{") else {}


def _hear(line: str, tell: Tell) -> None:
    said = facts(line)
    if uid := said.get("sop_instance_uid"):
        tell(uid, "sending" if said.get("sending") else _answer(said["status"]))


def _answer(status: int | None) -> Step:
    """Return what `status` means to the modality: success and warnings keep (PS3.4 B.2.3)."""
    if status is None:
        return "unanswered"
    return "saved" if status == 0x0000 or status & 0xF000 == 0xB000 else "refused"
