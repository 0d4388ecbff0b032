"""What must hold between the settings of encrypted connections.

Takes      Settings, and the places whose values were refused
Gives      (place, Fault) for each key that stands beside a setting which makes it do nothing
Defers     the files themselves: `gateway.certificates` looks at them, when `check` asks
Holds      nothing

Who names a certificate wants encryption: a file in which it would silently be left out is refused.
"""

from collections.abc import Iterator, Set

from gateway.config.model import Destination, Settings
from gateway.config.problems import Fault
from gateway.language import _

_OF_DESTINATION = ("tls_ca", "tls_certificate", "tls_key", "tls_server_name")
_OF_DOOR = ("certificate", "key", "client_ca")


def broken(settings: Settings, refused: Set[str]) -> Iterator[tuple[str, Fault]]:
    """Yield every rule of encryption that is broken, in the order of the file."""
    for nth, door in enumerate(settings.listen, 1):
        place = f"listen[{nth}]"
        for key in _OF_DOOR if door.kind == "dicom" and f"{place}.kind" not in refused else ():
            if getattr(door, key) is not None:
                text = _('This door speaks plain text: with certificates say kind = "dicom-tls".')
                yield f"{place}.{key}", Fault("tls-off", text)
    for nth, one in enumerate(settings.destination, 1):
        place = f"destination[{nth}]"
        if refused.isdisjoint({f"{place}.kind", f"{place}.tls", f"{place}.url"}):
            yield from _off(place, one)
            yield from _pair(place, one)


def _off(place: str, one: Destination) -> Iterator[tuple[str, Fault]]:
    given = [key for key in _OF_DESTINATION if getattr(one, key) is not None]
    if one.kind == "dicom" and not one.tls:
        text = _("Everything goes in plain text: with this key say tls = true.")
    elif one.kind == "dicomweb" and not (one.url or "").lower().startswith("https:"):
        given += ["tls"] if one.tls else []
        text = _("Everything goes in plain text: with this key the url begins with https.")
    else:
        return
    for key in given:
        yield f"{place}.{key}", Fault("tls-off", text)


def _pair(place: str, one: Destination) -> Iterator[tuple[str, Fault]]:
    pair = {"tls_certificate": one.tls_certificate, "tls_key": one.tls_key}
    for key in (key for key, path in pair.items() if path is None and any(pair.values())):
        text = _("A certificate and its private key belong together: this key is needed.")
        yield f"{place}.{key}", Fault("missing", text)
