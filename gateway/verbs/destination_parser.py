"""destination_parser: the options of `gateway destination …`; what they do is imported when asked.

Takes      how the command line adds a verb
Gives      options with `name`, the decision
Holds      nothing
"""

import argparse
from collections.abc import Callable

from gateway.language import _

AddVerb = Callable[[str, str], argparse.ArgumentParser]


def add_destination_verbs(add: AddVerb) -> None:
    """Add each verb of the noun; `add` takes its name and what it does."""
    lists = add("list", _("List the destinations and how they are."))
    for name, text in (
        ("pause", _("Send nothing there until it is resumed.")),
        ("resume", _("Send there again.")),
        ("refusals", _("Show what the destination has refused, by code.")),
    ):
        _named(add(name, text))
    offer = _named(add("offer", _("Send there what is still here of the last days.")))
    offer.add_argument("--days", type=_days, required=True, help=_("received in so many days"))
    offer.add_argument("--study", default="", help=_("of this Study Instance UID"))
    offer.add_argument(
        "--source", "--door", dest="door", default="", help=_("who sent it, as ae:US1 or US1")
    )
    move = add("move", _("Send what waits for one destination to another one instead."))
    move.add_argument("destination", metavar="FROM")
    move.add_argument("to", metavar="TO")
    forget = _named(add("forget", _("Say what becomes of what waits for a removed destination.")))
    becomes = forget.add_mutually_exclusive_group(required=True)
    becomes.add_argument("--cancel", action="store_true", help=_("it is not sent anywhere else"))
    becomes.add_argument("--move-to", dest="to", metavar="NAME", default="", help=_("sent there"))
    for one in (offer, move, forget):
        one.add_argument("--dry-run", action="store_true", help=_("only say how many it would be"))
    lists.set_defaults(destination="")


def _named(one: argparse.ArgumentParser) -> argparse.ArgumentParser:
    one.add_argument("destination", metavar="NAME")
    return one


def _days(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 36_500:
        raise argparse.ArgumentTypeError(_("a number of days, from just above 0 to 36500"))
    return number
