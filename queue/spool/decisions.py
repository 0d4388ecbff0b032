"""decisions: what a person decided, as a small synced file beside the blob.

It is written before the row, because it must outlive the database: a rebuilt one would send what
was withdrawn. The last line that speaks of a destination, or of the whole, is in force.

One JSON object a line: {"what": "hold", "destination": "", "who": "person:ann", "at": 1764000000.0}
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from spool.blobs import Blobs, sync_folder

SUFFIX = ".decision"


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision; `destination` is "" where it is about the whole instance."""

    what: str  #: hold, release, withdraw, restore, cancel, resend
    who: str
    at: float
    destination: str = ""


class Decisions:
    """The decision files of one spool."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def write(self, blob: str, decided: Decided) -> None:
        """Append `decided` to the file beside `blob`; durable when this returns."""
        path = self._path(blob)
        is_new = not path.exists()
        line = json.dumps(asdict(decided), sort_keys=True) + "\n"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            os.write(fd, line.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        if is_new:
            sync_folder(path.parent)

    def read(self, blob: str) -> list[Decided]:
        """Return all decisions about `blob`, oldest first; half a line is no decision."""
        try:
            text = self._path(blob).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        found = []
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):
                found.append(Decided(**json.loads(line)))
        return found

    def in_force(self, blob: str) -> dict[str, str]:
        """Return destination ("" for the whole) -> the last decision about it.

        What sends or stops the whole ends what was decided about single destinations before.
        """
        found: dict[str, str] = {}
        for one in self.read(blob):
            if not one.destination and one.what in ("cancel", "resend", "withdraw", "restore"):
                found.clear()
            found[one.destination] = one.what
        return found

    def forget(self, blob: str) -> None:
        """Remove the file of a blob that is gone."""
        self._path(blob).unlink(missing_ok=True)

    def _path(self, blob: str) -> Path:
        path = self._blobs.path(blob)
        return path.with_name(path.name + SUFFIX)
