"""spool_told: what rows and files tell of a spool, and what its model foretells, in one form."""

from typing import Any

from spool.backlog import IN_BULK
from spool.store import Spool
from tests.fakes.spool_items import Item, Lease, Sending
from tests.fakes.spool_model import SpoolModel

#: The words of the history that say what became of an item.
WORDS = {
    *("ready", "held", "merged", "sent", "confirmed", "refused", "retired", "trash emptied"),
    *("missing", "offered", "moved", "stands in", "stays-there"),
    *("trimmed", "hold", "release", "retry", "cancel", "withdraw", "restore", "resend"),
}

Told = dict[str, dict[str, Any]]


def names_of(spool: Spool) -> dict[int, str]:
    """Return instance id -> the blob that came, oldest first."""
    rows = spool.database.read(
        "SELECT instance_id, blob FROM rendition WHERE role = 'received' ORDER BY instance_id"
    )
    return {row["instance_id"]: row["blob"] for row in rows}


def instance_of(spool: Spool, name: str) -> int:
    (row,) = spool.database.read("SELECT instance_id FROM rendition WHERE blob = ?", (name,))
    return int(row["instance_id"])


def told(spool: Spool) -> Told:
    """Return what rows and files say, by the blob that came."""
    names, words = names_of(spool), _words(spool)
    renditions, deliveries = _by_instance(spool, "rendition"), _by_instance(spool, "delivery")
    found = {}
    for row in spool.database.read("SELECT * FROM instance ORDER BY id"):
        mine = renditions[row["id"]]
        roles = {one["id"]: one["role"] for one in mine}
        found[names[row["id"]]] = {
            "state": row["state"],
            "reason": row["reason"] if row["state"] == "held" else "",
            "lease": row["lease"],
            "due": row["not_before"],
            "settled": row["settled_at"],
            "on disk": {one["role"] for one in mine if _is_there(spool, one)},
            "deliveries": [_delivery(one, roles) for one in deliveries.get(row["id"], [])],
            "history": words.get(row["id"], []),
        }
    return found


def foretold(model: SpoolModel) -> Told:
    """Return what the model says of the same."""
    return {
        name: {
            "state": item.state,
            "reason": item.reason if item.state == "held" else "",
            "lease": item.lease.mark if item.lease else "",
            "due": item.due,
            "settled": item.settled,
            "on disk": item.on_disk,
            "deliveries": [_sending(one) for one in item.sendings],
            "history": item.words,
        }
        for name, item in model.items.items()
    }


def differences(told: Told, foretold: Told) -> list[str]:
    """Return a line for each fact that is told otherwise than foretold."""
    found = [f"{name}: told or foretold only" for name in told.keys() ^ foretold.keys()]
    for name in told.keys() & foretold.keys():
        for fact, value in told[name].items():
            if value != foretold[name][fact]:
                found.append(f"{name} {fact}: {value} instead of {foretold[name][fact]}")
    return found


def learned(spool: Spool, data: dict[str, bytes]) -> dict[str, Item]:
    """Return items as the rows tell them; `data` is by the blob that came."""
    found, names, said = {}, names_of(spool), told(spool)
    deliveries = _by_instance(spool, "delivery")
    gone = {row["id"] for row in spool.database.read("SELECT id FROM rendition WHERE gone_at < 0")}
    for row in spool.database.read("SELECT * FROM instance ORDER BY id"):
        name = names[row["id"]]
        item = Item(row["sop_instance_uid"], data[name], row["door"], row["priority"])
        item.state, item.reason, item.due = row["state"], row["reason"], row["not_before"]
        item.is_missing = row["detail"] == "missing"
        item.waived, item.lease = set(row["waived"].split()), _lease(row)
        item.settled, item.withdrawn = row["settled_at"], row["withdrawn_at"]
        item.on_disk, item.words = said[name]["on disk"], said[name]["history"]
        for one, facts in zip(deliveries.get(row["id"], []), said[name]["deliveries"], strict=True):
            item.sendings.append(_learned(one, facts))
            item.sendings[-1].is_gone = one["rendition_id"] in gone
        found[name] = item
    return found


