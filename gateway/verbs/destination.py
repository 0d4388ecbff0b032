"""destination: how the archives are, and what a person decides about one as a whole."""

import argparse
import time
from collections.abc import Callable
from typing import Any

from gateway import operate, steer
from gateway.config.model import Settings
from gateway.language import N_, _
from gateway.verbs.output import as_json, fault, shown, table
from gateway.verbs.person import who
from gateway.verbs.status import breaker_text, state_text
from spool.counting import Filter
from spool.store import Spool

EX_OK, EX_DATAERR = 0, 65
DAY_S = 86400.0

Verb = Callable[[Settings, Spool, argparse.Namespace], int]

#: What was done, by the verb's name.
SAID = {
    "offer": N_("Sent to {name} as well: {count}."),
    "move": N_("Sent to {to} instead of {name}: {count}."),
    "forget": N_("Cancelled for {name}: {count}."),
}


def run(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    """Do what the options name; 65 where the destination is not the right one for it."""
    try:
        return _VERBS[options.name](settings, spool, options)
    except steer.UnknownDestination as unknown:
        fault("unknown-destination", str(unknown))
    except steer.StillConfigured as still:
        fault("still-configured", str(still))
    except steer.ToItself as itself:
        fault("to-itself", str(itself))
    return EX_DATAERR


def _list(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    found = operate.destinations(settings, spool)
    if options.json:
        as_json({"destinations": found})
        return EX_OK
    if not found:
        print(_("No destination is configured: everything received is kept here."))
        return EX_OK
    states = ("queued", "sent", "confirmed", "held")
    heading = [_("Destination"), _("Kind"), _("Address"), _("State"), *map(state_text, states)]
    rows = [
        [one["name"], one["kind"], one["address"], breaker_text(one), *_counts(one, states)]
        for one in found
    ]
    table([heading, *rows])
    return EX_OK


def _pause(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    steer.pause(settings, spool, options.destination, who())
    return _said(options, _("Nothing is sent to {name} until 'gateway destination resume'."))


def _resume(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    steer.resume(settings, spool, options.destination, who())
    return _said(options, _("{name} gets again what waits for it."))


def _offer(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    wanted = Filter(door=options.door, study_instance_uid=options.study)
    since = time.time() - options.days * DAY_S
    met = steer.offer(
        settings, spool, options.destination, wanted, since, who(), dry_run=options.dry_run
    )
    return _met(options, met)


def _move(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    met = steer.move(
        settings, spool, options.destination, options.to, who(), dry_run=options.dry_run
    )
    return _met(options, met)


def _forget(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    met = steer.forget(
        settings, spool, options.destination, options.to, who(), dry_run=options.dry_run
    )
    return _met(options, met)


def _refusals(settings: Settings, spool: Spool, options: argparse.Namespace) -> int:
    found = operate.refusals(settings, spool, options.destination)
    if options.json:
        as_json({"destination": options.destination, "refusals": found})
        return EX_OK
    if not found:
        print(_("{name} has refused nothing.").format(name=options.destination))
        return EX_OK
    heading = [_("Code"), _("Count"), _("Last"), _("Example"), _("Meaning")]
    rows = [
        [one["code"], str(one["count"]), one["last_at"], str(one["instance"]), one["text"]]
        for one in found
    ]
    table([heading, *rows])
    return EX_OK


def _said(options: argparse.Namespace, text: str) -> int:
    if options.json:
        as_json({"destination": options.destination, "done": options.name})
    else:
        print(shown(text.format(name=options.destination)))
    return EX_OK


def _met(options: argparse.Namespace, count: int) -> int:
    """Say how many deliveries a decision met, or would meet."""
    to = getattr(options, "to", "")
    if options.json:
        answer: dict[str, Any] = {"destination": options.destination, options.name: count}
        as_json(
            answer | ({"to": to} if to else {}) | ({"dry_run": True} if options.dry_run else {})
        )
    elif options.dry_run:
        text = _("This would be decided about: {items}. Nothing was changed.")
        print(text.format(items=count))
    else:
        text = SAID["move" if to else options.name]
        print(shown(_(text).format(name=options.destination, to=to, count=count)))
    return EX_OK


def _counts(one: dict[str, Any], states: tuple[str, ...]) -> list[str]:
    return [str(one["deliveries"][state]) for state in states]


_VERBS: dict[str, Verb] = {
    "list": _list,
    "pause": _pause,
    "resume": _resume,
    "offer": _offer,
    "move": _move,
    "forget": _forget,
    "refusals": _refusals,
}
