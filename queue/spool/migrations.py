"""migrations: the schema, forward only and additive; each script runs once, whole or not at all.

`sqlite-utils` keeps the record of what ran. It is loaded only when something is to be done.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spool.database import Database, connect

SCRIPTS = sorted((Path(__file__).parent / "sql").glob("*.sql"))


def pending(database: Database) -> list[str]:
    """Return the names of the scripts that have not run, in their order."""
    known = database.read("SELECT name FROM sqlite_master WHERE name = '_sqlite_migrations'")
    ran = (
        {row["name"] for row in database.read("SELECT name FROM _sqlite_migrations")}
        if known
        else set()
    )
    return [one.stem for one in SCRIPTS if one.stem not in ran]


def migrate(database: Database) -> list[str]:
    """Run what is pending, alone, and return the names of what ran."""
    names = pending(database)
    if not names:
        return []
    import sqlite_utils
    from sqlite_utils.migrations import Migrations

    steps = Migrations("spool")
    for script in SCRIPTS:
        steps(name=script.stem)(_runner(script))
    with database.alone() as path:
        connection = connect(path)
        try:
            steps.apply(sqlite_utils.Database(connection))
        finally:
            connection.close()
    return names


def _runner(script: Path) -> Callable[[Any], None]:
    def run(db: Any) -> None:
        for statement in statements(script.read_text()):
            db.conn.execute(statement)

    return run


def statements(script: str) -> Iterator[str]:
    """Give the statements of `script` one by one: executescript() would commit before it runs."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
