"""crew and worker: a database that cannot write is waited for, a damaged one ends the process."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.crew import Crew
from gateway.processes import EX_DAMAGED
from gateway.worker import Loop
from spool.database import Database
from spool.doorbell import Doorbell
from tests.fakes.damage import lose_database, zeros


class Fault(sqlite3.OperationalError):
    """What SQLite raises, with its code."""

    def __init__(self, code: int) -> None:
        super().__init__("database or disk is full")
        self.sqlite_errorcode = code


def loop(folder: Path, turn: Callable[[], float], give_back: Callable[[], None]) -> Loop:
    return Loop("some", turn, Doorbell(folder, "some"), give_back=give_back)


def test_a_turn_that_cannot_write_gives_back_what_it_had_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.worker.CANNOT_FIRST_S", 0.01)
    done, went_on = [], threading.Event()
    faults = [Fault(sqlite3.SQLITE_FULL), Fault(sqlite3.SQLITE_IOERR)]

    def turn() -> float:
        done.append("turn")
        if faults:
            raise faults.pop(0)
        went_on.set()
        return 60.0

    one = loop(tmp_path, turn, lambda: done.append("gives back"))
    thread = threading.Thread(target=one.run)
    thread.start()
    assert went_on.wait(10)
    one.stop()
    thread.join(10)
    assert done == ["turn", "gives back", "turn", "gives back", "turn"]


def test_a_turn_that_meets_damage_ends_the_process(tmp_path: Path) -> None:
    def turn() -> float:
        raise Fault(sqlite3.SQLITE_CORRUPT)

    with pytest.raises(Fault):
        loop(tmp_path, turn, lambda: None).run()


def test_a_crew_whose_database_is_damaged_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    damaged = threading.Event()

    def turn() -> float:
        damaged.set()
        return 60.0

    crew = Crew([loop(tmp_path, turn, lambda: None)], threading.Event(), damaged)
    assert crew.work() == EX_DAMAGED


def test_a_database_knows_when_it_was_damaged_or_taken_away(tmp_path: Path) -> None:
    database = Database(tmp_path / "state" / "db" / "spool.db")
    database.write(lambda db: db.execute("CREATE TABLE one (x)"))
    database.look()
    assert not database.damaged.is_set()
    lose_database(tmp_path / "state")
    database.look()
    assert database.damaged.is_set()
    database.close()


def test_a_read_that_meets_damage_says_so(tmp_path: Path) -> None:
    path = tmp_path / "db" / "spool.db"
    first = Database(path)
    first.write(lambda db: db.execute("CREATE TABLE one (x)"))
    first.write(lambda db: db.execute("INSERT INTO one VALUES (randomblob(100000))"))
    first.close()
    database = Database(path)
    zeros(path, 4096, 4096)
    with pytest.raises(sqlite3.DatabaseError):
        database.read("SELECT count(*), sum(length(x)) FROM one")
    assert database.damaged.is_set()
    database.close()
