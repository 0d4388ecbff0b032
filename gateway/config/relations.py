"""What must hold between settings: names that are unique, references that lead somewhere.

Takes      Settings, with defaults or nothing where the reader refused a value, and those places
Gives      (place, Fault) for each rule that is broken; what was refused breaks none
Holds      nothing
"""

import os.path
from collections.abc import Iterator, Sequence, Set
from itertools import combinations, product
from pathlib import Path

from gateway.config import rules
from gateway.config.model import Compress, Destination, Listen, Route, Settings, Source, Watch
from gateway.config.problems import Fault
from gateway.language import _

Found = Iterator[tuple[str, Fault]]

_NAMED = ("source", "watch", "camera", "trigger", "destination")
_NEEDED_BY_KIND = {
    "dicom": ("host", "port", "ae_title"),
    "dicomweb": ("url",),
    "folder": ("path",),
    "dicom-tls": ("certificate", "key"),
}
_OUR_FOLDERS = ("taken", "refused")  # made by watch inside each watched folder


def broken(settings: Settings, refused: Set[str]) -> Found:
    """Yield every rule between settings that is broken, in the order of the file.

    `refused` are the places whose values stand for nothing, ``destination[2].kind``.
    """
    for section in _NAMED:
        yield from _repeated(section, [one.name for one in getattr(settings, section)], ".name")
    yield from _listens(settings.listen, refused)
    yield from _sources(settings.source, refused)
    yield from _destinations(settings.destination, refused)
    yield from _routes(settings)
    yield from _ratios(settings)
    yield from _folders(settings)
    yield from _room(settings)


def _repeated(section: str, values: Sequence[object], key: str = "") -> Found:
    first: dict[object, int] = {}
    for nth, value in enumerate(values, 1):
        if value and first.setdefault(value, nth) != nth:
            text = _("The same stands in {place} already.")
            place = f"{section}[{first[value]}]"
            yield f"{section}[{nth}]{key}", Fault("duplicate", text.format(place=place))


def _missing(place: str, one: Listen | Destination, refused: Set[str]) -> Found:
    known_kind = f"{place}.kind" not in refused
    for key in _NEEDED_BY_KIND.get(one.kind, ()) if known_kind else ():
        if getattr(one, key) is None:
            text = _('With kind = "{kind}" this key is needed.').format(kind=one.kind)
            yield f"{place}.{key}", Fault("missing", text)


def _listens(doors: Sequence[Listen], refused: Set[str]) -> Found:
    yield from _repeated("listen", [(one.address, one.port) if one.port else None for one in doors])
    for nth, one in enumerate(doors, 1):
        if one.kind == "dicom-tls":  # "dicom" here needs nothing, unlike a destination
            yield from _missing(f"listen[{nth}]", one, refused)


def _sources(sources: Sequence[Source], refused: Set[str]) -> Found:
    senders = [(one.ae_title, one.address) for one in sources]
    yield from _repeated("source", [one if any(one) else None for one in senders])
    for nth, sender in enumerate(senders, 1):
        place = f"source[{nth}]"
        if not any(sender) and refused.isdisjoint({f"{place}.ae_title", f"{place}.address"}):
            text = _("A source needs an ae_title, an address, or both.")
            yield f"{place}.ae_title", Fault("missing", text)


def _destinations(destinations: Sequence[Destination], refused: Set[str]) -> Found:
    for nth, one in enumerate(destinations, 1):
        place = f"destination[{nth}]"
        yield from _missing(place, one, refused)
        if one.retry_first_s > one.retry_most_s and f"{place}.retry_most_s" not in refused:
            text = _("The first wait must not be longer than retry_most_s.")
            yield f"{place}.retry_first_s", Fault("out-of-range", text)


def _routes(settings: Settings) -> Found:
    destinations = [one.name for one in settings.destination]
    doors = [f"folder:{one.name}" for one in settings.watch]
    doors += [f"camera:{one.name}" for one in settings.camera]
    for nth, route in enumerate(settings.route, 1):
        local = [door if not door.startswith("ae:") else "" for door in route.from_]
        yield from _unresolved(f"route[{nth}].from", local, doors)
        yield from _unresolved(f"route[{nth}].to", route.to, destinations)
        if not route.to:
            text = _("A route needs at least one destination.")
            yield f"route[{nth}].to", Fault("missing", text)


def _unresolved(place: str, wanted: Sequence[str], known: Sequence[str]) -> Found:
    for nth, name in enumerate(wanted, 1):
        if name and name not in known:
            text = _("Nothing in this file has this name.")
            fault = Fault("unknown-reference", text, rules.nearest(name, known))
            yield f"{place}[{nth}]", fault


def _ratios(settings: Settings) -> Found:
    places: dict[str, Compress | Route] = {"compress": settings.compress}
    places |= {f"route[{nth}]": one for nth, one in enumerate(settings.route, 1)}
    for place, one in places.items():
        if one.transfer_syntax == "jpeg2000" and one.ratio is None:
            text = _('"jpeg2000" loses image content: say by ratio how much.')
            yield f"{place}.ratio", Fault("missing", text)


def _folders(settings: Settings) -> Found:
    watched = _placed("watch", settings.watch)
    written = [("gateway.state_dir", settings.gateway.state_dir)]
    written += _placed("destination", settings.destination)
    pairs = [*combinations(watched, 2), *product(written, watched)]
    for (_place, other), (place, path) in pairs:
        if _nested(path, other):
            text = _("One of two folders must not lie in the other: {path}, {other}.")
            yield place, Fault("nested-folders", text.format(path=path, other=other))
    for place, path in watched:
        if path.name in _OUR_FOLDERS:
            text = _("A watched folder must not be called taken or refused.")
            yield place, Fault("reserved-folder", text)


def _placed(section: str, ones: Sequence[Watch | Destination]) -> list[tuple[str, Path]]:
    paths = [(f"{section}[{nth}].path", one.path) for nth, one in enumerate(ones, 1)]
    return [(place, path) for place, path in paths if path and path != Path()]


def _nested(one: Path, other: Path) -> bool:
    """Tell by names alone: a dead network share must not hang `check`."""
    paths = [os.path.normpath(one), os.path.normpath(other)]
    return os.path.commonpath(paths) in paths


def _room(settings: Settings) -> Found:
    if settings.room.warn_bytes < settings.room.reserve_bytes:
        text = _("The box must warn (warn_bytes) before it takes no more (reserve_bytes).")
        yield "room.warn_bytes", Fault("out-of-range", text)
