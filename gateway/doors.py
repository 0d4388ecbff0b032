"""doors: the sockets on which modalities call, in plain text or encrypted.

Takes      the `[[listen]]` sections that speak DICOM
Gives      listening sockets, and for each connection a `Wire` of the door's kind
Defers     BadFile: this door's certificate cannot be used; the other doors go on
Holds      nothing
Repeats    certificates are read again when their files have changed: renewing one needs no restart

No handshake is done here: it belongs into the caller's own thread, under a deadline.
"""

import contextlib
import errno
import socket
import ssl

from gateway import logs
from gateway.certificates import door_context
from gateway.config.model import Listen, Settings
from gateway.dicom.tls import BadFile
from gateway.dicom.tls_wire import TlsWire
from gateway.dicom.wire import Wire


class CannotListen(Exception):
    """A door cannot be opened; `code` is stable, `place` is address and port."""

    def __init__(self, fault: OSError, place: str) -> None:
        super().__init__(f"{place}: {fault.strerror}")
        codes = {errno.EADDRINUSE: "port-in-use", errno.EACCES: "port-not-allowed"}
        self.code, self.place = codes.get(fault.errno or 0, "address-unknown"), place


class Door:
    """One listening socket."""

    def __init__(self, settings: Listen, listening: socket.socket) -> None:
        self.settings, self.socket = settings, listening
        self._context: ssl.SSLContext | None = None  #: the last one that could be used

    def wire(self, connected: socket.socket, patience_s: float) -> Wire:
        """Return the wire of one connection; its handshake is not done yet.

        Raises
        ------
        BadFile
            There never was a certificate that can be used.
        """
        if self.settings.kind == "dicom":
            return Wire(connected, patience_s)
        return TlsWire(connected, patience_s, self._renewed())

    def close(self) -> None:
        self.socket.close()

    def _renewed(self) -> ssl.SSLContext:
        try:
            self._context = door_context(self.settings)
        except BadFile as fault:
            if self._context is None:
                raise
            # The one before still holds; who renews a certificate replaces two files, not at once.
            logs.warning("receive", "not-renewed", code=fault.code, detail=fault.detail)
        return self._context


def open_doors(settings: Settings) -> list[Door]:
    """Return a listening socket for each `[[listen]]` door that speaks DICOM.

    Raises
    ------
    CannotListen
        One of them cannot be opened; none stays open.
    """
    with contextlib.ExitStack() as opened:
        doors = [one for one in settings.listen if one.kind in ("dicom", "dicom-tls")]
        found = [Door(one, opened.enter_context(_listen(one))) for one in doors]
        opened.pop_all()
    return found


def _listen(door: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in door.address else socket.AF_INET
    try:
        return socket.create_server((door.address, door.port), family=family, backlog=128)
    except OSError as fault:
        raise CannotListen(fault, f"{door.address}:{door.port}") from fault
