"""queue: what waits, why, and what a person decides about it."""

from itertools import groupby
from typing import Any

from gateway import decide, operate, steer
from gateway.config.model import Settings
from gateway.language import N_, _
from gateway.verbs.output import as_json, fault, shown, table
from gateway.verbs.person import who
from gateway.verbs.status import state_text
from spool.counting import Filter
from spool.store import Spool

EX_OK, EX_USAGE, EX_DATAERR = 0, 64, 65

#: A verb's name -> the decision in the spool, and what was done.
DECISIONS = {
    "hold": ("hold", N_("Held: {items}. Nothing of it is sent until it is released.")),
    "release": ("release", N_("Released: {items}.")),
    "retry": ("retry", N_("Tried again now: {items}.")),
    "cancel": ("cancel", N_("Cancelled: {items}. What was sent already is not called back.")),
    "withdraw": ("withdraw", N_("Withdrawn into the trash: {items}.")),
    "bring-back": ("restore", N_("Brought back out of the trash: {items}.")),
    "resend": ("resend", N_("Sent again: {items}.")),
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
    except decide.UnknownItem:
        fault("unknown-item", key)
        return EX_DATAERR
    if json:
        as_json({"instances": found})
        return EX_OK
    for one in found:
        _print_whole(one)
    return EX_OK


def decide_keys(
    settings: Settings,
    spool: Spool,
    verb: str,
    keys: list[str],
    destination: str,
    *,
    dry_run: bool,
    json: bool,
) -> int:
    """Decide about each of `keys`; print what was done."""
    what, _text = DECISIONS[verb]
    ids: list[int] = []
    code = EX_OK
    for key in keys:
        try:
            met = decide.by_key(spool, what, key, who(), destination=destination, dry_run=dry_run)
            if what == "resend" and destination:
                met = steer.offer_left(settings, spool, met, destination, who(), dry_run=dry_run)
        except steer.UnknownDestination:
            fault("unknown-destination", destination)
            return EX_DATAERR
        except decide.UnknownItem:
            fault("unknown-item", key)
            code = EX_DATAERR
            continue
        ids += met.ids
        if not met.ids:  # else it is a re-send that was merged: it stands under the same UID
            code = EX_DATAERR
            for one in met.left:
                fault("wrong-state", f"{one.instance_id} {state_text(one.refused_in or '')}")
    _say(verb, decide.Met(ids), dry_run=dry_run, json=json)
    return code


def decide_matching(spool: Spool, verb: str, wanted: Filter, *, dry_run: bool, json: bool) -> int:
    """Decide about all that matches; print what was done."""
    what, _text = DECISIONS[verb]
    met = decide.by_filter(spool, what, wanted, who(), dry_run=dry_run)
    if not json and not met.ids and not met.left:
        print(_("Nothing matches."))
    _say(verb, met, dry_run=dry_run, json=json)
    return EX_OK


def ranges(ids: list[int]) -> str:
    """Return "1-3, 7" for [1, 2, 3, 7]: ten thousand items fit on one line."""
    runs = [
        [number for _place, number in run]
        for _key, run in groupby(enumerate(sorted(set(ids))), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _say(verb: str, met: decide.Met, *, dry_run: bool, json: bool) -> None:
    left = sorted({one.instance_id for one in met.left})
    if json:
        more = {"left_alone": left, "dry_run": True} if dry_run else {"left_alone": left}
        as_json({verb: met.ids} | (more if left or dry_run else {}))
        return
    items = ranges(met.ids)
    if len(met.ids) > 1:
        items = _("{count} items ({items})").format(count=len(met.ids), items=items)
    if met.ids and dry_run:
        print(_("This would be decided about: {items}. Nothing was changed.").format(items=items))
    elif met.ids:
        print(_(DECISIONS[verb][1]).format(items=items))
    if left:
        text = _("Left alone, in no state for it: {items}.")
        print(text.format(items=ranges(left)))


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
