"""committing_archive: a scripted archive that is asked what it has, and says what it is told to.

Takes      C-STORE, C-FIND at instance level, N-ACTION of the Storage Commitment Push Model
Gives      what its `plan` says at each N-ACTION: an answer, a report on the same association, or on
           a new one to our port, before or after, twice, or never

References: PS3.4 annex J (storage commitment), C.4.1 (C-FIND); PS3.7 10.1.1, 10.1.4, D.3.3.4.
"""

import socket
import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom import Dataset
from pydicom.filereader import read_dataset

from tests.fakes import upper_layer as ul
from tests.fakes.data_sets import EXPLICIT, IMPLICIT, Form, Value, encoded, us
from tests.fakes.data_sets import Sequence as Items
from tests.fakes.scripted_archive import ScriptedArchive, _Association

PUSH_MODEL, PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
C_FIND, N_EVENT_REPORT, N_ACTION = 0x0020, 0x0100, 0x0130
PENDING, NO_SUCH_OBJECT = 0xFF00, 0x0112

Pair = tuple[str, str]  #: SOP class, SOP instance


@dataclass(frozen=True)
class Asked:
    """One N-ACTION that came, and the way to answer it."""

    transaction_uid: str
    pairs: tuple[Pair, ...]
    answer: Callable[[int], None]  #: sends the N-ACTION response with a status
    report: Callable[[Sequence[Pair], Sequence[tuple[str, str, int]]], int]
    #: reports on this association; gives the status that it was answered with


def commit_all(asked: Asked) -> None:
    """Take the request, and report at once that all is kept."""
    asked.answer(0)
    asked.report(asked.pairs, ())


class CommittingArchive(ScriptedArchive):
    """Listens from construction to `close`."""

    serves = ("",)

    def __init__(self, syntaxes: Collection[str] | None = None, port: int = 0) -> None:
        self.plan: Callable[[Asked], None] = commit_all
        self.asked: list[Asked] = []
        self.hidden: set[str] = set()  #: what it took and does not show
        self.drops = False  #: it takes everything and shows nothing
        self.find_status = 0  #: of each C-FIND; anything but 0 refuses it
        self.no_contexts: set[str] = set()  #: abstract syntaxes that it does not accept
        self.finds = 0
        super().__init__(syntaxes, port)

    def shows(self, uid: str) -> bool:
        has = any(one.sop_instance_uid == uid for one in self.took)
        return has and not self.drops and uid not in self.hidden

    def _answer(self, association: _Association, value: bytes) -> bytes:
        answer = super()._answer(association, value)
        if value[0] in association.contexts:
            abstract, syntax = association.contexts[value[0]]
            if abstract in self.no_contexts:
                del association.contexts[value[0]]
                refused = bytes([value[0], 0, 3, 0])
                return ul.item(0x21, refused + ul.item(0x40, syntax.encode()))
        return answer

    def _alone(self, association: _Association, context: int) -> None:
        if not _number(association.request[0x100]) & ul.RESPONSE:
            super()._alone(association, context)

    def _whole(self, association: _Association, context: int) -> None:
        kind = _number(association.request[0x100])
        if kind == N_ACTION:
            self._commit(association, context)
        elif kind == C_FIND:
            self._find(association, context)
        else:
            super()._whole(association, context)

    def _commit(self, association: _Association, context: int) -> None:
        asked_for = _decoded(association, context)
        form, message_id = _form(association, context), _number(association.request[0x110])
        pairs = tuple(
            (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID))
            for one in asked_for.ReferencedSOPSequence
        )
        uid, peer = str(asked_for.TransactionUID), association.peer

        def answer(status: int) -> None:
            body: dict[int, int | str] = {2: PUSH_MODEL, 0x100: N_ACTION | ul.RESPONSE}
            body |= {0x120: message_id, 0x800: ul.NO_DATA_SET, 0x900: status}
            body |= {0x1000: PUSH_INSTANCE, 0x1008: 1}
            peer.sendall(ul.p_data(context, ul.COMMAND | ul.LAST, ul.command(body)))

        def report(done: Sequence[Pair], failed: Sequence[tuple[str, str, int]]) -> int:
            return send_report(peer, context, form, uid, done, failed)

        one = Asked(uid, pairs, answer, report)
        with self._heard:
            self.asked.append(one)
            self._heard.notify_all()
        self.plan(one)

    def _find(self, association: _Association, context: int) -> None:
        self.finds += 1
        wanted, form = _decoded(association, context), _form(association, context)
        uids = wanted.SOPInstanceUID
        uids = [uids] if isinstance(uids, str) else list(uids)
        for uid in uids if not self.find_status else ():
            if self.shows(str(uid)):
                self._say(association, context, PENDING, _uid_set(str(uid), form))
        self._say(association, context, self.find_status, b"")

    def _say(self, association: _Association, context: int, status: int, data: bytes) -> None:
        request = association.request
        body: dict[int, int | str] = {
            2: request[2].rstrip(b"\0").decode(),
            0x100: C_FIND | ul.RESPONSE,
            0x120: _number(request[0x110]),
            0x800: 1 if data else ul.NO_DATA_SET,
            0x900: status,
        }
        association.peer.sendall(ul.p_data(context, ul.COMMAND | ul.LAST, ul.command(body)))
        if data:
            association.peer.sendall(ul.p_data(context, ul.LAST, data))


