"""database: one writer at a time, shared commits, and a fault that is only its caller's."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.database import SHARED_MOST, Database

ROOT = Path(__file__).parents[2]

ADD_100 = """
import sys
from pathlib import Path
from spool.database import Database
database = Database(Path(sys.argv[1]))
for count in range(100):
    database.write(lambda db: db.execute("UPDATE total SET n = n + 1"))
database.close()
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / "db" / "some.db")
    found.write(lambda db: db.execute("CREATE TABLE one (n INTEGER PRIMARY KEY)"))
    yield found
    found.close()


def insert(database: Database, number: int) -> int | None:
    return database.write(lambda db: db.execute("INSERT INTO one VALUES (?)", (number,)).lastrowid)


def numbers(database: Database) -> list[int]:
    return [row["n"] for row in database.read("SELECT n FROM one ORDER BY n")]


def test_a_commit_is_synced_and_the_log_is_written_ahead(database: Database) -> None:
    found = database.write(
        lambda db: [
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert found == ["wal", 2, 1]  # 2 is FULL: sqlite.org/pragma.html#pragma_synchronous


def test_a_work_gives_its_result_and_what_it_wrote_can_be_read(database: Database) -> None:
    assert insert(database, 7) == 7
    assert numbers(database) == [7]


def test_a_work_that_raises_undoes_all_of_itself(database: Database) -> None:
    def work(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO one VALUES (1)")
        raise KeyError("after its first row")

    with pytest.raises(KeyError, match="after its first row"):
        database.write(work)
    assert numbers(database) == []


def together(database: Database, works: list[int]) -> dict[int, BaseException | None]:
    """Run an insert for each number, a negative one failing after it, in one shared commit."""
    outcomes: dict[int, BaseException | None] = {}

    def work(number: int) -> None:
        def both(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO one VALUES (?)", (number,))
            if number < 0:
                raise ValueError(number)

        try:
            database.write(both)
            outcomes[number] = None
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=work, args=(number,)) for number in works]
    with database.alone():  # all of them wait, and then share
        for thread in threads:
            thread.start()
        while len(database._waiting) < len(works):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    return outcomes


def commits(database: Database) -> list[str]:
    """Return the list into which every BEGIN and COMMIT goes from now on."""
    found: list[str] = []
    database.write(
        lambda db: db.set_trace_callback(
            lambda text: found.append(text) if text.startswith(("BEGIN", "COMMIT")) else None
        )
    )
    found.clear()
    return found


def test_waiting_writers_share_a_commit(database: Database) -> None:
    seen = commits(database)
    outcomes = together(database, list(range(1, 9)))
    assert set(outcomes.values()) == {None}
    assert numbers(database) == list(range(1, 9))
    assert seen == ["BEGIN IMMEDIATE", "COMMIT"]


def test_one_that_raises_in_a_shared_commit_undoes_only_itself(database: Database) -> None:
    outcomes = together(database, [1, -2, 3, -4, 5])
    assert numbers(database) == [1, 3, 5]
    assert {number for number, error in outcomes.items() if error} == {-2, -4}
    assert isinstance(outcomes[-2], ValueError)
    assert outcomes[-2].args == (-2,)


def test_a_long_queue_is_cut_into_short_transactions(database: Database) -> None:
    seen = commits(database)
    together(database, list(range(1, SHARED_MOST + 20)))
    assert len(numbers(database)) == SHARED_MOST + 19
    assert seen.count("COMMIT") == 2


def test_when_sqlite_undoes_the_whole_transaction_every_writer_is_told(database: Database) -> None:
    pages = database.read("PRAGMA page_count")[0][0]
    database.write(lambda db: db.execute("CREATE TABLE big (x)"))
    full = pages + 3
    database.write(lambda db: db.execute(f"PRAGMA max_page_count = {full}"))

    def fill(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO big SELECT zeroblob(100000)")

    outcomes: list[BaseException] = []

    def attempt() -> None:
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.write(fill)
        outcomes.append(caught.value)

    threads = [threading.Thread(target=attempt) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(error) for error in outcomes] == ["database or disk is full"] * 3
    assert database.read("SELECT count(*) FROM big")[0][0] == 0
    insert(database, 1)
    assert numbers(database) == [1]


def test_two_processes_take_turns_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "db" / "some.db"
    database = Database(path)
    database.write(lambda db: db.execute("CREATE TABLE total (n INTEGER)"))
    database.write(lambda db: db.execute("INSERT INTO total VALUES (0)"))
    command = [sys.executable, "-c", ADD_100, str(path)]
    children = [
        subprocess.Popen(command, env={"PYTHONPATH": str(ROOT / "queue")}) for _ in range(2)
    ]
    for _ in range(100):
        database.write(lambda db: db.execute("UPDATE total SET n = n + 1"))
    assert [child.wait() for child in children] == [0, 0]
    assert database.read("SELECT n FROM total")[0]["n"] == 300
    database.close()


def test_closing_waits_for_the_writer_and_ends_every_later_one(database: Database) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(db: sqlite3.Connection) -> None:
        entered.set()
        go_on.wait(10)
        db.execute("INSERT INTO one VALUES (1)")

    other = Database(database.path)
    writer = threading.Thread(target=other.write, args=(slow,))
    writer.start()
    entered.wait(10)
    closer = threading.Thread(target=other.close)
    closer.start()
    go_on.set()
    writer.join()
    closer.join()
    assert numbers(database) == [1]
    with pytest.raises((sqlite3.ProgrammingError, OSError)):
        insert(other, 2)
