"""secret_files: what `check` says about the files with secrets that destinations name.

Takes      accepted Settings; unlike all else here it looks at the files
Gives      one Notice a fault: no file, read by others, sent in clear, a package that is missing
Holds      nothing, and shows nothing of what stands in the files
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.model import Destination, Settings
from gateway.config.problems import Notice
from gateway.config.secret import SecretUnreadable, first_line, is_open_to_others, place_of
from gateway.language import _

#: Keys of a destination whose files hold secrets.
KEYS = (
    "password_file",
    "token_file",
    "client_secret_file",
    "google_key_file",
    "aws_credentials_file",
    "tls_key",
)
#: Which module a key needs, and the extra that brings it.
_EXTRAS = {
    "google_key_file": ("cryptography", "google"),
    "aws_credentials_file": ("requests_aws4auth", "aws"),
}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def notices(settings: Settings) -> Iterator[Notice]:
    """Yield what is to be said of each destination, in the order of the file."""
    for nth, one in enumerate(settings.destination, 1):
        files = {key: path for key in KEYS if (path := getattr(one, key))}
        for key, path in files.items():
            place = f"destination[{nth}].{key}"
            yield from _file(place, place_of(path, settings.file.parent))
            yield from _extra(place, key)
        if files.keys() - {"tls_key"}:
            yield from _in_clear(f"destination[{nth}]", one)


def _file(place: str, path: Path) -> Iterator[Notice]:
    try:
        first_line(path)
        is_open = is_open_to_others(path)
    except (SecretUnreadable, OSError):
        text = _("This user finds no secret in {path}; images for this destination may wait here.")
        yield Notice("secret-not-found", place, text.format(path=path))
    else:
        if is_open:
            text = _("Every user may read {path}: chmod o-rwx.")
            yield Notice("secret-file-open", place, text.format(path=path))


def _extra(place: str, key: str) -> Iterator[Notice]:
    module, extra = _EXTRAS.get(key, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        text = _("This needs a package that is not installed: the extra {extra}.")
        yield Notice("extra-not-installed", place, text.format(extra=extra))


def _in_clear(place: str, one: Destination) -> Iterator[Notice]:
    for key in ("url", "token_url"):
        parts = urlsplit(getattr(one, key) or "")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            text = _("Over http the secret can be read on its way: use https.")
            yield Notice("secret-in-clear", f"{place}.{key}", text)