def send_report(
    peer: socket.socket,
    context: int,
    form: Form,
    transaction_uid: str,
    done: Sequence[Pair],
    failed: Sequence[tuple[str, str, int]],
) -> int:
    """Report on an open association; return the status of the answer."""
    body: dict[int, int | str] = {2: PUSH_MODEL, 0x100: N_EVENT_REPORT, 0x110: 7, 0x800: 1}
    body |= {0x1000: PUSH_INSTANCE, 0x1002: 2 if failed else 1}
    peer.sendall(ul.p_data(context, ul.COMMAND | ul.LAST, ul.command(body)))
    for part in ul.fragments(context, report_of(transaction_uid, done, failed, form)):
        peer.sendall(part)
    kind, answer = ul.read_pdu(peer)
    if kind != ul.DATA:
        raise ConnectionError(f"PDU type {kind} instead of an answer")
    values = ul.command_of(answer[6:])
    assert _number(values[0x100]) == N_EVENT_REPORT | ul.RESPONSE
    return _number(values[0x900])


def report_of(
    transaction_uid: str,
    done: Sequence[Pair],
    failed: Sequence[tuple[str, str, int]],
    form: Form,
) -> bytes:
    """Return the data set of a report (PS3.4 table J.3-2)."""
    nodes: list[Value | Items] = [_uid(0x00081195, transaction_uid)]
    if failed:
        items = tuple((*_pair(pair, uid), us(0x00081197, why)) for pair, uid, why in failed)
        nodes.append(Items(0x00081198, tuple(map(_sorted, items)), undefined=False))
    if done:
        nodes.append(Items(0x00081199, tuple(_pair(*one) for one in done), undefined=False))
    return encoded(tuple(nodes), form)


def report_to(
    port: int,
    transaction_uid: str,
    done: Sequence[Pair] = (),
    failed: Sequence[tuple[str, str, int]] = (),
    *,
    roles: bool = True,
    calling: bytes = b"ARCHIVE",
    called: bytes = b"EDGE",
) -> int:
    """Report on a new association to our port, as the archives do; return the status.

    `roles`: propose to be the SCP (PS3.7 D.3.3.4); some archives forget it.
    """
    with socket.create_connection(("127.0.0.1", port), 20) as peer:
        peer.sendall(_request(roles=roles, calling=calling, called=called))
        kind, _ = ul.read_pdu(peer)
        if kind != ul.ACCEPT:
            raise ConnectionError(f"PDU type {kind} instead of an acceptance")
        status = send_report(peer, 1, EXPLICIT, transaction_uid, done, failed)
        peer.sendall(ul.pdu(ul.RELEASE, bytes(4)))
        ul.read_pdu(peer)
        return status


def _request(*, roles: bool, calling: bytes, called: bytes) -> bytes:
    uid = PUSH_MODEL.encode()
    role = ul.item(0x54, struct.pack(">H", len(uid)) + uid + bytes([0, 1])) if roles else b""
    own = ul.item(0x51, struct.pack(">I", 16_384)) + ul.item(0x52, b"2.25.1") + role
    syntaxes = ul.item(0x40, ul.EXPLICIT.encode())
    context = ul.item(0x20, bytes([1, 0, 0, 0]) + ul.item(0x30, uid) + syntaxes)
    body = ul.item(0x10, b"1.2.840.10008.3.1.1.1") + context + ul.item(0x50, own)
    return ul.pdu(ul.REQUEST, ul.titled(body, calling, called))


def _decoded(association: _Association, context: int) -> Dataset:
    form = _form(association, context)
    return read_dataset(BytesIO(bytes(association.data)), not form.explicit, True)


def _form(association: _Association, context: int) -> Form:
    return IMPLICIT if association.contexts[context][1] == ul.IMPLICIT else EXPLICIT


def _uid_set(uid: str, form: Form) -> bytes:
    level = Value(0x00080052, "CS", b"IMAGE ")
    return encoded((_uid(0x00080018, uid), level), form)


def _pair(sop_class_uid: str, sop_instance_uid: str) -> tuple[Value, ...]:
    return _uid(0x00081150, sop_class_uid), _uid(0x00081155, sop_instance_uid)


def _sorted(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(sorted(values, key=lambda one: one.tag))


def _uid(tag: int, uid: str) -> Value:
    return Value(tag, "UI", uid.encode() + bytes(len(uid) % 2))


def _number(raw: bytes) -> int:
    return int(struct.unpack("<H", raw)[0])
