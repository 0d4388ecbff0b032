"""queue: what waits, why, and what a person decides about it."""

import os
import pwd
from typing import Any

from gateway import operate
from gateway.language import N_, _
from gateway.verbs.output import as_json, fault, shown, table
from gateway.verbs.status import state_text
from spool.counting import Filter
from spool.deciding import WrongState
from spool.store import Spool

EX_OK, EX_USAGE, EX_DATAERR = 0, 64, 65

DONE = {
    "hold": N_("Held: {items}. Nothing of it is sent until it is released."),
    "release": N_("Released: {items}."),
    "retry": N_("Tried again now: {items}."),
}


def list_items(spool: Spool, wanted: Filter, *, json: bool) -> int:
    """Print the instances that match."""
    found = operate.find(spool, wanted)
    if json:
        as_json({"instances": found})
        return EX_OK
    if not found:
        print(_("Nothing matches."))
        return EX_OK
    heading = [_("Id"), _("Received"), _("From"), _("State"), _("Deliveries"), _("Reason")]
    table([heading, *(_row(one) for one in found)])
    return EX_OK


def show_item(spool: Spool, key: str, *, json: bool) -> int:
    """Print one instance whole, with its history."""
    try:
        found = operate.show(spool, key)
    except operate.UnknownItem:
        fault("unknown-item", key)
        return EX_DATAERR
    if json:
        as_json({"instances": found})
        return EX_OK
    for one in found:
        _print_whole(one)
    return EX_OK


def decide(spool: Spool, what: str, keys: list[str], destination: str, *, json: bool) -> int:
    """Hold, release or retry each of `keys`; print what was done."""
    done: list[int] = []
    code = EX_OK
    for key in keys:
        try:
            done += operate.decide(spool, what, key, _who(), destination=destination)
        except operate.UnknownItem:
            fault("unknown-item", key)
            code = EX_DATAERR
        except WrongState as wrong:
            fault("wrong-state", f"{wrong.args[0]} {state_text(wrong.args[1])}")
            code = EX_DATAERR
    if json:
        as_json({what: done})
    elif done:
        print(_(DONE[what]).format(items=", ".join(map(str, done))))
    return code


def _who() -> str:
    """Return who signs: by the process, since an environment may name anybody."""
    uid = os.getuid()
    try:
        return f"person:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a user without an entry, as in a container
        return f"person:{uid}"


def _row(one: dict[str, Any]) -> list[str]:
    deliveries = ", ".join(
        f"{delivery['destination']}: {state_text(delivery['state'])}"
        for delivery in one["deliveries"]
    )
    errors = [one["reason"]["code"], *(d["error"]["code"] for d in one["deliveries"])]
    return [
        str(one["id"]),
        one["received_at"],
        one["door"],
        state_text(one["state"]),
        deliveries,
        " ".join(filter(None, errors)),
    ]


def _print_whole(one: dict[str, Any]) -> None:
    print(_("Instance {id}: {state}").format(id=one["id"], state=state_text(one["state"])))
    print(f"  SOP Instance UID   {one['sop_instance_uid']}")
    print(f"  SOP Class UID      {one['sop_class_uid']}")
    print(f"  Study Instance UID {one['study_instance_uid']}")
    print("  " + shown(_("From {door}, {at}").format(door=one["door"], at=one["received_at"])))
    _print_error(one["reason"])
    for rendition in one["renditions"]:
        text = _("  Rendition {id}: {role}, {syntax}, {bytes} bytes, SHA-256 {sha256}")
        print(text.format(**rendition, syntax=rendition["transfer_syntax_uid"]))
    for delivery in one["deliveries"]:
        text = _("  Delivery {id} to {destination}: {state}, attempts {attempts}")
        print(text.format(**delivery | {"state": state_text(delivery["state"])}))
        _print_error(delivery["error"])
    print(_("  History:"))
    for line in one["history"]:
        print(shown(f"    {line['at']} {line['who']} {line['what']} {line['detail']}".rstrip()))


def _print_error(error: dict[str, str]) -> None:
    if error["code"]:
        print(shown(f"    {error['text']} [{error['code']}]"))
