"""storage: C-STORE, answered once the object is durable.

Takes      any storage SOP Class, also unknown private and retired ones, in any known syntax; what
           was asked back from an archive goes elsewhere (`asked_back.py`)
Gives      an instance in `received`, and 0x0000 after file, folder and row are synced
Holds      nothing; it decides nothing
Repeats    an object whose answer was lost comes again, and prepare merges it

References: PS3.4 annex B, PS3.7 9.1.1 and 9.3.1.
"""

import sqlite3
from collections.abc import Callable, Sequence

from gateway import logs
from gateway.config.model import Source
from gateway.dicom import command
from gateway.dicom.landing import FileSink
from gateway.dicom.pdu import is_uid
from gateway.dicom.service import Message, Peer, Reply
from gateway.dicom.status import (
    INVALID_SOP_INSTANCE,
    NOT_AUTHORIZED,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
)
from gateway.dicom.syntaxes import SYNTAXES
from gateway.services.callers import source_of
from spool.blobs import Incoming
from spool.errors import SpoolFull
from spool.model import Arrival, Priority
from spool.receiving import Receiving

#: Data Set does not match, or cannot be understood: there is none (PS3.4 B.2.3).
CANNOT_UNDERSTAND = 0xC000

_DICOM = "1.2.840.10008."
#: PS3.6 table A-1: the arcs that hold storage classes only, then single ones, retired ones too.
_STORAGE_ARCS = (_DICOM + "5.1.4.1.1.", _DICOM + "5.1.4.34.")
_STORAGE_CLASSES = {
    _DICOM + arc
    for arc in (
        "5.1.1.27",  # Stored Print Storage
        "5.1.1.29",  # Hardcopy Grayscale Image Storage
        "5.1.1.30",  # Hardcopy Color Image Storage
        "5.1.4.38.1",  # Hanging Protocol Storage
        "5.1.4.39.1",  # Color Palette Storage
        "5.1.4.43.1",  # Generic Implant Template Storage
        "5.1.4.44.1",  # Implant Assembly Template Storage
        "5.1.4.45.1",  # Implant Template Group Storage
    )
}
#: What a sender that offers several gets: uncompressed first, then lossless, lossy, deflated.
#: It costs a modality least, and never makes it compress with loss on the way to us.
_FIRST = (
    *("1.2.1", "1.2", "1.2.2", "1.2.5", "1.2.4.57", "1.2.4.70", "1.2.4.80", "1.2.4.90"),
    *("1.2.4.201", "1.2.4.202", "1.2.4.50", "1.2.4.51", "1.2.4.81", "1.2.4.91", "1.2.4.203"),
)
_DEFLATED = _DICOM + "1.2.1.99"


def is_storage(sop_class_uid: str) -> bool:
    """Tell whether objects of this class can be stored; a private class may be anything."""
    if not sop_class_uid.startswith(_DICOM):
        return True
    return sop_class_uid.startswith(_STORAGE_ARCS) or sop_class_uid in _STORAGE_CLASSES


def _preference(private: Sequence[str]) -> list[str]:
    first = [_DICOM + one for one in _FIRST]
    rest = [uid for uid in SYNTAXES if uid not in first and uid != _DEFLATED]
    return [*first, *rest, *private, _DEFLATED]


#: Returns where an object goes that was asked back, None where nobody did.
AskedBack = Callable[[Message, str], "FileSink | Reply | None"]


