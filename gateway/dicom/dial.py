"""dial: from an address to a connection on which an association can be asked for.

Takes      whom to call, and whether that must be encrypted
Gives      a `Wire` that is ready for PDUs
Defers     AssociationFailed: nobody is there, or not the one who should be; with stable codes
Holds      nothing
Repeats    certificates are read again at each call: a renewed one needs no restart

Where TLS is asked for nothing else is ever spoken: there is no second try in plain text.
"""

import socket
import ssl
import time
from dataclasses import dataclass

from gateway.dicom import probe
from gateway.dicom.pdu import ABORT, ASSOCIATE_RQ
from gateway.dicom.tls import BadFile, Secured, TlsFault
from gateway.dicom.tls_wire import TlsWire
from gateway.dicom.wire import Wire


class AssociationFailed(Exception):
    """No association, or it is lost; `code` is stable (see gateway.reasons), `detail` technical."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Called:
    """Whom to call, as whom, and how patiently."""

    host: str
    port: int
    called_ae: str
    calling_ae: str
    connect_s: float = 10.0
    answer_s: float = 60.0
    secured: Secured | None = None  #: None: in plain text


def dial(called: Called) -> Wire:
    """Return a connection that waits `answer_s` for each answer.

    Raises
    ------
    AssociationFailed
        `connection-refused`, `connect-timeout`, `unreachable`, and the codes of TLS, ``tls-…``.
    """
    if called.secured is None:
        return Wire(_connected(called), called.answer_s)
    try:
        context = called.secured.context()
    except BadFile as fault:
        raise AssociationFailed(fault.code, fault.detail) from fault
    return _secured(called, called.secured, context)


def must_not_speak_tls(called: Called, fault: AssociationFailed) -> None:
    """Raise `tls-expected` where a plain association was cut off by a port that speaks TLS."""
    was_cut_off = called.secured is None and fault.code in ("closed", "protocol")
    if was_cut_off and probe.speaks_tls(called.host, called.port, _look_s(called)):
        raise AssociationFailed("tls-expected", fault.detail) from fault


def _look_s(called: Called) -> float:
    return min(called.connect_s, probe.LIMIT_S)


def _connected(called: Called) -> socket.socket:
    try:
        return socket.create_connection((called.host, called.port), called.connect_s)
    except ConnectionRefusedError as fault:
        raise AssociationFailed("connection-refused", str(fault)) from fault
    except TimeoutError as fault:
        raise AssociationFailed("connect-timeout", str(fault)) from fault
    except OSError as fault:  # no route, no such name, …
        raise AssociationFailed("unreachable", str(fault)) from fault


def _secured(called: Called, secured: Secured, context: ssl.SSLContext) -> Wire:
    connected = _connected(called)
    try:
        wire = TlsWire(connected, called.connect_s, context, secured.name_at(called.host))
    except ValueError as fault:  # no host may be called so
        connected.close()
        raise AssociationFailed("tls-wrong-name", str(fault)) from fault
    wire.deadline = time.monotonic() + called.connect_s
    try:
        wire.open()
        if secured.told and wire.certificate:
            secured.told(wire.certificate)
    except TlsFault as fault:
        wire.close()
        raise AssociationFailed(*_words(called, secured, wire, fault)) from fault
    except BaseException:
        wire.close()
        raise
    wire.deadline = 0.0
    wire.patience(called.answer_s)
    return wire


def _words(called: Called, secured: Secured, wire: TlsWire, fault: TlsFault) -> tuple[str, str]:
    """Return code and detail, with what a look at the port adds to them."""
    limit_s = _look_s(called)
    if isinstance(fault.__cause__, ssl.SSLCertVerificationError):
        return probe.words_at(fault.__cause__, called.host, called.port, secured, limit_s)
    if ASSOCIATE_RQ <= wire.first_byte <= ABORT:
        return "tls-plain-dicom", fault.detail
    if wire.first_byte < 0 and probe.speaks_dicom(called.host, called.port, limit_s):
        return "tls-plain-dicom", fault.detail
    return fault.code, fault.detail
