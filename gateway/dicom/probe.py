"""probe: what is spoken on a port that did not answer as it should.

Takes      an address; asked only after an attempt has failed
Gives      whether it speaks TLS, or plain DICOM; the certificate that it shows
Holds      nothing: who does not answer in time speaks neither

What is sent says nothing of us, of an archive's title or of an image: the first message of a TLS
handshake, or an A-RELEASE-RQ, which every DICOM acceptor answers outside an association by A-ABORT.

References: PS3.8 9.2.3 table 9-10 (AA-1), 9.3.6; RFC 8446 4.1.2, 5.1.
"""

import contextlib
import socket
import ssl
import struct
from pathlib import Path

from gateway.dicom import certificate, pdu, tls
from gateway.dicom.certificate import Certificate
from gateway.dicom.tls import Secured

#: Nobody waits longer for words about what has failed already.
LIMIT_S = 5.0

#: RFC 8446 5.1: the types of the first record that a server of TLS may send.
_ALERT, _HANDSHAKE = 21, 22


def speaks_tls(host: str, port: int, limit_s: float = LIMIT_S) -> bool:
    """Tell whether the port answers the beginning of a TLS handshake."""
    outgoing = ssl.MemoryBIO()
    begun = _unchecked(None, None).wrap_bio(ssl.MemoryBIO(), outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        begun.do_handshake()
    return _first_byte(host, port, outgoing.read(), limit_s) in (_ALERT, _HANDSHAKE)


def speaks_dicom(host: str, port: int, limit_s: float = LIMIT_S) -> bool:
    """Tell whether the port answers as a DICOM acceptor without TLS does."""
    release = struct.pack(">BxIxxxx", pdu.RELEASE_RQ, 4)
    return _first_byte(host, port, release, limit_s) == pdu.ABORT


def look(
    host: str,
    port: int,
    server_name: str = "",
    *,
    own: Path | None = None,
    key: Path | None = None,
    limit_s: float = LIMIT_S,
) -> Certificate | None:
    """Return the certificate that the port shows, whoever signed it; None where it shows none.

    The connection ends with its handshake: nothing is sent to whom we do not trust. A server of
    TLS 1.2 that wants to know us shows its own only when it is shown ours, `own` and `key`.
    """
    try:
        context = _unchecked(own, key)
        with (
            socket.create_connection((host, port), limit_s) as plain,
            context.wrap_socket(plain, server_hostname=server_name or host) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
        return certificate.of_der(der) if der else None
    except (OSError, ValueError):  # it was asked for words alone; they are fewer now
        return None


def words_at(
    fault: BaseException, host: str, port: int, secured: Secured, limit_s: float = LIMIT_S
) -> tuple[str, str]:
    """Return code and detail of a fault, with days and names of a certificate that was refused."""
    if not isinstance(fault, ssl.SSLCertVerificationError):
        return tls.words_of(fault)
    name, key = secured.name_at(host), secured.key
    shown = look(host, port, name, own=secured.certificate, key=key, limit_s=limit_s)
    return tls.words_of(fault, shown, name)


def _first_byte(host: str, port: int, question: bytes, limit_s: float) -> int:
    """Return the first byte of the answer, or -1 where there is none in time."""
    try:
        with socket.create_connection((host, port), limit_s) as connected:
            connected.sendall(question)
            answer = connected.recv(1)
    except OSError:  # closed, reset, silent: all the same here
        return -1
    return answer[0] if answer else -1


def _unchecked(own: Path | None, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if own is not None:
        context.load_cert_chain(own, key, password=lambda: "")
    return context
