"""routing: what must hold of routes, and what of them is legal but hardly meant.

Takes      Settings
Gives      (place, Fault) for what refuses the file; a Notice for what `check` only says
Holds      nothing

A condition that no image can ever meet is refused: what it was to send would silently not go. It
is looked for where all of several conditions must hold; the inside of `any` and `not` is left.
"""

import importlib.util
from collections.abc import Iterator, Sequence, Set

from gateway.config import rules
from gateway.config.conditions import Group, Test
from gateway.config.model import Compress, Destination, Route, Settings
from gateway.config.problems import Fault, Notice
from gateway.config.wildcards import matches
from gateway.language import _

Found = Iterator[tuple[str, Fault]]


def broken_routes(settings: Settings, refused: Set[str]) -> Found:
    """Yield every rule about routes and renditions that is broken, in the order of the file.

    `refused` are the places whose values stand for nothing.
    """
    destinations = [one.name for one in settings.destination]
    doors = [f"folder:{one.name}" for one in settings.watch]
    doors += [f"camera:{one.name}" for one in settings.camera]
    for nth, route in enumerate(settings.route, 1):
        local = [door if door.startswith(("folder:", "camera:")) else "" for door in route.from_]
        yield from _unresolved(f"route[{nth}].from", local, doors)
        yield from _unresolved(f"route[{nth}].to", route.to, destinations)
        if not route.to:
            text = _("A route needs at least one destination.")
            yield f"route[{nth}].to", Fault("missing", text)
        yield from _never(f"route[{nth}].when", route)
    yield from _ratios(settings, refused)


def doubtful(settings: Settings) -> list[Notice]:
    """Return what is accepted although it is hardly meant, or cannot be done on this machine."""
    return [*_unreached(settings), *_disagreeing(settings), *_htj2k(settings)]


def _unresolved(place: str, wanted: Sequence[str], known: Sequence[str]) -> Found:
    for nth, name in enumerate(wanted, 1):
        if name and name not in known:
            text = _("Nothing in this file has this name.")
            fault = Fault("unknown-reference", text, rules.nearest(name, known))
            yield f"{place}[{nth}]", fault


def packers(settings: Settings) -> dict[str, Compress | Destination | Route]:
    """Return everything that says how images are packed, by its place."""
    found: dict[str, Compress | Destination | Route] = {"compress": settings.compress}
    found |= {f"destination[{nth}]": one for nth, one in enumerate(settings.destination, 1)}
    return found | {f"route[{nth}]": one for nth, one in enumerate(settings.route, 1)}


def _ratios(settings: Settings, refused: Set[str]) -> Found:
    for place, one in packers(settings).items():
        if not refused.isdisjoint((f"{place}.transfer_syntax", f"{place}.ratio")):
            continue
        if one.transfer_syntax == "jpeg2000" and one.ratio is None:
            text = _('"jpeg2000" loses image content: say by ratio how much.')
            yield f"{place}.ratio", Fault("missing", text)
        if one.ratio is not None and one.transfer_syntax != "jpeg2000":
            text = _('ratio counts only beside transfer_syntax = "jpeg2000".')
            yield f"{place}.ratio", Fault("useless", text)


def _never(place: str, route: Route) -> Found:
    tests = list(_together(route.when.tree)) if route.when else []
    for one in tests:
        if not _fits_doors(one, route.from_):
            text = _("No image that comes in by the doors in from can meet this condition.")
            yield one.place, Fault("never-matches", text)
    for nth, one in enumerate(tests):
        if any(_excludes(one, other) for other in tests[:nth]):
            text = _("This condition and another one beside it can never both be met.")
            yield one.place, Fault("never-matches", text)


def _together(group: Group) -> Iterator[Test]:
    """Yield the tests that must all hold for the group to hold."""
    for part in group.parts if group.kind == "all" else ():
        if isinstance(part, Test):
            yield part
        else:
            yield from _together(part)


def _fits_doors(test: Test, doors: Sequence[str]) -> bool:
    """Tell whether one of the doors lets this be true; an AE title is said by an association."""
    if not doors or test.absent or test.subject.name not in ("ae", "door"):
        return True
    if test.subject.name == "ae":
        doors = [
            door.removeprefix("ae:") if door != "ae" else "*" for door in doors if _is_ae(door)
        ]
        return bool(doors) and (not test.wanted or _may_share(test.wanted, doors))
    return not test.wanted or _may_share(test.wanted, [_any_of_kind(door) for door in doors])


def _is_ae(door: str) -> bool:
    return door.partition(":")[0] == "ae"


def _any_of_kind(door: str) -> str:
    return f"{door}:*" if door in ("ae", "folder", "camera") else door


def _may_share(some: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether one value may be meant by both; of two patterns that is taken for granted."""
    return any(
        matches(one, other) or matches(other, one) or (_is_wild(one) and _is_wild(other))
        for one in some
        for other in others
    )


def _is_wild(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern


def _excludes(one: Test, other: Test) -> bool:
    same = (one.subject.path or one.subject.name) == (other.subject.path or other.subject.name)
    if not same or not one.subject.is_single:
        return False
    if one.absent is None and other.absent is None:
        return not _may_share(_folded(one), _folded(other)) and one.subject.name != "address"
    gone, there = (one, other) if one.absent else (other, one)
    return bool(gone.absent) and not there.absent


def _folded(test: Test) -> list[str]:
    return list(test.wanted) if test.subject.exact else [one.casefold() for one in test.wanted]


def _unreached(settings: Settings) -> Iterator[Notice]:
    """Say which routes come after one that takes everything and stops."""
    for nth, route in enumerate(settings.route, 1):
        if route.stop and not route.from_ and route.when is None:
            if nth < len(settings.route):
                text = _("Every image stops at the route before this one: it is never looked up.")
                yield Notice("route-unreached", f"route[{nth + 1}]", text)
            return


def _disagreeing(settings: Settings) -> Iterator[Notice]:
    """Say where two routes pack differently for one destination: the first one that matches says.

    Only rules that may both match count; whether they do is seen by `gateway route test`.
    """
    said: dict[str, tuple[int, object]] = {}
    for nth, route in enumerate(settings.route, 1):
        wanted = (route.transfer_syntax, route.ratio)
        for name in route.to if route.transfer_syntax else ():
            first, before = said.setdefault(name, (nth, wanted))
            if before != wanted:
                text = _('For "{name}" {place} says another transfer_syntax: the first one counts.')
                place = f"route[{first}]"
                text = text.format(name=name, place=place)
                yield Notice("routes-disagree", f"route[{nth}].transfer_syntax", text)


def _htj2k(settings: Settings) -> Iterator[Notice]:
    if importlib.util.find_spec("imagecodecs"):
        return
    for place, one in packers(settings).items():
        if one.transfer_syntax == "htj2k-lossless":
            text = _("The codec for HTJ2K is not installed: JPEG 2000 Lossless is sent instead.")
            yield Notice("htj2k-missing", f"{place}.transfer_syntax", text)
