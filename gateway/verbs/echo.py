"""echo: is this destination there, and does it know us?"""

from dataclasses import asdict

from gateway import operate
from gateway.config.model import Settings
from gateway.language import _
from gateway.steer import UnknownDestination
from gateway.verbs.output import as_json, fault

EX_OK, EX_DATAERR, EX_UNAVAILABLE = 0, 65, 69


def echo(settings: Settings, name: str, *, json: bool) -> int:
    """Print what the destination answered; 0 for success."""
    try:
        found = operate.echo(settings, name)
    except UnknownDestination:
        fault("unknown-destination", name)
        return EX_DATAERR
    if json:
        error = operate.error_of(found.code, found.detail)
        as_json(asdict(found) | {"error": error})
    elif found.code:
        error = operate.error_of(found.code, found.detail)
        print(_("{name} did not answer: {error}").format(name=name, error=error["text"]))
    else:
        text = _("{name} answered in {milliseconds} ms.")
        print(text.format(name=name, milliseconds=found.milliseconds))
    return EX_UNAVAILABLE if found.code else EX_OK
