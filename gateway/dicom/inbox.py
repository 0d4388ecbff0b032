"""inbox: the messages that come to who opened an association, fragment by fragment.

Takes      a wire
Gives      command sets whole; data sets piece by piece, each good until the next is asked for
Defers     AssociationFailed: the peer ended the association; Broken: it broke the protocol
Bounds     a command set, a PDU; a data set is bounded by who takes it

References: PS3.8 9.3.5 (P-DATA), 9.3.7 (release), 9.3.8 (abort), E.2; PS3.7 6.3.1.
"""

import struct
from collections.abc import Iterator

from gateway.dicom import command, pdu
from gateway.dicom.dial import AssociationFailed
from gateway.dicom.pdu import Broken
from gateway.dicom.wire import Wire

#: What we let a peer send us in one PDU.
PDU_BYTES_MOST = 1 << 17


class Inbox:
    """Reads one message after another. Never asked for another while a data set has not ended."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._left = wire, 0

    def has_news(self) -> bool:
        """Tell whether something came, be it the end, without waiting."""
        return self._left > 0 or self._wire.has_news()

    def command(self) -> tuple[int, command.Command]:
        """Return context id and command set of the next message; wait for it."""
        whole, number = bytearray(), 0
        while True:
            context, control, size = self._head()
            if not control & pdu.COMMAND or (whole and context != number):
                raise Broken(pdu.UNEXPECTED, "a data set without its command")
            if len(whole) + size > command.COMMAND_BYTES_MOST:
                raise Broken(pdu.INVALID_VALUE, "a command set without an end")
            whole += self._wire.exactly(size)
            number = context
            if control & pdu.LAST:
                return number, command.decode(bytes(whole))

    def data_set(self, number: int) -> Iterator[memoryview]:
        """Give the data set of the message whose command came on this context, in pieces."""
        while True:
            context, control, size = self._head()
            if control & pdu.COMMAND or context != number:
                raise Broken(pdu.UNEXPECTED, "a message inside a data set")
            while size:
                piece = self._wire.some(size)
                size -= len(piece)
                yield piece
            if control & pdu.LAST:
                return

    def _head(self) -> tuple[int, int, int]:
        """Return context id, control header and size of the next fragment (PS3.8 9.3.5.1)."""
        while not self._left:
            self._left = self._p_data()
        if self._left < 6:
            raise Broken(pdu.INVALID_VALUE, "a presentation data value is cut short")
        size, context, control = struct.unpack(">IBB", self._wire.exactly(6))
        if size < 2 or size + 4 > self._left:
            raise Broken(pdu.INVALID_VALUE, "a presentation data value longer than its PDU")
        self._left -= size + 4
        return context, control, size - 2

    def _p_data(self) -> int:
        """Return the length of the next P-DATA PDU; whatever ends the association is raised."""
        kind, length = self._wire.head()
        if kind == pdu.P_DATA and length <= PDU_BYTES_MOST:
            return length
        if kind == pdu.ABORT and length == 4:
            _, _, source, reason = self._wire.exactly(4)
            raise AssociationFailed("aborted", f"source {source} reason {reason}")
        if kind == pdu.RELEASE_RQ:
            self._wire.send(pdu.RELEASE_RP, bytes(4))
            raise AssociationFailed("closed", "the peer released before it answered")
        raise Broken(pdu.UNEXPECTED, f"PDU type {kind} of {length} bytes instead of an answer")
