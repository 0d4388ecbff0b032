"""damage: what a failing card or a hasty hand does to a state folder, and the start after it."""

from pathlib import Path

from spool.repair import ensure_database
from spool.store import Spool
from tests.fakes.spools import opened


def lose_database(state_dir: Path) -> None:
    """Delete the database with its log; the copies stay."""
    for one in (state_dir / "db").glob("spool.db*"):
        one.unlink()


def zeros(path: Path, at: int, count: int) -> None:
    """Overwrite `count` bytes with zeros."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(count))


def cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def flip(path: Path, at: int, bit: int = 2) -> None:
    """Change one bit."""
    with path.open("r+b") as file:
        file.seek(at)
        (value,) = file.read(1)
        file.seek(at)
        file.write(bytes([value ^ 1 << bit]))


def reopened(folder: Path) -> Spool:
    """Return the spool below `folder` as a start that is alone leaves it."""
    incidents = ensure_database(folder / "state", 1_772_352_000.0)
    found = opened(folder)
    found.repair.reconcile(incidents)
    return found