def transactions_of(spool: Spool) -> dict[str, float]:
    """Return Transaction UID -> deadline of those that are open, in the order of their begin."""
    rows = spool.database.read(
        "SELECT uid, deadline FROM commitment c WHERE closed_at = 0"
        " ORDER BY (SELECT min(id) FROM commitment_item i WHERE i.uid = c.uid)"
    )
    return {row["uid"]: row["deadline"] for row in rows}


def paused_in(spool: Spool) -> set[str]:
    return {row["destination"] for row in spool.database.read("SELECT * FROM pause")}


def trusted_of(spool: Spool) -> tuple[str, float, float] | None:
    """Return what is written of the trusted time: boot, seconds of that boot, seconds in all."""
    rows = spool.database.read("SELECT boot_id, boottime, seconds FROM trusted_time")
    return tuple(rows[0]) if rows else None


def tallied(spool: Spool) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in spool.database.read("SELECT * FROM tally WHERE n <> 0")}


def counted(spool: Spool) -> set[tuple[Any, ...]]:
    """Return the counts by state as SQL counts them, the slow way."""
    rows = spool.database.read(
        "SELECT 'instance', '', state, count(*) FROM instance GROUP BY state"
        " UNION ALL SELECT 'delivery', destination, state, count(*) FROM delivery"
        " GROUP BY destination, state"
    )
    return {tuple(row) for row in rows}


def history(spool: Spool) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in spool.database.read("SELECT * FROM history ORDER BY id")]


def _words(spool: Spool) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for row in spool.database.read("SELECT instance_id, what FROM history ORDER BY id"):
        if row["what"] in WORDS:
            found.setdefault(row["instance_id"], []).append(row["what"])
    return found


def _by_instance(spool: Spool, table: str) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in spool.database.read(f"SELECT * FROM {table} ORDER BY id"):
        found.setdefault(row["instance_id"], []).append(row)
    return found


def _is_there(spool: Spool, row: Any) -> bool:
    """Tell whether the file is there; a row that says otherwise is a lie."""
    exists = spool.blobs.path(row["blob"]).exists()
    assert exists is not bool(row["gone_at"]), f"{dict(row)} and a file: {exists}"
    return exists


def _delivery(row: Any, roles: dict[int, str]) -> dict[str, Any]:
    return {
        "destination": row["destination"],
        "round": row["round"],
        "state": row["state"],
        "sends": roles[row["rendition_id"]],
        "lease": row["lease"],
        "due": row["not_before"],
        "waits since": row["waits_since"],
        "away": bool(row["away"]),
        "asked": _asked(row),
    }


def _asked(row: Any) -> tuple[float, str] | None:
    is_open = row["state"] == "sent" and not row["settled_at"]
    return (row["check_at"], row["transaction_uid"]) if is_open else None


def _sending(one: Sending) -> dict[str, Any]:
    return {
        "destination": one.destination,
        "round": one.round,
        "state": one.state,
        "sends": one.rendition,
        "lease": one.lease.mark if one.lease else "",
        "due": one.due,
        "waits since": one.waits_since,
        "away": one.is_away,
        "asked": (one.check_at, one.tied) if one.state == "sent" and not one.is_firm else None,
    }


def _learned(row: Any, said: dict[str, Any]) -> Sending:
    one = Sending(said["destination"], said["round"], said["sends"], said["state"], 0.0)
    one.due, one.waits_since, one.is_away = said["due"], said["waits since"], said["away"]
    one.is_firm, one.lease = row["settled_at"] > 0, _lease(row)
    one.is_stuck = row["state"] == "sent" and bool(row["error_code"])
    one.is_damaged = row["error_code"] == "damaged" and row["state"] == "held"
    one.is_missing = row["error_text"] == "missing"
    one.is_by_person = row["state"] == "held" and row["error_code"] == "operator"
    one.is_in_bulk = row["state"] == "cancelled" and row["error_code"] in IN_BULK
    one.stands_for, one.number = row["stands_for"], row["id"]
    one.check_at, one.tied = row["check_at"], row["transaction_uid"]
    return one


def _lease(row: Any) -> Lease | None:
    mark = row["lease"]
    return Lease(mark, mark.partition("/")[0], row["lease_until"]) if mark else None
