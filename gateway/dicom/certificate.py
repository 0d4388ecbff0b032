"""certificate: what an X.509 certificate says of itself, its days and its names.

Takes      DER as it came in a handshake, or the PEM files of the configuration
Gives      `Certificate`; ValueError where the bytes are none
Defers     whether it may be trusted: OpenSSL decides that, nothing here does
Holds      nothing

Python tells neither for a certificate that it has refused, and a person must learn both: so the
few fields are read here.

References: RFC 5280 4.1 (the fields), 4.2.1.6 (Subject Alternative Name); X.690 8.1 (DER).
"""

import base64
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

#: A bundle of certificates larger than this is none.
PEM_BYTES_MOST = 4 << 20
#: More names than this are not told.
NAMES_MOST = 8

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.S)
_SEQUENCE, _OID, _UTC_TIME, _TIME = 0x30, 0x06, 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_COMMON_NAME = bytes.fromhex("550403")  # 2.5.4.3
_ALTERNATIVE_NAME = bytes.fromhex("551d11")  # 2.5.29.17


@dataclass(frozen=True, slots=True)
class Certificate:
    """What it says; `names` are those of hosts, or the common name where there are none."""

    begins_at: float  #: UTC seconds
    ends_at: float  #: UTC seconds
    names: tuple[str, ...] = ()


def of_der(der: bytes) -> Certificate:
    """Return what the certificate says.

    Raises
    ------
    ValueError
        These bytes are no certificate.
    """
    try:
        whole = _inside(der, _SEQUENCE)
        fields = list(_items(next(_items(whole))[1]))
        if fields[0][0] == _VERSION:
            del fields[0]
        _serial, _algorithm, _issuer, days, subject, *more = fields
        begins_at, ends_at = (_seconds(kind, text) for kind, text in _items(days[1]))
        names = [*_host_names(more)] or [*_common_names(subject[1])]
    except (IndexError, StopIteration, OverflowError) as fault:
        raise ValueError("not a certificate") from fault
    return Certificate(begins_at, ends_at, tuple(names[:NAMES_MOST]))


def of_file(path: Path) -> list[Certificate]:
    """Return the certificates of a PEM file, in its order: our own stands first, then who signed.

    Raises
    ------
    OSError
    ValueError
        There is none in it, or one cannot be read.
    """
    with path.open("rb") as file:
        text = file.read(PEM_BYTES_MOST)
    found = [of_der(base64.b64decode(block)) for block in _PEM.findall(text)]
    if not found:
        raise ValueError("no certificate in PEM form")
    return found


def day_of(utc_s: float) -> str:
    """Return the day and time as a person reads them."""
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _items(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Give tag and content of each item; lengths are definite and of four bytes at most."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise ValueError("a length that DER does not have")
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        if at + length > len(der):
            raise ValueError("a certificate that is cut short")
        yield tag, der[at : at + length]
        at += length


def _inside(der: bytes, tag: int) -> bytes:
    found, content = next(_items(der))
    if found != tag:
        raise ValueError("not a certificate")
    return content


def _seconds(kind: int, text: bytes) -> float:
    form = {_UTC_TIME: "%y%m%d%H%M%SZ", _TIME: "%Y%m%d%H%M%SZ"}.get(kind)
    if form is None:
        raise ValueError("a certificate without its days")
    # RFC 5280 4.1.2.5.1: two digits from 50 on are of the last century; strptime says 69.
    at = datetime.strptime(text.decode("ascii", "replace"), form).replace(tzinfo=UTC)
    if kind == _UTC_TIME and at.year >= 2050:
        at = at.replace(year=at.year - 100)
    return at.timestamp()


def _host_names(fields: list[tuple[int, bytes]]) -> Iterator[str]:
    listed = next((content for tag, content in fields if tag == _EXTENSIONS), b"")
    for _, extension in _items(_inside(listed, _SEQUENCE)) if listed else ():
        (tag, oid), *_critical, (_, value) = _items(extension)
        if tag == _OID and oid == _ALTERNATIVE_NAME:
            for kind, name in _items(_inside(value, _SEQUENCE)):
                if kind == _DNS_NAME:
                    yield name.decode("ascii", "replace")
                elif kind == _IP_ADDRESS:
                    yield str(ipaddress.ip_address(name))


def _common_names(subject: bytes) -> Iterator[str]:
    for _, part in _items(subject):
        for _, pair in _items(part):
            (_, oid), (_, value), *_ = _items(pair)
            if oid == _COMMON_NAME:
                yield value.decode("utf-8", "replace")
