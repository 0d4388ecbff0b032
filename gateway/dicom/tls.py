"""tls: what we demand of an encrypted connection, and what went wrong with one, in words.

Takes      the PEM files of a destination or a door; the faults of OpenSSL
Gives      contexts per BCP 195; a stable code (see gateway.reasons) and a technical detail
Defers     the bytes on the wire: `tls_wire` for DICOM, `destinations.http` for HTTPS
Holds      BadFile: a file of ours cannot be used, which only a person can repair
Repeats    files are read again when they have changed: a renewed certificate needs no restart

TLS 1.2 with ECDHE and AEAD, or 1.3; no compression, no renegotiation, and never a way back to
plain text. A destination with a trust store of its own trusts nobody else; what stands in that
store is trusted as it is, so that an archive's own certificate may stand there as well as its CA.

References: RFC 9325 3.1 (versions), 3.5 (renegotiation), 4.2 (cipher suites), 4.5 (key lengths);
PS3.15 B.12 (BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile).
"""

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gateway.dicom import certificate
from gateway.dicom.certificate import Certificate, day_of

#: RFC 9325 4.2; level 2 of OpenSSL refuses keys below 2048 bits (RSA) and signatures by SHA-1.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"

#: A certificate that begins so much later than our clock says is of a right clock elsewhere.
CLOCK_MARGIN_S = 86_400.0

# openssl/x509_vfy.h.in, X509_V_ERR_…
_NOT_YET_VALID, _HAS_EXPIRED = 9, 10
_UNTRUSTED = (2, 18, 19, 20, 21, 27, 28)  # no issuer, self-signed, rejected by the store
_OTHER_NAME = (62, 64)  # host name, IP address

#: Alerts (RFC 8446 6.2) and faults of OpenSSL (openssl/sslerr.h) by the words in their names.
#: The first that fits counts.
_REASONS = (
    ("CERTIFICATE_REQUIRED", "tls-own-certificate-missing"),
    ("ALERT_CERTIFICATE_EXPIRED", "tls-own-certificate-ended"),
    ("ALERT_UNKNOWN_CA", "tls-own-certificate-refused"),
    ("ALERT_BAD_CERTIFICATE", "tls-own-certificate-refused"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "tls-own-certificate-refused"),
    ("ALERT_CERTIFICATE", "tls-own-certificate-refused"),  # revoked, unknown, unobtainable
    ("ALERT_ACCESS_DENIED", "tls-own-certificate-refused"),
    ("ALERT_UNRECOGNIZED_NAME", "tls-wrong-name"),
    ("UNRECOGNIZED_NAME", "tls-wrong-name"),
    ("ALERT_HANDSHAKE_FAILURE", "tls-nothing-in-common"),
    ("ALERT_PROTOCOL_VERSION", "tls-nothing-in-common"),
    ("ALERT_INSUFFICIENT_SECURITY", "tls-nothing-in-common"),
    ("UNSUPPORTED_PROTOCOL", "tls-nothing-in-common"),
    ("NO_SHARED_CIPHER", "tls-nothing-in-common"),
    ("NO_PROTOCOLS_AVAILABLE", "tls-nothing-in-common"),
    ("NO_SUITABLE", "tls-nothing-in-common"),  # key share, signature algorithm, groups
    ("WRONG_CIPHER_RETURNED", "tls-nothing-in-common"),
    ("WRONG_SSL_VERSION", "tls-nothing-in-common"),
    ("VERSION_TOO_LOW", "tls-nothing-in-common"),
    ("KEY_TOO_SMALL", "tls-too-weak"),
    ("MD_TOO_WEAK", "tls-too-weak"),
    ("WRONG_SIGNATURE_TYPE", "tls-too-weak"),
    ("WRONG_VERSION_NUMBER", "tls-plain-peer"),
    ("PACKET_LENGTH_TOO_LONG", "tls-plain-peer"),
    ("RECORD_LENGTH_MISMATCH", "tls-plain-peer"),
    ("BAD_RECORD_TYPE", "tls-plain-peer"),
    ("HTTP_REQUEST", "tls-plain-peer"),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "tls-peer-certificate-missing"),
    ("UNEXPECTED_EOF", "tls-closed"),
)


