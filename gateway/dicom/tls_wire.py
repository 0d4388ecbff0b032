"""tls_wire: a wire whose bytes are encrypted; for whoever reads and writes PDUs it is the same.

Takes      a connected socket and a context of `gateway.dicom.tls`
Gives      what `Wire` gives, after a handshake that ends within patience and deadline
Defers     TlsFault, with the words of `tls.words_of`
Holds      nothing: before the handshake has succeeded not one byte is sent for the caller

The socket is the plain one, and what it carries comes from OpenSSL's buffer alone. Python's own
SSLSocket forgets its encryption at shutdown() and would send what follows in plain text; its
blocking calls also ignore SO_RCVTIMEO.
"""

import contextlib
import mmap
import socket
import ssl
from collections.abc import Sequence
from typing import cast

from gateway.dicom import certificate, tls
from gateway.dicom.certificate import Certificate
from gateway.dicom.tls import TlsFault
from gateway.dicom.wire import Wire

#: Four records (RFC 8446 5.1) in one call.
RAW_BYTES = 1 << 16


class TlsWire(Wire):
    """Encrypts and decrypts; `server_name` is whom we call, None where we were called."""

    def __init__(
        self,
        connected: socket.socket,
        patience_s: float,
        context: ssl.SSLContext,
        server_name: str | None = None,
    ) -> None:
        super().__init__(connected, patience_s)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._called = server_name is None
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=server_name is None,
            server_hostname=server_name,
        )
        self._raw = memoryview(mmap.mmap(-1, RAW_BYTES))  # as in Wire: untouched it costs nothing
        self._is_open = False
        self.first_byte = -1  #: what the peer began with; -1: it has said nothing

    def open(self) -> None:
        """Do the handshake; whatever ends it is a TlsFault, also silence."""
        try:
            self._shake_hands()
        except OSError as fault:
            self._tell_why()
            raise self._named(fault) from fault
        self._is_open = True

    @property
    def certificate(self) -> Certificate | None:
        der = self._tls.getpeercert(binary_form=True) if self._is_open else None
        try:
            return certificate.of_der(der) if der else None
        except ValueError:  # OpenSSL takes it; its days and names cannot be told
            return None

    def has_news(self) -> bool:
        """Tell whether something came for us; a message of TLS itself is none."""
        if self._start == self._end:
            self._start = self._end = 0
        while self._end == self._start:
            try:
                self._decrypt()
            except ssl.SSLWantReadError:
                if not self._has_more():
                    return False
            except OSError:  # the next read says what
                return True
        return True

    def close(self) -> None:
        if self._is_open:
            with contextlib.suppress(OSError):  # it says farewell, to whoever still listens
                self._tls.unwrap()
            self._tell_why()
        super().close()

    def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._take()
            else:
                self._flush()
                return

    def _fill(self) -> None:
        while True:
            try:
                self._decrypt()
            except ssl.SSLWantReadError:
                self._flush()
                self._take()
            except ssl.SSLEOFError:
                raise ConnectionResetError("the peer closed the connection") from None
            except ssl.SSLError as fault:
                raise self._named(fault) from fault
            else:
                return

    def _decrypt(self) -> None:
        """Take what can be read of what has come, at least one byte."""
        space = self._view[self._end :]
        count = cast(int, self._tls.read(len(space), space))  # with a buffer it is a count
        if not count:  # so Python tells the peer's farewell
            raise ConnectionResetError("the peer closed the connection")
        self._end += count

    def _send_all(self, parts: Sequence[bytes | memoryview]) -> None:
        if not self._is_open:
            raise ConnectionAbortedError("nothing is sent before the handshake")
        self._tls.write(b"".join(parts))
        try:
            self._flush()
        except OSError as fault:
            raise self._refusal() or fault from None

    def _flush(self) -> None:
        if self._outgoing.pending:
            super()._send_all([self._outgoing.read()])

    def _has_more(self) -> bool:
        """Tell whether something came off the network, and keep it; do not wait."""
        try:
            count = self.socket.recv_into(self._raw, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        self._keep(count)
        return True

    def _keep(self, count: int) -> None:
        if count:
            self._incoming.write(self._raw[:count])
        else:
            self._incoming.write_eof()

    def _take(self) -> None:
        count = self._receive(self._raw)
        if self.first_byte < 0 and count:
            self.first_byte = self._raw[0]
        self._keep(count)

    def _refusal(self) -> TlsFault | None:
        """Return what the peer said before it hung up: in TLS 1.3 it judges us after our part."""
        try:
            self._has_more()
            self._tls.read(1)
        except (ssl.SSLWantReadError, ssl.SSLEOFError):
            return None
        except ssl.SSLError as fault:
            return self._named(fault)
        except OSError:
            return None
        return None

    def _named(self, fault: OSError) -> TlsFault:
        code, detail = tls.words_of(fault)
        if code == "tls-nothing-in-common" and not self._called and self._tls.cipher():
            # TLS 1.2 has no alert of its own for it (RFC 5246 7.4.6); the ciphers were agreed upon.
            code = "tls-own-certificate-missing"
        return TlsFault(tls.of_caller(code) if self._called else code, detail)

    def _tell_why(self) -> None:
        """Send the alert that OpenSSL has made, without waiting for anybody."""
        with contextlib.suppress(OSError):
            self.socket.send(self._outgoing.read(), socket.MSG_DONTWAIT)
