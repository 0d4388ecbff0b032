"""receive: the network door, C-STORE -> received.

Takes      associations on every `[[listen]]` door, a thread each
Gives      instances in `received`, answered 0x0000 when they are durable
Defers     a caller without a free seat: rejected as transient, it comes again
Holds      nothing
Repeats    after a crash an unanswered object is sent again by its modality
Logs       listening, associated, ended, received, refused
"""

import contextlib
import errno
import selectors
import socket
import threading
from collections import Counter

from gateway import logs
from gateway.config.model import Listen, Settings
from gateway.dicom import pdu
from gateway.dicom.accept import Association
from gateway.dicom.service import Ended, Service, Terms
from gateway.dicom.wire import Wire
from gateway.services.echo import Echo
from gateway.services.storage import Storage, source_of
from spool.store import Spool

WHO = "receive"


class CannotListen(Exception):
    """A door cannot be opened; `code` is stable, `place` is address and port."""

    def __init__(self, fault: OSError, place: str) -> None:
        super().__init__(f"{place}: {fault.strerror}")
        codes = {errno.EADDRINUSE: "port-in-use", errno.EACCES: "port-not-allowed"}
        self.code, self.place = codes.get(fault.errno or 0, "address-unknown"), place


class Seats:
    """Who is associated: counted at acceptance, so that silent peers take no seat."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most, self._most_per_address = most, most_per_address
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str) -> bool:
        """Tell whether there was a free seat; it is taken now."""
        with self._lock:
            free = self._taken.total() < self._most
            if not free or self._taken[address] >= self._most_per_address:
                return False
            self._taken[address] += 1
            return True

    def leave(self, address: str) -> None:
        with self._lock:
            self._taken[address] -= 1


class Seat:
    """One caller's place."""

    def __init__(self, seats: Seats, address: str) -> None:
        self._seats, self.address, self._taken = seats, address, False

    def take(self) -> bool:
        self._taken = self._seats.take(self.address)
        return self._taken

    def leave(self) -> None:
        if self._taken:
            self._seats.leave(self.address)


class Receive:
    """The part that listens; `port` is known after construction, also for port 0."""

    name = WHO

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._settings = settings
        receive = settings.receive
        storage = Storage(
            spool.receiving,
            settings.source,
            receive.private_transfer_syntaxes,
            lambda: spool.ring("prepare"),
        )
        self._services: tuple[Service, ...] = (Echo(), storage)
        self._seats = Seats(receive.max_associations, receive.max_associations_per_address)
        self._associations: dict[Association, threading.Thread] = {}
        self._lock = threading.Lock()
        self._wake, self._waker = socket.socketpair()
        self._doors = open_doors(settings)
        self._stopping = False

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for door in self._doors:
                selector.register(door, selectors.EVENT_READ, door)
                address, port = door.getsockname()[:2]
                logs.info(WHO, "listening", address=address, port=port)
            while not self._stopping:
                for key, _ in selector.select():
                    if key.data and not self._stopping:
                        self._admit(key.data)
        for door in self._doors:
            door.close()
        for association, thread in self._current():
            association.stop()
            thread.join()

    def stop(self) -> None:
        self._stopping = True
        self._waker.send(b"!")
        for association, _ in self._current():
            association.stop()

    def kill(self) -> None:
        for association, _ in self._current():
            association.stop(now=True)

    def _current(self) -> list[tuple[Association, threading.Thread]]:
        with self._lock:
            return list(self._associations.items())

    def _admit(self, door: socket.socket) -> None:
        try:
            connected, (address, *_) = door.accept()
        except OSError as fault:  # the peer went away, or there are no more descriptors
            logs.warning(WHO, "not-admitted", detail=fault)
            return
        threading.Thread(target=self._serve, args=(connected, address), daemon=True).start()

    def _serve(self, connected: socket.socket, address: str) -> None:
        receive, seat = self._settings.receive, Seat(self._seats, address)
        terms = Terms(
            lambda request: self._may_enter(request, seat),
            receive.max_pdu_bytes,
            receive.request_s,
            receive.idle_s,
        )
        wire = Wire(connected, receive.request_s)
        association = Association(wire, address, self._services, terms)
        with self._lock:
            self._associations[association] = threading.current_thread()
        try:
            self._log(association.run(), address)
        finally:
            seat.leave()
            with self._lock:
                del self._associations[association]

    def _may_enter(self, request: pdu.Request, seat: Seat) -> pdu.Rejection | None:
        calling, called = pdu.ae_text(request.calling_ae), pdu.ae_text(request.called_ae)
        receive, own = self._settings.receive, self._settings.gateway.ae_title
        if receive.called_ae_title == "own" and called != own:
            return pdu.CALLED_AE_NOT_RECOGNIZED
        known = source_of(self._settings.source, calling, seat.address)
        if receive.callers == "listed" and not known:
            return pdu.CALLING_AE_NOT_RECOGNIZED
        if self._stopping:
            return pdu.TEMPORARY_CONGESTION
        if not seat.take():
            return pdu.LOCAL_LIMIT_EXCEEDED
        logs.info(WHO, "associated", ae=calling, called=called, address=seat.address)
        return None

    def _log(self, ended: Ended, address: str) -> None:
        usual = ended.how in {"released", "stopped"}
        (logs.info if usual else logs.warning)(
            WHO,
            "ended",
            ae=ended.peer.calling_ae,
            address=address,
            how=ended.how,
            detail=ended.detail,
            messages=ended.messages,
        )


def open_doors(settings: Settings) -> list[socket.socket]:
    """Return a listening socket for each `[[listen]]` door that speaks DICOM.

    Raises
    ------
    CannotListen
        One of them cannot be opened; none stays open.
    """
    with contextlib.ExitStack() as opened:
        doors = [one for one in settings.listen if one.kind == "dicom"]
        found = [opened.enter_context(_listen(one)) for one in doors]
        opened.pop_all()
    return found


def _listen(door: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in door.address else socket.AF_INET
    try:
        return socket.create_server((door.address, door.port), family=family, backlog=128)
    except OSError as fault:
        raise CannotListen(fault, f"{door.address}:{door.port}") from fault
