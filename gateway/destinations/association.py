"""association: one association with a DICOM archive, kept open from one use to the next.

Takes      a destination; what is to be proposed
Gives      a `Requestor`, the open one where that will do
Defers     ArchiveAway, with the codes of `gateway.dicom.dial`; `whole` where all meet the same
Holds      nothing
Repeats    an association that was lost, or on which something failed, is never used again
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from gateway import certificates
from gateway.config.model import Destination
from gateway.destinations.archive import ArchiveAway
from gateway.dicom.dial import AssociationFailed, Called
from gateway.dicom.request import associate
from gateway.dicom.requestor import Pair, Requestor
from gateway.dicom.service import Service
from spool.store import Spool

#: What says that the archive as a whole is away, beside what begins with `tls-`; anything else may
#: be the fault of one object.
AWAY = frozenset(("connection-refused", "connect-timeout", "unreachable", "rejected", "timeout"))


def store_called(destination: Destination, calling_ae: str, spool: Spool | None) -> Called:
    """Return whom to call to store."""
    return Called(
        destination.host or "",
        destination.port or 0,
        destination.ae_title or "",
        destination.calling_ae_title or calling_ae,
        destination.connect_s,
        destination.answer_s,
        certificates.secured_of(destination, spool.facts if spool else None),
    )


def ask_called(destination: Destination, calling_ae: str, spool: Spool | None) -> Called:
    """Return whom to call with questions: the same, where nobody else is named."""
    stored = store_called(destination, calling_ae, spool)
    return Called(
        destination.ask_host or stored.host,
        destination.ask_port or stored.port,
        destination.ask_ae_title or stored.called_ae,
        stored.calling_ae,
        stored.connect_s,
        stored.answer_s,
        stored.secured,
    )


class Kept:
    """An association that is there when it is needed; used by one thread, except `interrupt`."""

    def __init__(
        self,
        called: Called,
        idle_s: float,
        *,
        services: Sequence[Service] = (),
        pdu_bytes_most: int = 1 << 17,
    ) -> None:
        self._called, self._idle_s = called, idle_s
        self._services, self._pdu_bytes_most = services, pdu_bytes_most
        self._open: Requestor | None = None
        self._used_at = 0.0

    @contextmanager
    def use(
        self, pair: Pair, propose: Callable[[], Sequence[Pair]], as_scp: Collection[str] = ()
    ) -> Iterator[Requestor]:
        """Give an association on which `pair` was proposed; whatever fails there ends it.

        Parameters
        ----------
        propose
            Asked where a new one begins: all that it should be able to.

        Raises
        ------
        ArchiveAway
        """
        try:
            with away():
                yield self._associated(pair, propose, as_scp)
        except BaseException:
            self._break_off()
            raise
        self._used_at = time.monotonic()

    def hear(self) -> None:
        """Serve what the archive has asked meanwhile; where it has ended it, close it."""
        if self._open:
            try:
                self._open.hear()
            except AssociationFailed:  # nothing was asked of it, so nothing is lost
                archive, self._open = self._open, None
                archive.wire.close()

    def idle_left_s(self) -> float | None:
        """Return for how long it may stay idle, None where there is none."""
        if not self._open:
            return None
        return max(0.0, self._used_at + self._idle_s - time.monotonic())

    def release(self) -> None:
        """End it politely."""
        if self._open:
            archive, self._open = self._open, None
            archive.release()

    def interrupt(self) -> None:
        """End what hangs, from another thread: `use` raises ArchiveAway."""
        if archive := self._open:
            archive.wire.interrupt()

    def _break_off(self) -> None:
        if self._open:
            archive, self._open = self._open, None
            archive.abort()

    def _associated(
        self, pair: Pair, propose: Callable[[], Sequence[Pair]], as_scp: Collection[str]
    ) -> Requestor:
        self.hear()
        if self._open and pair not in self._open.proposed:
            self.release()
        if not self._open:
            self._open = associate(
                self._called,
                propose(),
                as_scp=as_scp,
                services=self._services,
                pdu_bytes_most=self._pdu_bytes_most,
            )
        return self._open


@contextmanager
def away() -> Iterator[None]:
    """Turn what happened to an association into what a stage acts upon."""
    try:
        yield
    except AssociationFailed as fault:
        whole = fault.code in AWAY or fault.code.startswith("tls-")
        raise ArchiveAway(fault.code, fault.detail, whole=whole) from fault
