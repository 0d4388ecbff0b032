"""audit: is every row's file there and sound, and every file known? Changes nothing.

Takes      an open spool
Gives      plain dictionaries with stable keys, fit for JSON
Holds      nothing; what is found damaged here is held before it is sent, or by the scrub
"""

from collections.abc import Callable, Iterator
from typing import Any

from spool.counting import File
from spool.store import Spool

#: Told (files done, files in all, bytes done) while it goes on.
Told = Callable[[int, int, int], object]


def quick(spool: Spool) -> dict[str, Any]:
    """Return the database's integrity, and the blobs without a row."""
    return {"integrity": spool.counting.integrity(), "blobs_without_row": spool.orphans()}


def whole(spool: Spool, told: Told) -> dict[str, Any]:
    """Return what `quick` does, and what is wrong with each file; every one is read."""
    total, _ = spool.counting.totals()
    damaged: list[dict[str, Any]] = []
    files = read = 0
    for file in _files(spool):
        if damage := _damage(spool, file):
            damaged.append({"instance": file.instance_id, "blob": file.blob, "damage": damage})
        files, read = files + 1, read + file.bytes
        told(files, total, read)
    found = {"files": files, "bytes": read, "damaged": damaged, "set_aside": _set_aside(spool)}
    return quick(spool) | found


def _files(spool: Spool) -> Iterator[File]:
    after_id = 0
    while page := spool.counting.files(after_id):
        yield from page
        after_id = page[-1].rendition_id


def _damage(spool: Spool, file: File) -> str:
    damage = spool.scrubbing.damage_of(file.blob, file.sha256)
    # It may have been retired or merged while it was looked for.
    return "" if damage and spool.counting.is_gone(file.rendition_id) else damage


def _set_aside(spool: Spool) -> list[str]:
    folder = spool.state_dir / "set-aside"
    found = sorted(one for one in folder.rglob("*") if one.is_file())
    return [str(one.relative_to(spool.state_dir)) for one in found]
