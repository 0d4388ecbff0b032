"""earlier: what came before under the same SOP Instance UID, and who waits for it.

Takes      an instance under a claim; reads rows, also those whose files are gone (tombstones)
Gives      the earlier ones with what is known of their content, for prepare to compare
Holds      nothing: what becomes of a re-send is decided above the spool
"""

import sqlite3

from spool.blobfile import verify_rendition
from spool.blobs import Blobs
from spool.database import Database
from spool.errors import Damaged
from spool.model import Content, Earlier, Instance
from spool.rows import RENDITION_COLUMNS, rendition_of

WAITS = "waits-for-earlier"
CONTENT_COLUMNS = ("pixels_sha256", "identity_sha256", "rest_sha256")

#: SQL: delivery `d` waits, since an earlier instance of its UID has one there (see `Behind`).
IS_BEHIND = (
    "(d.behind > 0 AND EXISTS (SELECT 1 FROM instance mine JOIN instance first"
    " ON first.sop_instance_uid = mine.sop_instance_uid AND first.id < mine.id"
    " JOIN delivery f ON f.instance_id = first.id AND f.destination = d.destination"
    " WHERE mine.id = d.instance_id"
    " AND (f.state = 'queued' OR (f.state = 'held' AND d.behind > 1))))"
)

#: What is broken never stands in the way of a whole one.
_EARLIER = (
    "SELECT i.state, r.*, EXISTS (SELECT 1 FROM rendition k"
    " WHERE k.instance_id = i.id AND k.gone_at = 0) AS has_files"
    " FROM rendition r JOIN instance i ON i.id = r.instance_id"
    " WHERE r.sop_instance_uid = ? AND r.role = 'received' AND i.id < ?"
    " AND i.state <> 'merged' AND NOT (i.state = 'held' AND i.reason IN"
    " ('structure', 'uid-mismatch', 'no-sop-instance-uid', 'damaged')) ORDER BY i.id"
)


class EarlierOnes:
    """Finds and examines them."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database, self._blobs = database, blobs

    def of(self, instance: Instance) -> list[Earlier]:
        """Return what came before under the same UID, the oldest first.

        What is broken does not count, nor does one whose file was lost: a whole one may come after
        it, and must not be thrown away for it.
        """
        rows = self._database.read(_EARLIER, (instance.arrival.sop_instance_uid, instance.id))
        return [_earlier_of(row) for row in rows if not self._is_lost(row)]

    def are_whole(self, instance_id: int) -> bool:
        """Read every file that the instance still has; tell whether each is what was written."""
        rows = self._database.read(
            f"SELECT {RENDITION_COLUMNS} FROM rendition r WHERE instance_id = ? AND gone_at = 0",
            (instance_id,),
        )
        try:
            for row in rows:
                verify_rendition(rendition_of(row, self._blobs))
        except (Damaged, OSError):
            return False
        return True

    def _is_lost(self, row: sqlite3.Row) -> bool:
        """Tell whether it still owes something that it has no bytes for any more."""
        if row["state"] not in ("received", "ready", "held"):
            return False
        is_missing = not row["gone_at"] and not self._blobs.path(row["blob"]).exists()
        return is_missing or not row["has_files"]


def _earlier_of(row: sqlite3.Row) -> Earlier:
    return Earlier(
        row["instance_id"],
        row["state"],
        row["sha256"],
        row["transfer_syntax_uid"],
        content_of(row),
        bool(row["has_files"]),
    )


def content_of(row: sqlite3.Row) -> Content | None:
    """Return what the row of a received rendition knows of its content."""
    return Content(*(row[name] for name in CONTENT_COLUMNS)) if row["rest_sha256"] else None


def write_content(db: sqlite3.Connection, instance: Instance, content: Content | None) -> None:
    """Write down what is known of the content; it outlives the bytes."""
    if content and content != instance.content:
        db.execute(
            "UPDATE rendition SET pixels_sha256 = ?, identity_sha256 = ?, rest_sha256 = ?"
            " WHERE id = ?",
            (content.pixels, content.identity, content.rest, instance.received.id),
        )


def make_followers_due(db: sqlite3.Connection, instance: Instance) -> None:
    """Let those go on that waited until this instance was decided."""
    db.execute(
        "UPDATE instance SET not_before = 0 WHERE sop_instance_uid = ? AND id > ?"
        " AND state = 'received' AND reason = ?",
        (instance.arrival.sop_instance_uid, instance.id, WAITS),
    )


def say_who_waits(db: sqlite3.Connection, instance_id: int) -> None:
    """Write the reason beside the deliveries that wait for an earlier instance."""
    db.execute(
        "UPDATE delivery AS d SET error_code = ? WHERE d.instance_id = ? AND d.state = 'queued'"
        f" AND {IS_BEHIND}",
        (WAITS, instance_id),
    )