#: The same faults seen from a door of ours. What is not listed is told as it is.
_OF_CALLER = {
    "tls-plain-peer": "tls-caller-plain",
    "tls-peer-certificate-missing": "tls-caller-without-certificate",
    "tls-unknown-ca": "tls-caller-unknown-ca",
    "tls-certificate-refused": "tls-caller-unknown-ca",
    "tls-ended": "tls-caller-ended",
    "tls-not-yet-valid": "tls-caller-not-yet-valid",
    "tls-too-weak": "tls-caller-nothing-in-common",
    "tls-nothing-in-common": "tls-caller-nothing-in-common",
    "tls-own-certificate-refused": "tls-caller-distrusts-us",
    "tls-own-certificate-ended": "tls-caller-distrusts-us",
    "tls-timeout": "tls-caller-silent",
    "tls-closed": "tls-caller-gone",
    "tls-protocol": "tls-caller-failed",
}


class BadFile(Exception):
    """A certificate or key of ours cannot be used; `code` is stable, `path` says which file."""

    def __init__(self, code: str, path: Path, detail: str = "") -> None:
        super().__init__(f"{code}: {path}: {detail}" if detail else f"{code}: {path}")
        self.code, self.path = code, path
        self.detail = f"{path}: {detail}" if detail else str(path)


class TlsFault(ConnectionError):
    """No encrypted connection, or it is lost; `code` is stable, `detail` technical."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Secured:
    """How one archive is called: whom we trust, who we are, and which name it must bear."""

    trust: Path | None  #: PEM; None: whom this machine trusts
    certificate: Path | None = None  #: ours, PEM, followed by who signed it
    key: Path | None = None  #: its private key, PEM, without a password
    server_name: str = ""  #: the name that must stand in the archive's certificate; "": the host
    told: Callable[[Certificate], None] | None = None  #: is told what the archive has shown

    def name_at(self, host: str) -> str:
        """Return the name that must stand in the certificate of whoever is called at `host`."""
        return self.server_name or host.partition("%")[0].rstrip(".")  # RFC 6874: no zone there

    def context(self) -> ssl.SSLContext:
        """Return the context of these files as they are now.

        Raises
        ------
        BadFile
        """
        return client_context(self.trust, self.certificate, self.key)


def client_context(
    trust: Path | None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Return the context with which we call: the peer's certificate and name are checked.

    The same one as before while no file has changed; do not alter it.

    Raises
    ------
    BadFile
        `tls-file-unreadable`, `tls-no-certificate`, `tls-key-unusable`, `tls-key-mismatch`.
    """
    read = [*([trust] if trust else _of_this_machine()), certificate, key]
    return _client_context(trust, certificate, key, tuple(map(_stamp, read)))


