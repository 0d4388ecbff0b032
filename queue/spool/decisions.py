"""decisions: what a person decided, as a small synced file beside the blob.

It is written before the row, because it must outlive the database: a rebuilt one would send what
was withdrawn.

One JSON object a line: {"what": "hold", "destination": "", "who": "person:ann", "at": 1764000000.0}
Before these stands another "who", with a checksum and the length of the line: the program before
this one reads the last of two equal keys. A line that is shorter was cut off by a crash and never
was in force; one that is whole and does not agree is rotten, and whatever it said, nothing of the
instance goes out until a person has looked.
"""

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from spool.blobs import Blobs, sync_folder
from spool.model import UNREADABLE

SUFFIX = ".decision"

#: A decision about the whole takes the place of these earlier ones, of all where it is not named.
_TURNS = {
    "hold": {"", "hold", "release", "retry", "resend", "restore"},
    UNREADABLE: {"", "hold", "release", "retry", "resend", "restore", UNREADABLE},
    "release": {"hold", UNREADABLE},
    "retry": {"hold", UNREADABLE},
    "resend": {"cancel"},
}
#: The first "who" of a line: CRC-32 of what follows it, and the bytes of the whole line.
_SEAL = re.compile(rb'\{"who": "crc32 ([0-9a-f]{8}) ([0-9]{4,6})", ')
#: How a line begins, with a seal and as the program before this one wrote it.
_BEGINNINGS = (b'{"who": "crc32 ', b'{"at": ')


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
        """Return all decisions about `blob`, oldest first; half a line is no decision.

        Rotten lines that nobody was told of (`tell_rot`) stand at the end, as one `UNREADABLE`.
        """
        found, untold = self._read(blob)
        return [*found, Decided(UNREADABLE, UNREADABLE, 0.0)] if untold else found

    def tell_rot(self, blob: str, at: float) -> bool:
        """Write down that lines beside `blob` are rotten; tell whether that is new.

        What a person decides after that, knowing of it, counts again.
        """
        _, untold = self._read(blob)
        self.write_all([(blob, Decided(UNREADABLE, UNREADABLE, at))] * untold)
        return untold > 0

    def _together(self, blobs: Iterable[str]) -> list[Decided]:
        """Return what was decided about one instance, in its order.

        All of its files say the same, but for one that was lost and begun anew, and for the last
        decision where a kill came between them.
        """
        files = [self.read(blob) for blob in blobs]
        found: list[Decided] = sorted(files, key=len, reverse=True)[0][:] if files else []
        for file in files:
            _merge(found, file)
        return found

    def _read(self, blob: str) -> tuple[list[Decided], int]:
        """Return the decisions, and how many rotten lines are not told of among them."""
        try:
            lines = self._path(blob).read_bytes().split(b"\n")
        except FileNotFoundError:
            return [], 0
        found, rotten = list[Decided](), 0
        for line in lines:
            try:
                found += [] if _is_half(line) else [_decided(line)]
            except (ValueError, TypeError):
                rotten += 1
        told = sum(one.what == UNREADABLE for one in found)
        return found, max(0, rotten - told)

    def in_force(self, *blobs: str) -> dict[str, str]:
        """Return destination ("" for the whole) -> what holds there, for one instance's blobs.

        One about the whole changes what it can change of those before it: who releases all that is
        held sends nothing that was cancelled.
        """
        found = {"": ""}
        for one in self._together(blobs):
            if one.destination:
                found[one.destination] = one.what
            elif turns := _TURNS.get(one.what):
                found = {to: one.what if was in turns else was for to, was in found.items()}
            else:
                found = {"": one.what}
        return {to: what for to, what in found.items() if what}

    def added(self, *blobs: str) -> set[str]:
        """Return where a person sent it, routes or not, and nobody has cancelled it since."""
        found: set[str] = set()
        for one in self._together(blobs):
            if one.destination and one.what == "resend":
                found.add(one.destination)
            elif one.what == "cancel" and one.destination:
                found.discard(one.destination)
            elif not one.destination and one.what not in _TURNS:
                found.clear()
        return found

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
        line = b"\n" * (not is_new) + _line(decided) + b"\n"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            os.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        return path.parent if is_new else None

    def _path(self, blob: str) -> Path:
        path = self._blobs.path(blob)
        return path.with_name(path.name + SUFFIX)


def _merge(found: list[Decided], file: list[Decided]) -> None:
    """Put into `found` what only `file` has, before what comes behind it in both."""
    missing, place = Counter(file) - Counter(found), len(found)
    for one in reversed(file):
        if missing[one] > 0:
            missing[one] -= 1
            found.insert(place, one)
        else:
            place = max((at for at in range(place) if found[at] == one), default=place)


def _line(decided: Decided) -> bytes:
    """Return the decision as a line, sealed."""
    said = asdict(decided)
    if decided.what == UNREADABLE:  # the program before this one knows it as a hold
        said["what"] = "hold"
    body = json.dumps(said, sort_keys=True).encode()[1:]
    seal = b'{"who": "crc32 %08x %04d", '
    length = len(seal % (0, 0)) + len(body)
    return seal % (zlib.crc32(body), length) + body


def _decided(line: bytes) -> Decided:
    """Return what a whole line says; ValueError or TypeError where it is rotten."""
    sealed = _SEAL.match(line)
    if sealed and int(sealed[1], 16) != zlib.crc32(line[sealed.end() :]):
        raise ValueError("the checksum")
    pairs = json.loads(line, object_pairs_hook=list)
    said = dict(pairs)
    if not sealed and len(said) != len(pairs):
        raise ValueError("a seal that is none")
    decided = Decided(**said)
    is_told = decided.who == UNREADABLE
    return Decided(UNREADABLE, decided.who, decided.at) if is_told else decided


def _is_half(line: bytes) -> bool:
    """Tell whether a crash cut the line off; its end of line came with the next one."""
    if line.endswith(b"}"):
        return False
    if sealed := _SEAL.match(line):
        return len(line) < int(sealed[2])
    return any(line.startswith(one) or one.startswith(line) for one in _BEGINNINGS)
