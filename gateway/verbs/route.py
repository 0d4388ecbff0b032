"""route: `route test FILE`: where would this image go, which rule says so, and which nearly did?

Takes      the settings, a DICOM file, and by which door it would come
Gives      what the rules say, by the very functions that `prepare` calls
Holds      nothing; the file is only read. Values of the image are shown to the person who asks, and
           written to no log
"""

from pathlib import Path
from typing import Any

from gateway.config import rules as shapes
from gateway.config.model import Settings
from gateway.dicom.malformed import Malformed
from gateway.dicom.part10 import NotDicom, read_file_meta
from gateway.language import _
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.facts import open_facts
from gateway.prepare.packing import obstacle
from gateway.prepare.routes import Routing, Tried, Wanted, asks_inside, route
from gateway.prepare.rules import Answer, Truth
from gateway.prepare.structure import examine_at
from gateway.reasons import AS_RECEIVED, explain
from gateway.verbs.output import as_json, fault, shown, table
from spool.errors import Hold
from spool.model import Arrival

EX_OK, EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_UNAVAILABLE = 0, 64, 65, 66, 69

_KINDS = ("ae", "folder", "camera")  #: of which a route may name all, and an image has one
_TRUTHS = {Truth.YES: "met", Truth.NO: "not-met", Truth.UNCLEAR: "unclear"}


def try_out(settings: Settings, path: Path, *, door: str, address: str, json: bool) -> int:
    """Print what becomes of the file; 0 when it would go somewhere, 69 when it would be held."""
    wrong = [door] if shapes.door(door) or door in _KINDS else []
    wrong += [address] if address and shapes.ip_address(address) else []
    if wrong:
        fault("bad-door", " ".join(wrong))
        return EX_USAGE
    try:
        meta = read_file_meta(path)
    except NotDicom as reason:
        fault(reason.code, str(path))
        return EX_DATAERR
    except OSError:
        fault("unreadable-file" if path.exists() else "no-such-path", str(path))
        return EX_NOINPUT
    place = DataSetAt(path, meta.dataset_offset, meta.dataset_bytes, meta.transfer_syntax_uid)
    arrival = Arrival(
        meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid, door, address
    )
    found = _as_data(settings, arrival, place)
    if json:
        as_json(found)
    else:
        _print(found)
    return EX_UNAVAILABLE if found["held"] else EX_OK


def _as_data(settings: Settings, arrival: Arrival, place: DataSetAt) -> dict[str, Any]:
    with open_facts(arrival, place, inside=asks_inside(settings)) as facts:
        found = route(settings, facts)
    held = _unsound(arrival, place) or _held(found)
    tried = [_route(one) for one in found.tried]
    rest = range(len(tried) + 1, len(settings.route) + 1)
    return {
        "file": str(place.path),
        "from": arrival.door,
        "address": arrival.peer_address,
        "by": found.by,
        "held": held,
        "destinations": [] if held else [_destination(place, one) for one in found.wanted],
        "routes": [*tried, *({"route": number, "result": "not-reached"} for number in rest)],
    }


def _unsound(arrival: Arrival, place: DataSetAt) -> dict[str, str] | None:
    """Return for what it would be held before any route is asked."""
    try:
        examine_at(place, arrival.sop_class_uid, arrival.sop_instance_uid)
    except Hold as held:
        return _reason(held.code, held.detail)
    return None


def _held(found: Routing) -> dict[str, str] | None:
    return _reason(found.code, found.detail) if found.code else None


def _reason(code: str, detail: str) -> dict[str, str]:
    return {"code": code, "detail": detail, "text": explain(code, detail=detail)}


def _destination(place: DataSetAt, one: Wanted) -> dict[str, Any]:
    try:
        code = obstacle(place, one)
    except (Malformed, EOFError):
        code = "structure"  # it would be held for that before it is packed
    return {
        "name": one.destination,
        "transfer_syntax": one.transfer_syntax,
        "ratio": one.ratio,
        "said_by": one.said_by,
        "as_received": code,
    }


def _route(one: Tried) -> dict[str, Any]:
    names = {Truth.YES: "matched", Truth.UNCLEAR: "unclear", Truth.NO: "not-matched"}
    return {
        "route": one.number,
        "to": list(one.to),
        "result": "nearly" if one.nearly and one.truth is Truth.NO else names[one.truth],
        "stops": one.stops,
        "conditions": [_condition(answer) for answer in one.answers],
    }


def _condition(one: Answer) -> dict[str, Any]:
    return {
        "place": one.place,
        "asked": one.asked,
        "expected": list(one.expected),
        "found": None if one.found is None else list(one.found),
        "how": one.how,
        "result": _TRUTHS[one.truth],
    }


def _print(found: dict[str, Any]) -> None:
    print(_("{file}, by {door}").format(file=shown(found["file"]), door=shown(found["from"])))
    for one in found["routes"]:
        _print_route(one)
    if found["held"]:
        print(_("It would be held: {text}").format(text=found["held"]["text"]))
        return
    if found["by"] == "everywhere":
        print(_("There is no route: it goes everywhere."))
    if found["by"] == "default":
        print(_("No route matches: it goes where default = true."))
    rows = [[_("destination"), _("sent as"), _("said by")]]
    rows += [[one["name"], _sent_as(one), one["said_by"]] for one in found["destinations"]]
    table(rows)


def _print_route(one: dict[str, Any]) -> None:
    said = {
        "matched": _("matches"),
        "nearly": _("nearly matches: one condition fails"),
        "not-matched": _("does not match"),
        "unclear": _("cannot be judged"),
        "not-reached": _("is not reached"),
    }[one["result"]]
    to = " → " + ", ".join(one["to"]) if one.get("to") else ""
    stops = _(", and stops the search") if one.get("stops") else ""
    print(shown(f"route[{one['route']}] {said}{stops}{to}"))
    for answer in one.get("conditions", ()):
        print(shown(f"  {_line(answer)}"))


def _line(answer: dict[str, Any]) -> str:
    mark = {"met": "+", "not-met": "-", "unclear": "?"}[answer["result"]]
    expected = " | ".join(answer["expected"])
    found = answer["found"]
    if answer["asked"] in ("any", "not"):
        return f"{mark} {answer['asked']}: {expected}"
    seen = _("cannot be read") if found is None else " \\ ".join(found) or _("nothing")
    text = _("{mark} {asked}: expected {expected}, found {found}{how}")
    how = {
        "guess": _(" (the character set is a guess)"),
        "bytes": _(" (not in its character set: compared by its bytes)"),
    }.get(answer["how"], "")
    return text.format(mark=mark, asked=answer["asked"], expected=expected, found=seen, how=how)


def _sent_as(one: dict[str, Any]) -> str:
    if one["as_received"]:
        why = AS_RECEIVED.get(one["as_received"])
        reason = _(why) if why else explain(one["as_received"], detail="")
        return _("as received: {reason}").format(reason=reason)
    if one["transfer_syntax"] == "none":
        return _("as received")
    ratio = f", ratio {one['ratio']:g}" if one["ratio"] else ""
    return f"{one['transfer_syntax']}{ratio}"
