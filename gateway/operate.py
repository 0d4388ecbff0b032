"""operate: what a person may ask and do, as data; the verbs and later the console show it.

Takes      the settings and the spool
Gives      plain dictionaries with stable keys and codes, fit for JSON
Holds      nothing; works while nothing runs
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway import __version__, certificates
from gateway.config.model import Destination, Settings
from gateway.confirm.known import Known, Way
from gateway.decide import UnknownItem
from gateway.destinations.archive import ArchiveAway, NotAnswered
from gateway.destinations.kinds import archive_of
from gateway.dicom.certificate import day_of
from gateway.dicom.web_status import row_of_code
from gateway.processes import STAGES
from gateway.reasons import explain, in_words
from gateway.steer import UnknownDestination
from spool.counting import Filter
from spool.facts import Facts
from spool.store import Spool

RATE_S = 86400.0
NOTHING = {"queued": 0, "sent": 0, "confirmed": 0, "held": 0, "cancelled": 0}


def status(settings: Settings, spool: Spool) -> dict[str, Any]:
    """Return counts by state, room, breakers, incidents and what runs: the design's contract."""
    instances, counted = spool.counting.instances(), spool.counting.deliveries()
    names = dict.fromkeys([*(one.name for one in settings.destination), *counted])
    return {
        "name": settings.gateway.name,
        "version": __version__,
        "running": [name for name in STAGES if spool.is_running(name)],
        "instances": instances,
        "deliveries": {name: NOTHING | counted.get(name, {}) for name in names},
        "held": {
            "instances": instances["held"],
            "deliveries": sum(states["held"] for states in counted.values()),
        },
        "trash": {"instances": spool.counting.in_trash()},
        "incidents": incidents(spool),
        "disk": _disk(settings, spool),
        "certificates": certificates_of(settings, spool.facts),
        "destinations": {name: _destination(settings, spool, name) for name in names},
    }


def destinations(settings: Settings, spool: Spool) -> list[dict[str, Any]]:
    """Return every destination of the configuration, and those it had for which something waits."""
    told = status(settings, spool)
    known = {one.name: one for one in settings.destination}
    return [
        {"name": name, **_place(known.get(name)), **one, "deliveries": told["deliveries"][name]}
        for name, one in told["destinations"].items()
    ]


def refusals(settings: Settings, spool: Spool, name: str) -> list[dict[str, Any]]:
    """Return what a destination has refused, by code, the most frequent first.

    Raises
    ------
    UnknownDestination
    """
    known = {one.name for one in settings.destination} | set(spool.counting.deliveries())
    if name not in known:
        raise UnknownDestination(name)
    return [
        error_of(code) | {"count": count, "last_at": _iso(last_at), "instance": instance_id}
        for code, count, last_at, instance_id in spool.operating.refusals(name)
    ]


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
    """What asking found out."""

    destination: str
    code: str  #: "" when the archive can be reached
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
    archive = archive_of(settings, destination, spool=None)
    begin, code, detail = time.monotonic(), "", ""
    try:
        archive.probe()
    except (ArchiveAway, NotAnswered) as fault:
        code, detail = fault.code, fault.detail
    finally:
        archive.release()
    return Echoed(name, code, detail, round((time.monotonic() - begin) * 1000, 1))


def incidents(spool: Spool) -> list[dict[str, str]]:
    """Return what happened to the spool as a whole and nobody has seen yet."""
    return [
        {"at": _iso(one.at)} | error_of(one.code, one.detail) for one in spool.incidents.unseen()
    ]


def certificates_of(settings: Settings, facts: Facts | None) -> list[dict[str, Any]]:
    """Return every certificate that is known, when it ends, and what is wrong with it: a code."""
    now = time.time()
    found: list[dict[str, Any]] = [
        {"place": place, "ends_at": "", "days_left": None, **error_of(code, f"{place}, {detail}")}
        for code, place, detail in certificates.faults(settings)
    ]
    for one in certificates.endings(settings, facts):
        error = error_of(one.code(now), f"{one.place}, {day_of(one.ends_at)}")
        days_left = int((one.ends_at - now) // 86_400)
        ends = {"place": one.place, "ends_at": _iso(one.ends_at), "days_left": days_left}
        found.append({**ends, **error})
    return found


def error_of(code: str, detail: str = "") -> dict[str, str]:
    """Return a stable code with what it means, in the chosen language."""
    known, _, status_text = code.partition("status-")
    if status_text:
        return {"code": code, "text": explain("status", status=status_text, meaning=detail)}
    if row := row_of_code(code):
        return {"code": code, "text": in_words(row.meaning, row.next_step, detail=detail)}
    return {"code": code, "text": explain(known, detail=detail)}


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


def _place(destination: Destination | None) -> dict[str, str]:
    """Return what is spoken to it, and where it is."""
    if destination is None:
        return {"kind": "", "address": ""}
    if destination.kind == "dicom":
        place = f"{destination.ae_title}@{destination.host}:{destination.port}"
    else:
        place = str(destination.url or destination.path or "")
    return {"kind": destination.kind, "address": place}


def _destination(settings: Settings, spool: Spool, name: str) -> dict[str, Any]:
    breaker = spool.breakers.get(name)
    return {
        "configured": any(one.name == name for one in settings.destination),
        "paused": spool.operating.is_paused(name),
        "fallback": spool.operating.stands_in(name),
        "breaker": breaker.state,
        "failures": breaker.failures,
        "last_error": error_of(breaker.error_code, breaker.error_text),
        "next_try_s": round(max(0.0, breaker.next_try_at - spool.clock.utc()), 1),
        "unconfirmed": _unconfirmed(settings, spool, name),
    }


def _unconfirmed(settings: Settings, spool: Spool, name: str) -> dict[str, Any]:
    """Return what was sent and is not confirmed, and what stands in the way of asking."""
    known = Known(spool, name)
    shut = [error_of(*known.told(way)) for way in Way if known.shut_s(way)]
    count, oldest_at = spool.confirming.waiting(name)
    oldest_s = round(max(0.0, spool.clock.utc() - oldest_at)) if count else None
    return {"count": count, "oldest_s": oldest_s, "in_the_way": shut}


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
