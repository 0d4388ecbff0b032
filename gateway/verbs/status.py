"""status: how the gateway is, on one screen. Works while nothing runs."""

from collections.abc import Iterator
from typing import Any

from gateway import operate
from gateway.config.model import Settings
from gateway.language import N_, _
from gateway.reasons import explain
from gateway.verbs.output import as_json, shown, table
from spool.store import Spool

STATES = {
    "received": N_("received"),
    "ready": N_("ready"),
    "retired": N_("retired"),
    "held": N_("held"),
    "withdrawn": N_("withdrawn"),
    "merged": N_("merged"),
    "queued": N_("queued"),
    "sent": N_("sent"),
    "confirmed": N_("confirmed"),
    "cancelled": N_("cancelled"),
    "superseded": N_("sent again"),
}
LEVELS = {
    "ok": N_("enough"),
    "warn": N_("getting short"),
    "trim": N_("short, what the archive has goes early"),
    "refuse": N_("too little"),
}
BREAKERS = {"closed": N_("reachable"), "open": N_("away"), "probing": N_("being asked")}


def state_text(state: str) -> str:
    """Return a state in the chosen language; one of a later version is shown as it is."""
    return _(STATES.get(state, state))


def status(settings: Settings, spool: Spool, *, json: bool) -> int:
    """Print the status and return 0."""
    facts = operate.status(settings, spool)
    if json:
        as_json(facts)
        return 0
    print(
        _("Gateway {name}, version {version}").format(name=facts["name"], version=facts["version"])
    )
    running = ", ".join(facts["running"]) or _("nothing")
    print(_("Running: {stages}").format(stages=running))
    counts = ", ".join(f"{state_text(state)} {n}" for state, n in facts["instances"].items() if n)
    print(_("Instances: {counts}").format(counts=counts or _("none")))
    _print_waiting(facts)
    print(_disk(facts["disk"]))
    _print_destinations(facts)
    for one in facts["certificates"]:
        if one["code"]:
            print(shown(f"! {one['text']} [{one['code']}]"))
    print_incidents(facts["incidents"])
    if facts["incidents"]:
        print(_("When you have read this, type 'gateway check --seen'."))
    return 0


def print_incidents(incidents: list[dict[str, str]]) -> None:
    """Print what happened to the spool as a whole."""
    for one in incidents:
        print(shown(f"! {one['at']} {one['text']} [{one['code']}]"))


def _print_waiting(facts: dict[str, Any]) -> None:
    held, trash = facts["held"], facts["trash"]["instances"]
    if any(held.values()):
        print(_("Waiting for a person: {instances} images, {deliveries} deliveries").format(**held))
    if trash:
        print(_("In the trash: {instances} images").format(instances=trash))


def _disk(disk: dict[str, Any]) -> str:
    level = _(LEVELS.get(disk["level"], disk["level"]))
    free = f"{disk['free_bytes'] / 1e9:.1f} GB"
    if disk["hours_left"] is None:
        return _("Room on the disk: {level}, {free} free").format(level=level, free=free)
    text = _("Room on the disk: {level}, {free} free, enough for {hours} hours at today's rate")
    return text.format(level=level, free=free, hours=disk["hours_left"])


def breaker_text(one: dict[str, Any]) -> str:
    """Return how a destination is, in a word or two."""
    if not one["configured"]:
        return _("not configured any more")
    if one["paused"]:
        return _("paused")
    return _(BREAKERS.get(one["breaker"], one["breaker"]))


def _print_destinations(facts: dict[str, Any]) -> None:
    if not facts["destinations"]:
        print(_("No destination is configured: everything received is kept here."))
        return
    rows = [[_("Destination"), _("State"), *(state_text(one) for one in _SHOWN)]]
    for name, one in facts["destinations"].items():
        counts = facts["deliveries"][name]
        rows.append([name, breaker_text(one), *(str(counts[state]) for state in _SHOWN)])
    table(rows)
    for name, one in facts["destinations"].items():
        for line in _remarks(name, one, facts["deliveries"][name]):
            print(shown(line))


def _remarks(name: str, one: dict[str, Any], counts: dict[str, int]) -> Iterator[str]:
    """Say what a person should know of a destination."""
    waits = one["unconfirmed"]
    if not one["configured"] and (counts["queued"] or counts["held"] or waits["count"]):
        yield f"{name}: {explain('destination-removed')} [destination-removed]"
    if one["fallback"]:
        text = _("{name}: {other} gets what waits for it, until it is back.")
        yield text.format(name=name, other=one["fallback"])
    if one["last_error"]["code"] and not one["paused"]:
        text = _("{name}: {error} Next try in {seconds} s. [{code}]")
        error = one["last_error"]
        yield text.format(
            name=name, error=error["text"], seconds=one["next_try_s"], code=error["code"]
        )
    if waits["count"]:
        text = _("{name}: {count} sent and not confirmed yet, the oldest since {minutes} min.")
        minutes = waits["oldest_s"] // 60
        yield text.format(name=name, count=waits["count"], minutes=minutes)
    for error in waits["in_the_way"]:
        yield f"{name}: {error['text']} [{error['code']}]"


_SHOWN = ("queued", "sent", "confirmed", "held")