class Storage:
    """Takes C-STORE into the spool; `rung` is called after each object.

    Parameters
    ----------
    asked_back
        Is asked first, with message and SOP Instance UID.
    may_store
        An archive that may only report and give back may not.
    """

    caller_scu, caller_scp = True, False

    def __init__(
        self,
        receiving: Receiving,
        sources: Sequence[Source],
        private_transfer_syntaxes: Sequence[str],
        rung: Callable[[], None],
        asked_back: AskedBack = lambda _message, _uid: None,
        may_store: Callable[[Peer], bool] = lambda _peer: True,
    ) -> None:
        self._receiving, self._sources, self._rung = receiving, sources, rung
        self._asked_back, self._may_store = asked_back, may_store
        order = _preference(private_transfer_syntaxes)
        self._rank = {uid: rank for rank, uid in enumerate(order)}

    def choose(self, sop_class_uid: str, offered: Sequence[str]) -> str | None:
        if not is_storage(sop_class_uid):
            return None
        known = [uid for uid in offered if uid in self._rank]
        return min(known, key=self._rank.__getitem__, default="")

    def open(self, message: Message) -> "Sink | FileSink | Reply | None":
        if command.number(message.command, command.COMMAND_FIELD) != command.C_STORE_RQ:
            return None
        uid = command.text(message.command, command.AFFECTED_SOP_INSTANCE_UID)
        if not is_uid(uid):
            return _refused(message.peer, INVALID_SOP_INSTANCE, "SOP Instance UID is not valid")
        if back := self._asked_back(message, uid):
            return back
        if not self._may_store(message.peer):
            return _refused(message.peer, NOT_AUTHORIZED, "The caller is not listed")
        arrival = self._arrival(message, uid)
        try:
            return Sink(self._receiving, arrival, self._receiving.begin(arrival), self._rung)
        except (SpoolFull, OSError, sqlite3.Error) as fault:
            return _refused(message.peer, _status_of(fault), _comment_of(fault), str(fault))

    def _arrival(self, message: Message, uid: str) -> Arrival:
        peer = message.peer
        source = source_of(self._sources, peer.calling_ae, peer.address)
        priority = Priority[source.priority.upper()] if source else Priority.NORMAL
        return Arrival(
            message.sop_class_uid,
            uid,
            message.transfer_syntax_uid,
            f"ae:{peer.calling_ae}",
            peer.address,
            priority=priority,
        )


class Sink:
    """One object on its way; what fails is told at its end, where the peer listens."""

    def __init__(
        self, receiving: Receiving, arrival: Arrival, incoming: Incoming, rung: Callable[[], None]
    ) -> None:
        self._receiving, self._arrival, self._incoming = receiving, arrival, incoming
        self._rung, self._bytes, self._fault = rung, 0, None

    _fault: Exception | None

    def write(self, piece: memoryview) -> None:
        self._bytes += len(piece)
        if self._fault:
            return
        try:
            self._incoming.write(piece)
        except (SpoolFull, OSError) as fault:
            self._fault = fault

    def finish(self) -> Reply:
        peer = Peer(self._arrival.peer_address, self._arrival.door.removeprefix("ae:"), "", "")
        if not self._bytes:
            self._incoming.drop()
            return _refused(peer, CANNOT_UNDERSTAND, "There is no data set")
        try:
            if self._fault:
                raise self._fault
            instance_id = self._receiving.keep(self._incoming, self._arrival)
        except (SpoolFull, OSError, sqlite3.Error) as fault:
            self._incoming.drop()
            return _refused(peer, _status_of(fault), _comment_of(fault), str(fault))
        logs.info(
            "receive",
            "received",
            instance=instance_id,
            uid=self._arrival.sop_instance_uid,
            door=self._arrival.door,
            bytes=self._bytes,
        )
        self._rung()
        return Reply(SUCCESS)

    def drop(self) -> None:
        self._incoming.drop()


def _refused(peer: Peer, status: int, comment: str, detail: str = "") -> Reply:
    logs.warning(
        "receive",
        "refused",
        status=f"{status:04X}",
        door=f"ae:{peer.calling_ae}",
        address=peer.address,
        reason=comment,
        detail=detail,
    )
    return Reply(status, comment)


def _status_of(fault: Exception) -> int:
    return OUT_OF_RESOURCES if isinstance(fault, SpoolFull) else PROCESSING_FAILURE


def _comment_of(fault: Exception) -> str:
    return "No room on the disk" if isinstance(fault, SpoolFull) else "The disk failed"
