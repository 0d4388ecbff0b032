"""decisions: what a person decided, as a small synced file beside the blob.

It is written before the row, because it must outlive the database: a rebuilt one would send what
was withdrawn.

One JSON object a line: {"what": "hold", "destination": "", "who": "person:ann", "at": 1764000000.0}
"""

import contextlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from spool.blobs import Blobs, sync_folder

SUFFIX = ".decision"

#: A decision about the whole takes the place of these earlier ones, of all where it is not named.
_TURNS = {
    "hold": {"", "hold", "release", "retry", "resend", "restore"},
    "release": {"hold"},
    "retry": {"hold"},
    "resend": {"cancel"},
}


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
        self.write_all([(blob, decided)])

    def write_all(self, decisions: Iterable[tuple[str, Decided]]) -> None:
        """Append each decision to the file beside its blob; all durable when this returns."""
        new = {self._append(self._path(blob), decided) for blob, decided in decisions}
        for folder in filter(None, new):
            sync_folder(folder)

    def read(self, blob: str) -> list[Decided]:
        """Return all decisions about `blob`, oldest first; half a line is no decision."""
        try:
            text = self._path(blob).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        found = []
        for line in text.splitlines(keepends=True):
            with contextlib.suppress(ValueError):  # a crash cut it off: it never was in force
                found += [Decided(**json.loads(line))] if line.endswith("\n") else []
        return found

    def in_force(self, blob: str) -> dict[str, str]:
        """Return destination ("" for the whole) -> what holds there.

        One about the whole changes what it can change of those before it: who releases all that is
        held sends nothing that was cancelled.
        """
        found = {"": ""}
        for one in self.read(blob):
            if one.destination:
                found[one.destination] = one.what
            elif turns := _TURNS.get(one.what):
                found = {to: one.what if was in turns else was for to, was in found.items()}
            else:
                found = {"": one.what}
        return {to: what for to, what in found.items() if what}

    def carry_over(self, blob: str, stays: str) -> None:
        """Write what stands beside `blob` beside another of its instance, which outlives it.

        All of them again where one is missing: the last one counts, so their order must stay.
        """
        known, decided = self.read(stays), self.read(blob)
        if any(one not in known for one in decided):
            self.write_all((stays, one) for one in decided)

    def forget(self, blob: str) -> None:
        """Remove the file of a blob that is gone."""
        self._path(blob).unlink(missing_ok=True)

    def _append(self, path: Path, decided: Decided) -> Path | None:
        """Return the folder where the file is new in it."""
        is_new = not path.exists()
        if not path.parent.is_dir():  # the blob may be missing, and its day with it
            path.parent.mkdir()
            sync_folder(path.parent.parent)
        # On a line of its own, also behind one that a crash cut off.
        line = "\n" * (not is_new) + json.dumps(asdict(decided), sort_keys=True) + "\n"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            os.write(fd, line.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        return path.parent if is_new else None

    def _path(self, blob: str) -> Path:
        path = self._blobs.path(blob)
        return path.with_name(path.name + SUFFIX)
