"""service: what an association and the services answered on it agree on.

An association (accept.py, and requestor.py for what comes to who had asked) reads messages; a
service says which SOP Classes it takes and gives a sink for each data set. Neither knows the
other's inside. What no service takes is read to its end and refused: the peer hears why.

References: PS3.7 9.3, PS3.8 9.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.dicom import command, pdu
from gateway.dicom.status import SOP_CLASS_NOT_SUPPORTED, UNRECOGNIZED_OPERATION


@dataclass(frozen=True, slots=True)
class Peer:
    """Who opened the association."""

    address: str
    calling_ae: str
    called_ae: str
    implementation: str


#: Before an association request was understood.
NOBODY = Peer("", "", "", "")


@dataclass(frozen=True, slots=True)
class Message:
    """One request message, before its data set."""

    peer: Peer
    sop_class_uid: str  #: of the presentation context
    transfer_syntax_uid: str  #: as negotiated
    command: command.Command


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    comment: str = ""  #: (0000,0902), at most 64 characters, nothing of the patient


class Sink(Protocol):
    """Takes one data set. Exactly one of `finish` and `drop` is called, at its end."""

    def write(self, piece: memoryview) -> None:
        """Take some bytes; the view is good until this returns."""

    def finish(self) -> Reply:
        """Return the answer, after all that it promises is done."""
        ...

    def drop(self) -> None:
        """The data set did not come to its end."""


class Service(Protocol):
    """One DICOM service of this port."""

    #: Whether a caller that names its role may be the SCU, and the SCP (PS3.7 D.3.3.4).
    caller_scu: bool
    caller_scp: bool

    def choose(self, sop_class_uid: str, offered: Sequence[str]) -> str | None:
        """Return the transfer syntax to accept, "" for none of them, None for another's class."""
        ...

    def open(self, message: Message) -> Sink | Reply | None:
        """Return where the data set goes, or the answer to a refused one.

        None: the service has no such operation.
        """
        ...


class _Refused:
    """A sink that reads a refused data set to its end, so that the answer can be heard."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def write(self, piece: memoryview) -> None: ...

    def finish(self) -> Reply:
        return self._reply

    def drop(self) -> None: ...


_NO_OPERATION = _Refused(Reply(UNRECOGNIZED_OPERATION, "no such operation here"))


def open_sink(services: Sequence[Service], message: Message) -> Sink:
    """Return where the data set of a request goes, or what refuses it at its end."""
    request = message.command
    elements = (command.AFFECTED_SOP_CLASS_UID, command.REQUESTED_SOP_CLASS_UID)
    named = next((command.text(request, one) for one in elements if one in request), "")
    if named != message.sop_class_uid:
        comment = "SOP Class is not that of the presentation context"
        return _Refused(Reply(SOP_CLASS_NOT_SUPPORTED, comment))
    for service in services:
        if service.choose(message.sop_class_uid, [message.transfer_syntax_uid]) is not None:
            opened = service.open(message)
            return _Refused(opened) if isinstance(opened, Reply) else opened or _NO_OPERATION
    return _NO_OPERATION


def response(request: command.Command, reply: Reply) -> bytes:
    """Return the response command set (PS3.7 9.3.1.2, 9.3.5.2, 10.3.1.2)."""
    values: command.Elements = {
        command.COMMAND_FIELD: command.number(request, command.COMMAND_FIELD) | command.RESPONSE,
        command.RESPONDED_MESSAGE_ID: command.number(request, command.MESSAGE_ID),
        command.DATA_SET_TYPE: command.NO_DATA_SET,
        command.STATUS: reply.status,
    }
    for element in (command.AFFECTED_SOP_CLASS_UID, command.AFFECTED_SOP_INSTANCE_UID):
        if element in request:
            values[element] = command.text(request, element)
    if command.EVENT_TYPE_ID in request:
        values[command.EVENT_TYPE_ID] = command.number(request, command.EVENT_TYPE_ID)
    if reply.comment:
        values[command.ERROR_COMMENT] = reply.comment[:64]
    return command.encode(values)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an association must keep to."""

    may_enter: Callable[[pdu.Request], pdu.Rejection | None]
    max_pdu_bytes: int = 1 << 17
    request_s: float = 30.0
    idle_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How an association ended, for one line of the log."""

    peer: Peer
    how: str
    #: released, aborted-by-peer, closed, timeout, broken, rejected, stopped, or a code of TLS
    detail: str = ""
    messages: int = 0
