"""facts: small things that a restart must not forget, by name.

Whoever writes one owns its name; `status` reads them while nothing runs.
"""

from spool.database import Database


class Facts:
    """Read and write facts; each is one text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, prefix: str) -> dict[str, str]:
        """Return the facts whose names begin with `prefix`, by the rest of the name."""
        rows = self._database.read(
            "SELECT name, value FROM fact WHERE name >= ? AND substr(name, 1, ?) = ? ORDER BY name",
            (prefix, len(prefix), prefix),
        )
        return {name[len(prefix) :]: value for name, value in rows}

    def put(self, name: str, value: str) -> None:
        """Keep the fact; one that is known already costs no write."""
        if self.all(name).get("") == value:
            return
        self._database.write(
            lambda db: db.execute(
                "INSERT INTO fact VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (name, value),
            )
        )

    def forget(self, name: str) -> None:
        """Know it no more."""
        self._database.write(lambda db: db.execute("DELETE FROM fact WHERE name = ?", (name,)))
