"""receive: the network door, C-STORE -> received.

Takes      associations on every `[[listen]]` door, a thread each
Gives      instances in `received`, answered 0x0000 when they are durable
Defers     a caller without a free seat: rejected as transient, it comes again
Holds      nothing
Repeats    after a crash an unanswered object is sent again by its modality
Logs       listening, associated, ended, received, refused
"""

import selectors
import socket
import threading
from collections import Counter

from gateway import logs
from gateway.config.model import Settings
from gateway.dicom import pdu
from gateway.dicom.accept import Association
from gateway.dicom.service import Ended, Service, Terms
from gateway.dicom.tls import BadFile
from gateway.dicom.wire import Wire
from gateway.doors import Door, open_doors
from gateway.reasons_tls import CALLER
from gateway.reports import reports
from gateway.services import callers
from gateway.services.asked_back import AskedBack
from gateway.services.echo import Echo
from gateway.services.storage import Storage
from spool.store import Spool

WHO = "receive"


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
        receive, asked_back = settings.receive, AskedBack(spool, callers.our_titles(settings))
        asked_back.sweep()
        storage = Storage(
            spool.receiving,
            settings.source,
            receive.private_transfer_syntaxes,
            lambda: spool.ring("prepare"),
            asked_back,
            lambda peer: callers.may_store(settings, peer.calling_ae, peer.address),
        )
        commits = [one.name for one in settings.destination if one.confirm == "commitment"]
        self._services: tuple[Service, ...] = (Echo(), storage, reports(spool, WHO, commits))
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
                selector.register(door.socket, selectors.EVENT_READ, door)
                address, port = door.socket.getsockname()[:2]
                logs.info(WHO, "listening", kind=door.settings.kind, address=address, port=port)
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

    def _admit(self, door: Door) -> None:
        try:
            connected, (address, *_) = door.socket.accept()
        except OSError as fault:  # the peer went away, or there are no more descriptors
            logs.warning(WHO, "not-admitted", detail=fault)
            return
        threading.Thread(target=self._meet, args=(door, connected, address), daemon=True).start()

    def _meet(self, door: Door, connected: socket.socket, address: str) -> None:
        try:
            wire = door.wire(connected, self._settings.receive.request_s)
        except BadFile as fault:
            connected.close()
            logs.error(WHO, "not-admitted", address=address, code=fault.code, detail=fault.detail)
        else:
            self._serve(wire, address)

    def _serve(self, wire: Wire, address: str) -> None:
        receive, seat = self._settings.receive, Seat(self._seats, address)
        terms = Terms(
            lambda request: self._may_enter(request, seat, wire),
            receive.max_pdu_bytes,
            receive.request_s,
            receive.idle_s,
        )
        association = Association(wire, address, self._services, terms)
        with self._lock:
            self._associations[association] = threading.current_thread()
        try:
            self._log(association.run(), address)
        finally:
            seat.leave()
            with self._lock:
                del self._associations[association]

    def _may_enter(self, request: pdu.Request, seat: Seat, wire: Wire) -> pdu.Rejection | None:
        calling, called = pdu.ae_text(request.calling_ae), pdu.ae_text(request.called_ae)
        if not callers.is_our_title(self._settings, called):
            return pdu.CALLED_AE_NOT_RECOGNIZED
        if not callers.may_call(self._settings, calling, seat.address):
            return pdu.CALLING_AE_NOT_RECOGNIZED
        if self._stopping:
            return pdu.TEMPORARY_CONGESTION
        if not seat.take():
            return pdu.LOCAL_LIMIT_EXCEEDED
        shown = wire.certificate
        named = {"certificate": ",".join(shown.names)} if shown else {}
        logs.info(WHO, "associated", ae=calling, called=called, address=seat.address, **named)
        return None

    def _log(self, ended: Ended, address: str) -> None:
        usual = ended.how in {"released", "stopped"}
        words = {"text": CALLER[ended.how][0]} if ended.how in CALLER else {}
        (logs.info if usual else logs.warning)(
            WHO,
            "ended",
            ae=ended.peer.calling_ae,
            address=address,
            how=ended.how,
            detail=ended.detail,
            messages=ended.messages,
            **words,
        )
