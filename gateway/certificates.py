"""certificates: whether ours can be used, and when ours and the archives' end.

Takes      the settings, and what the archives have shown of themselves
Gives      faults and days, by a stable code, for `check` and `status`; how an archive is called
Holds      nothing
Repeats    files are looked at again at each question; a credential of the unit (man 5 systemd.exec)
           that is called as the file comes first

An archive's certificate is known from the last handshake: its end stands in the spool, so that it
can be told while nothing runs. A month before any of them ends, both verbs say so.
"""

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.model import Destination, Listen, Settings
from gateway.config.secret import place_of
from gateway.dicom import tls
from gateway.dicom.certificate import Certificate
from gateway.dicom.tls import BadFile, Secured
from spool.facts import Facts

#: So long before it ends there is time to have it renewed.
ALARM_S = 30 * 86_400.0

#: The name of a fact begins so; the destination's name follows.
_SHOWN = "certificate:"


@dataclass(frozen=True, slots=True)
class Ending:
    """A certificate, where it stands, and when it ends."""

    place: str  #: destination[2].tls_certificate, or the destination's name for what it has shown
    ends_at: float  #: UTC seconds
    names: tuple[str, ...] = ()  #: an archive's: of hosts

    def code(self, now: float) -> str:
        """Return what is to be said of it now, or ""."""
        if self.ends_at <= now:
            return "tls-ended" if self.names else "tls-own-ended"
        return "tls-ends-soon" if self.ends_at <= now + ALARM_S else ""


def secured_of(destination: Destination, facts: Facts | None = None) -> Secured | None:
    """Return how this archive is called encrypted, None where it is not.

    Parameters
    ----------
    facts
        What it shows is kept here.
    """
    if destination.kind == "dicom" and not destination.tls:
        return None
    if destination.kind == "dicomweb" and urlsplit(destination.url or "").scheme != "https":
        return None
    return Secured(
        _place(destination.tls_ca),
        _place(destination.tls_certificate),
        _place(destination.tls_key),
        destination.tls_server_name or "",
        _remembering(facts, destination.name) if facts else None,
    )


def door_context(door: Listen) -> ssl.SSLContext:
    """Return the context of a `dicom-tls` door, of its files as they are now.

    Raises
    ------
    BadFile
    """
    certificate, key = _place(door.certificate), _place(door.key)
    if certificate is None or key is None:
        raise RuntimeError("the configuration was not checked")
    return tls.server_context(certificate, key, _place(door.client_ca))


def faults(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Yield code, place and detail of each certificate of ours that cannot be used."""
    for place, load in _contexts(settings):
        try:
            load()
        except BadFile as fault:
            yield fault.code, place, fault.detail


def endings(settings: Settings, facts: Facts | None) -> list[Ending]:
    """Return every certificate that is known, the archives' last; what cannot be read is left out.

    Of a store of several the last end counts: until then one of them holds.
    """
    found = []
    for place, path, ends in _files(settings):
        try:
            found.append(Ending(place, ends(path)))
        except BadFile:  # `faults` tells it
            continue
    return [*found, *_shown(settings, facts)]


def _remembering(facts: Facts, name: str) -> Callable[[Certificate], None]:
    def remember(shown: Certificate) -> None:
        facts.put(_SHOWN + name, json.dumps([shown.ends_at, *shown.names], ensure_ascii=True))

    return remember


def _shown(settings: Settings, facts: Facts | None) -> Iterator[Ending]:
    encrypted = {one.name for one in settings.destination if secured_of(one)}
    for name, value in facts.all(_SHOWN).items() if facts else ():
        ends_at, *names = json.loads(value)
        if name in encrypted:
            yield Ending(name, float(ends_at), tuple(names) or (name,))


def _contexts(settings: Settings) -> Iterator[tuple[str, Callable[[], object]]]:
    for nth, door in enumerate(settings.listen, 1):
        if door.kind == "dicom-tls":
            yield f"listen[{nth}]", partial(door_context, door)
    for nth, one in enumerate(settings.destination, 1):
        if secured := secured_of(one):
            yield f"destination[{nth}]", secured.context


def _files(settings: Settings) -> Iterator[tuple[str, Path, Callable[[Path], float]]]:
    for nth, door in enumerate(settings.listen, 1):
        if door.kind == "dicom-tls":
            yield from _named(f"listen[{nth}].certificate", door.certificate, tls.expires)
            yield from _named(f"listen[{nth}].client_ca", door.client_ca, tls.trust_ends)
    for nth, one in enumerate(settings.destination, 1):
        if secured_of(one):
            place = f"destination[{nth}]"
            yield from _named(f"{place}.tls_certificate", one.tls_certificate, tls.expires)
            yield from _named(f"{place}.tls_ca", one.tls_ca, tls.trust_ends)


def _named(
    place: str, path: Path | None, ends: Callable[[Path], float]
) -> Iterator[tuple[str, Path, Callable[[Path], float]]]:
    if (found := _place(path)) is not None:
        yield place, found, ends


def _place(path: Path | None) -> Path | None:
    """Return where a file lies: among the unit's credentials, or where the setting says."""
    return path and place_of(path, path.parent)
