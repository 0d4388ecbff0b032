"""What must hold between settings: names that are unique, references that lead somewhere.

Takes      Settings, with defaults or nothing where the reader refused a value, and those places
Gives      (place, Fault) for each rule that is broken; what was refused breaks none
Holds      nothing
"""

import os.path
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import combinations, product
from pathlib import Path

from gateway.config import encryption, rules
from gateway.config.model import Destination, Listen, Settings, Source, Watch
from gateway.config.problems import Fault
from gateway.config.routing import broken_routes
from gateway.language import _

Found = Iterator[tuple[str, Fault]]

_NAMED = ("source", "watch", "camera", "trigger", "destination")
_NEEDED_BY_KIND = {
    "dicom": ("host", "port", "ae_title"),
    "dicomweb": ("url",),
    "folder": ("path",),
    "dicom-tls": ("certificate", "key"),
}
#: Ways to log in at a dicomweb destination: each needs all of its keys, and stands alone.
_AUTHENTICATIONS = (
    ("user", "password_file"),
    ("token_file",),
    ("token_url", "client_id", "client_secret_file"),
    ("google_key_file",),
    ("aws_region", "aws_credentials_file"),
)
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
    yield from _confirmations(settings.destination, refused)
    yield from _fallbacks(settings.destination)
    yield from encryption.broken(settings, refused)
    yield from broken_routes(settings, refused)
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
        yield from _authentication(place, one, refused)
        if one.retry_first_s > one.retry_most_s and f"{place}.retry_most_s" not in refused:
            text = _("The first wait must not be longer than retry_most_s.")
            yield f"{place}.retry_first_s", Fault("out-of-range", text)


def _confirmations(destinations: Sequence[Destination], refused: Set[str]) -> Found:
    for nth, one in enumerate(destinations, 1):
        place = f"destination[{nth}]"
        known = refused.isdisjoint({f"{place}.kind", f"{place}.confirm"})
        if known and one.confirm == "commitment" and one.kind != "dicom":
            text = _('Only kind = "dicom" knows storage commitment; take "query" or "readback".')
            yield f"{place}.confirm", Fault("bad-choice", text)


def _fallbacks(destinations: Sequence[Destination]) -> Found:
    """Who stands in must be there, and the chain must end: else images would go round."""
    known = {one.name: one.fallback for one in destinations}
    for nth, one in enumerate(destinations, 1):
        place = f"destination[{nth}]"
        if one.fallback and one.fallback not in known:
            text = _("Nothing in this file has this name.")
            near = rules.nearest(one.fallback, known)
            yield f"{place}.fallback", Fault("unknown-reference", text, near)
        if one.fallback and _leads_back(one.name, known):
            text = _("The fallbacks lead back to this destination: nobody would stand in.")
            yield f"{place}.fallback", Fault("circular", text)
        if one.kind == "folder" and one.associations > 1:
            text = _("A folder has one index: it is written over one connection.")
            yield f"{place}.associations", Fault("out-of-range", text)


def _leads_back(name: str, fallbacks: Mapping[str, str | None]) -> bool:
    found = fallbacks.get(name)
    for _step in fallbacks:
        if found is None or found == name:
            break
        found = fallbacks.get(found)
    return found == name


def _authentication(place: str, one: Destination, refused: Set[str]) -> Found:
    used = [way for way in _AUTHENTICATIONS if any(getattr(one, key) for key in way)]
    for key in (key for way in used for key in way if getattr(one, key) is None):
        if f"{place}.{key}" not in refused:
            text = _("With {others} this key is needed.")
            others = ", ".join(key for way in used for key in way if getattr(one, key))
            yield f"{place}.{key}", Fault("missing", text.format(others=others))
    if len(used) > 1:
        text = _("A destination has one way to log in; {first} is another one.")
        place = f"{place}.{used[1][0]}"
        yield place, Fault("two-authentications", text.format(first=used[0][0]))


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
