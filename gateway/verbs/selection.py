"""selection: which items a verb of the queue means, by id or by a filter.

Takes      the options of the command line
Gives      a `Filter`
Holds      an empty selection: all must be said with --all
"""

import argparse
import re

from gateway.language import _
from spool.counting import Filter

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

#: The words of a filter that say which deliveries or instances are meant.
FILTERS = ("state", "destination", "door", "study", "age_s", "error", "reason")


def add_filter(verb: argparse.ArgumentParser) -> None:
    """Give `verb` the options of a filter."""
    for name, text in (
        ("--state", _("of the instance, or of one of its deliveries")),
        ("--destination", _("only deliveries to this one")),
        ("--study", _("of this Study Instance UID")),
        ("--error", _("whose last try failed with this code")),
        ("--reason", _("held for this code")),
    ):
        verb.add_argument(name, default="", help=text)
    verb.add_argument(
        "--source", "--door", dest="door", default="", help=_("who sent it, as ae:US1 or US1")
    )
    verb.add_argument(
        "--age", dest="age_s", type=age_s, default=0.0, help=_("received longer ago: 90m, 2h, 3d")
    )


def age_s(text: str) -> float:
    """Return the seconds that `text` means: a number with s, m, h, d or w."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not found:
        raise argparse.ArgumentTypeError(_("an age is a number with s, m, h, d or w, as 2h"))
    return float(found[1]) * _UNITS[found[2]]


def unclear(options: argparse.Namespace) -> str:
    """Return the code of what is unclear about the items that are meant, "" for nothing."""
    words = {name for name in FILTERS if getattr(options, name)}
    if options.keys:
        return "ids-and-filter" if options.all or words - {"destination"} else ""
    return "nothing-named" if bool(words) == options.all else ""


def filter_of(options: argparse.Namespace, utc_s: float) -> Filter:
    """Return the filter; ages count back from `utc_s`."""
    return Filter(
        state=options.state,
        destination=options.destination,
        door=options.door,
        study_instance_uid=options.study,
        error_code=options.error,
        reason=options.reason,
        received_before=utc_s - options.age_s if options.age_s else 0.0,
    )
