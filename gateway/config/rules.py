"""What a value of a setting must look like: one rule a function or class.

Takes      a value of the right type
Gives      None when it is fine, else the Fault in a sentence
Defers     nothing: no name is resolved and no file is opened
Holds      nothing
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from gateway.config.problems import Fault
from gateway.language import _

Rule = Callable[[object], Fault | None]
_NAME = re.compile(r"[\w.-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}")  # a host name, IPv4, or IPv6 without brackets
_DOOR = re.compile(r"(ae|folder|camera):(.+)")
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")


@dataclass(frozen=True, slots=True)
class Between:
    """A number from `low` to `high`, both allowed; NaN is neither."""

    low: float
    high: float

    def __call__(self, value: object) -> Fault | None:
        if isinstance(value, int | float) and self.low <= value <= self.high:
            return None
        text = _("The value must lie between {low} and {high}.")
        return Fault("out-of-range", text.format(low=f"{self.low:.15g}", high=f"{self.high:.15g}"))


def choice(value: object, choices: Iterable[object]) -> Fault | None:
    """Return a Fault that lists `choices` when `value` is none of them."""
    known = list(choices)
    if any(value == one and type(value) is type(one) for one in known):
        return None
    shown = ", ".join(f'"{one}"' if isinstance(one, str) else str(one) for one in known)
    text = _("The value must be one of: {choices}.").format(choices=shown)
    return Fault("bad-choice", text, nearest(str(value), map(str, known)))


def not_empty(value: object) -> Fault | None:
    """Check that something stands between the quotes."""
    return None if value else Fault("empty", _("The value must not be empty."))


def name(value: object) -> Fault | None:
    """Check a name that stands in logs, folders' doors and addresses: no spaces, no `:`."""
    if _NAME.fullmatch(str(value)):
        return None
    text = _("A name has 1 to 64 letters, digits, '.', '_' or '-', and no spaces.")
    return Fault("bad-name", text)


def ae_title(value: object) -> Fault | None:
    """Check an Application Entity title (PS3.5 6.2, VR AE)."""
    title = str(value)
    if title.isascii() and "\\" not in title and title == title.strip() and 0 < len(title) <= 16:
        return None
    text = _(
        "An AE title has 1 to 16 ASCII characters, without a backslash and without spaces "
        "at its ends."
    )
    return Fault("bad-ae-title", text)


def host(value: object) -> Fault | None:
    """Check a host name or an IP address by its characters."""
    if _HOST.fullmatch(str(value)):
        return None
    return Fault("bad-host", _("The value must be a host name or an IP address."))


def ip_address(value: object) -> Fault | None:
    """Check one IPv4 or IPv6 address."""
    import ipaddress

    try:
        ipaddress.ip_address(str(value))
    except ValueError:
        return Fault("bad-address", _("The value must be one IP address, such as 192.168.1.20."))
    return None


def url(value: object) -> Fault | None:
    """Check an http or https address; a user or password inside it is refused."""
    parts = _web_address(str(value))
    if parts is None:
        return Fault("bad-url", _("The value must be a web address: https://HOST/PATH."))
    if "@" in parts.netloc:
        text = _("No user or password may stand in an address: use password_file or token_file.")
        return Fault("secret-in-file", text)
    if parts.query or parts.fragment:
        return Fault("bad-url", _("An address must not hold a question mark or a #."))
    return None


def proxy(value: object) -> Fault | None:
    """Check the address of an HTTP proxy: scheme, host and port alone."""
    parts = _web_address(str(value))
    bare = parts and parts.path in ("", "/") and not any((parts.query, parts.fragment))
    if parts and bare and parts.scheme == "http" and parts.port and "@" not in parts.netloc:
        return None
    return Fault("bad-proxy", _("A proxy is written http://HOST:PORT, without user and password."))


def user(value: object) -> Fault | None:
    """Check a user's name for HTTP Basic (RFC 7617 2): it must not hold a colon."""
    if value and ":" not in str(value):
        return None
    return Fault("bad-user", _("A user's name must not be empty, and must not hold a colon."))


def volume(value: object) -> Fault | None:
    """Check the label of a stick: FAT has room for 11 characters."""
    if 0 < len(str(value)) <= 32 and str(value) == str(value).strip():
        return None
    return Fault("bad-volume", _("A label has 1 to 32 characters, without spaces at its ends."))


def _web_address(text: str) -> SplitResult | None:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket without its pair
        return None
    return parts if whole else None


def uid(value: object) -> Fault | None:
    """Check a DICOM unique identifier (PS3.5 9.1)."""
    if _UID.fullmatch(str(value)) and len(str(value)) <= 64:
        return None
    text = _("A UID has digits and dots, no leading zeros, and at most 64 characters.")
    return Fault("bad-uid", text)


def door(value: object) -> Fault | None:
    """Check where an image came in: ``ae:TITLE``, ``folder:NAME``, ``camera:NAME``, or a kind."""
    if value in ("ae", "folder", "camera", "import"):
        return None
    shaped = _DOOR.fullmatch(str(value))
    if not shaped:
        return Fault("bad-door", _("A door is written ae:TITLE, folder:NAME or camera:NAME."))
    return ae_title(shaped[2]) if shaped[1] == "ae" else name(shaped[2])


def timezone(value: object) -> Fault | None:
    """Check the name of a time zone; a machine that has no list of them takes any."""
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(str(value))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        zones = zoneinfo.available_timezones()
    else:
        return None
    text = _("The value must be the name of a time zone, such as Asia/Shanghai.")
    return Fault("bad-timezone", text, nearest(str(value), zones)) if zones else None


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.0) -> str:
    """Return the known word most like `word`, from 0 (not at all) to 1; "" where none is."""
    return next(iter(difflib.get_close_matches(word, sorted(known), 1, likeness)), "")