def server_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Return the context with which we are called; with `client_ca` no caller is taken without one.

    The same one as before while no file has changed; do not alter it.

    Raises
    ------
    BadFile
    """
    files = (certificate, key, client_ca)
    return _server_context(*files, tuple(map(_stamp, files)))


def expires(path: Path) -> float:
    """Return when our certificate in this file ends, in UTC seconds; it is the first in there.

    Raises
    ------
    BadFile
    """
    return _certificates(path)[0].ends_at


def trust_ends(path: Path) -> float:
    """Return when the last certificate of a trust store ends: until then one of them holds.

    Raises
    ------
    BadFile
    """
    return max(one.ends_at for one in _certificates(path))


def words_of(
    fault: BaseException, peer: Certificate | None = None, asked_for: str = ""
) -> tuple[str, str]:
    """Return code and detail of a fault of a TLS connection that we opened.

    Parameters
    ----------
    fault
        What `ssl` or the socket raised; a BadFile or TlsFault keeps its own words.
    peer
        The certificate that was refused, where it is known (`tls_wire.look`): it adds its days
        and its names.
    asked_for
        The name that should have stood in it.
    """
    if isinstance(fault, BadFile | TlsFault):
        return fault.code, fault.detail
    if isinstance(fault, ssl.SSLCertVerificationError):
        return _verification(fault, peer, asked_for)
    if isinstance(fault, TimeoutError):
        return "tls-timeout", ""
    if isinstance(fault, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return "tls-closed", ""
    said = (getattr(fault, "reason", None) or str(fault)).upper().replace(" ", "_")
    return next((code for words, code in _REASONS if words in said), "tls-protocol"), said[:80]


def of_caller(code: str) -> str:
    """Return the code of the same fault where it is a caller who met it at a door of ours."""
    return _OF_CALLER.get(code, code)


def _verification(
    fault: ssl.SSLCertVerificationError, peer: Certificate | None, asked_for: str
) -> tuple[str, str]:
    number, said = fault.verify_code, fault.verify_message or ""
    if number == _HAS_EXPIRED:
        return "tls-ended", _against_clock("ended on", peer.ends_at if peer else None) or said
    if number == _NOT_YET_VALID:
        detail = _against_clock("begins on", peer.begins_at if peer else None) or said
        is_ours = peer is not None and peer.begins_at > time.time() + CLOCK_MARGIN_S
        return ("tls-clock" if is_ours else "tls-not-yet-valid"), detail
    if number in _OTHER_NAME:
        names = f"{asked_for or '?'} is not one of: {', '.join(peer.names)}" if peer else said
        return "tls-wrong-name", names
    if number in _UNTRUSTED:
        return "tls-unknown-ca", said
    return "tls-certificate-refused", said


def _against_clock(word: str, at: float | None) -> str:
    return f"{word} {day_of(at)}, our clock says {day_of(time.time())}" if at else ""


@lru_cache(maxsize=64)
def _client_context(
    trust: Path | None, certificate: Path | None, key: Path | None, _stamps: object
) -> ssl.SSLContext:
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if trust is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, trust)
    if certificate is not None:
        _identify(context, certificate, key or certificate)
    return context


@lru_cache(maxsize=16)
def _server_context(
    certificate: Path, key: Path, client_ca: Path | None, _stamps: object
) -> ssl.SSLContext:
    context = _hardened(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0  # nothing is resumed
    _identify(context, certificate, key)
    if client_ca is not None:
        _trust(context, client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _hardened(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers(CIPHERS)
    return context


def _trust(context: ssl.SSLContext, path: Path) -> None:
    _certificates(path)  # says which of the two is wrong: the file, or what stands in it
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as fault:
        raise BadFile("tls-no-certificate", path, fault.reason or "") from fault
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _identify(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    _certificates(certificate)
    _readable(key)
    try:
        # The password is asked for on the terminal unless somebody says that there is none.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as fault:
        # An RSA key beside a certificate for an elliptic one is told as the second.
        is_other = any(word in (fault.reason or "") for word in ("MISMATCH", "NO_CERTIFICATE"))
        code = "tls-key-mismatch" if is_other else "tls-key-unusable"
        raise BadFile(code, key, fault.reason or "") from fault


def _certificates(path: Path) -> list[Certificate]:
    _readable(path)
    try:
        return certificate.of_file(path)
    except ValueError as fault:
        raise BadFile("tls-no-certificate", path, str(fault)) from fault


def _readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as fault:
        raise BadFile("tls-file-unreadable", path, fault.strerror or "") from fault


def _of_this_machine() -> list[Path]:
    """Return where this machine keeps whom it trusts."""
    paths = ssl.get_default_verify_paths()
    return [Path(one) for one in (paths.cafile, paths.capath) if one]


def _stamp(path: Path | None) -> tuple[int, ...]:
    """Return what changes with the file; what is wrong with it is said where it is read."""
    try:
        facts = path.stat() if path else None
    except OSError:
        return (0,)
    return (facts.st_ino, facts.st_size, facts.st_mtime_ns) if facts else ()
