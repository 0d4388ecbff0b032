"""operate: what a person may ask and do, as data; the verbs and later the console show it.

Takes      the settings and the spool
Gives      plain dictionaries with stable keys and codes, fit for JSON
Holds      nothing; works while nothing runs
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway import __version__
from gateway.config.model import Destination, Settings
from gateway.decide import UnknownItem
from gateway.dicom.request import AssociationFailed, Called, associate
from gateway.processes import STAGES
from gateway.reasons import explain
from spool.breakers import Breaker
from spool.counting import Filter
from spool.store import Spool

RATE_S = 86400.0


class UnknownDestination(Exception):
    """The configuration has no destination `args[0]`."""


def status(settings: Settings, spool: Spool) -> dict[str, Any]:
    """Return counts by state, room, breakers, incidents and what runs: the design's contract."""
    instances, counted = spool.counting.instances(), spool.counting.deliveries()
    breakers = spool.breakers.all()
    names = [*(one.name for one in settings.destination), *counted]
    nothing = {"queued": 0, "sent": 0, "confirmed": 0, "held": 0, "cancelled": 0}
    return {
        "name": settings.gateway.name,
        "version": __version__,
        "running": [name for name in STAGES if spool.is_running(name)],
        "instances": instances,
        "deliveries": {name: nothing | counted.get(name, {}) for name in dict.fromkeys(names)},
        "held": {
            "instances": instances["held"],
            "deliveries": sum(states["held"] for states in counted.values()),
        },
        "trash": {"instances": spool.counting.in_trash()},
        "incidents": incidents(spool),
        "disk": _disk(settings, spool),
        "destinations": {
            name: _destination(breakers.get(name, Breaker()), spool)
            for name in dict.fromkeys(names)
        },
    }


def find(spool: Spool, wanted: Filter) -> list[dict[str, Any]]:
    """Return the instances that match, as the queue verbs and the console show them."""
    return [_item(one, spool) for one in spool.counting.find(wanted)]


def show(spool: Spool, key: str) -> list[dict[str, Any]]:
    """Return what has this id or SOP Instance UID, with its history.

    Raises
    ------
    UnknownItem
    """
    found = spool.counting.show(key)
    if not found:
        raise UnknownItem(key)
    return [
        _item(one, spool) | {"history": [_line(line) for line in one["history"]]} for one in found
    ]


@dataclass(frozen=True, slots=True)
class Echoed:
    """What a C-ECHO found out."""

    destination: str
    code: str  #: "" when the archive answered success
    detail: str
    milliseconds: float


def echo(settings: Settings, name: str) -> Echoed:
    """Ask the destination whether it is there.

    Raises
    ------
    UnknownDestination
    """
    destination = next((one for one in settings.destination if one.name == name), None)
    if destination is None:
        raise UnknownDestination(name)
    if destination.kind != "dicom":
        return Echoed(name, "destination-not-built", destination.kind, 0.0)
    begin = time.monotonic()
    code, detail = _ask(destination, settings.gateway.ae_title)
    return Echoed(name, code, detail, round((time.monotonic() - begin) * 1000, 1))


def incidents(spool: Spool) -> list[dict[str, str]]:
    """Return what happened to the spool as a whole and nobody has seen yet."""
    return [
        {"at": _iso(one.at)} | error_of(one.code, one.detail) for one in spool.incidents.unseen()
    ]


def error_of(code: str, detail: str = "") -> dict[str, str]:
    """Return a stable code with what it means, in the chosen language."""
    known, _, status_text = code.partition("status-")
    if status_text:
        return {"code": code, "text": explain("status", status=status_text, meaning=detail)}
    return {"code": code, "text": explain(known, detail=detail)}


def _ask(destination: Destination, calling_ae: str) -> tuple[str, str]:
    called = Called(
        destination.host or "",
        destination.port or 0,
        destination.ae_title or "",
        destination.calling_ae_title or calling_ae,
        destination.connect_s,
        destination.answer_s,
    )
    try:
        archive = associate(called, ())
    except AssociationFailed as fault:
        return fault.code, fault.detail
    try:
        answer = archive.echo()
    except AssociationFailed as fault:
        return fault.code, fault.detail
    finally:
        archive.release()
    return ("", "") if answer.status == 0 else (f"status-{answer.status:04X}", answer.comment)


def _disk(settings: Settings, spool: Spool) -> dict[str, Any]:
    room = spool.room.measure()
    per_hour = spool.counting.received_since(spool.clock.utc() - RATE_S) / (RATE_S / 3600)
    left = max(0, room.free_bytes - settings.room.reserve_bytes)
    return {
        "free_bytes": room.free_bytes,
        "free_inodes": room.free_inodes,
        "level": room.level,
        "hours_left": round(left / per_hour, 1) if per_hour else None,
    }


def _destination(breaker: Breaker, spool: Spool) -> dict[str, Any]:
    return {
        "breaker": breaker.state,
        "failures": breaker.failures,
        "last_error": error_of(breaker.error_code, breaker.error_text),
        "next_try_s": round(max(0.0, breaker.next_try_at - spool.clock.utc()), 1),
    }


def _item(one: dict[str, Any], spool: Spool) -> dict[str, Any]:
    kept = ("id", "sop_instance_uid", "sop_class_uid", "study_instance_uid", "series_instance_uid")
    return {key: one[key] for key in kept} | {
        "door": one["door"],
        "peer_address": one["peer_address"],
        "priority": one["priority"],
        "received_at": _iso(one["received_at"]),
        "state": one["state"],
        "reason": error_of(one["reason"], one["detail"]),
        "renditions": [_rendition(rendition) for rendition in one["renditions"]],
        "deliveries": [_delivery(delivery, spool) for delivery in one["deliveries"]],
    }


def _rendition(row: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "role", "sop_instance_uid", "transfer_syntax_uid", "bytes", "sha256", "recipe")
    return {key: row[key] for key in kept} | {
        "blob": f"spool/blobs/{row['blob']}",
        "dataset_offset": row["dataset_offset"],
        "made_from": row["made_from"],
        "proved": bool(row["proved"]),
    }


def _delivery(row: dict[str, Any], spool: Spool) -> dict[str, Any]:
    kept = ("id", "destination", "round", "rendition_id", "state", "attempts", "refusals")
    waits = row["state"] == "queued"
    return {key: row[key] for key in kept} | {
        "error": error_of(row["error_code"], row["error_text"]),
        "warning": row["error_text"] if row["state"] == "sent" else "",
        "sent_at": _iso(row["sent_at"]) if row["sent_at"] else "",
        "next_try_s": round(max(0.0, row["not_before"] - spool.clock.utc()), 1) if waits else 0,
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {"at": _iso(row["at"]), "who": row["who"], "what": row["what"], "detail": row["detail"]}


def _iso(utc_s: float) -> str:
    stamp = datetime.fromtimestamp(utc_s, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
