"""service: what an association and the services answered on it agree on.

An association (accept.py) reads messages; a service says which SOP Classes it takes and
gives a sink for each data set. Neither knows the other's inside.

References: PS3.7 9.3, PS3.8 9.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.dicom import command, pdu


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

    def choose(self, sop_class_uid: str, offered: Sequence[str]) -> str | None:
        """Return the transfer syntax to accept, "" for none of them, None for another's class."""
        ...

    def open(self, message: Message) -> Sink | Reply | None:
        """Return where the data set goes, or the answer to a refused one.

        None: the service has no such operation.
        """
        ...


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
    how: str  #: released, aborted-by-peer, closed, timeout, broken, rejected, stopped
    detail: str = ""
    messages: int = 0
