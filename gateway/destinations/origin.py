"""origin: scheme, host and port of an address: what credentials are bound to.

Takes      addresses of the configuration, and those that a redirect names
Gives      whether two belong together; a path below a base address
Holds      nothing

References: RFC 6454 4 (origin), RFC 3986 3.3 (path), RFC 3927 and RFC 4291 2.5.6 (link-local).
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
#: One segment of a path (RFC 3986 3.3), percent-encoded where it has to be.
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%-]+")
#: What an address may be written with (RFC 3986 2). Others are read in two ways by two readers:
#: "http://evil\\@archive/" is of evil to one and of the archive to the other.
_ADDRESS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """Two addresses of one origin share credentials, no others do."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == DEFAULT_PORTS.get(self.scheme) else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


def origin_of(url: str) -> Origin:
    """Return the origin of an absolute address.

    Raises
    ------
    ValueError
        It is none of http or https.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an http or https address")
    return Origin(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])


def below(base: str, path: str) -> str:
    """Return the address of `path`, ``studies/1.2.3``, below a base address.

    Raises
    ------
    ValueError
        A segment is empty, leads up, or has characters that must be percent-encoded.
    """
    segments = path.split("/")
    if not all(_SEGMENT.fullmatch(one) and one.strip(".") for one in segments):
        raise ValueError("not a path below the base address")
    return f"{base.rstrip('/')}/{path}"


def redirected_to(url: str, location: str) -> tuple[Origin | None, str]:
    """Return to where an answer sends us: its origin, None where it makes no sense; the address."""
    try:
        target = urljoin(url, location)
        if not _ADDRESS.fullmatch(location) or "@" in urlsplit(target).netloc:
            return None, ""
        return origin_of(target), target
    except ValueError:
        return None, ""


def is_link_local(address: str) -> bool:
    """Tell whether an IP address is one that a cloud machine's metadata service listens on."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_link_local
