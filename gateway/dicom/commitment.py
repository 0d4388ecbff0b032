"""commitment: the messages of the Storage Commitment Push Model, and who takes the reports.

Takes      references to what an archive is asked to keep; the data sets of its reports
Gives      the data set of an N-ACTION; one `Report`, handed on before the archive hears success
Holds      nothing
Repeats    a report that was not answered with success comes again

A report is believed by its Transaction UID alone: we make it of 122 random bits, and an archive may
report from another address and under another title than it is called by. Answers to an
N-EVENT-REPORT (PS3.7 10.1.1.1.8):

0000  it is written down
0113  an event type other than 1 and 2
0115  the data set cannot be read, lacks a UID, or names a transaction that is not ours: the
      archive need not send it again
0213  it cannot be written down now: to be sent again

References: PS3.4 annex J, tables J.3-1 (action) and J.3-2 (event); PS3.7 10.1.1, 10.1.4, C.5.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.dicom import command, identifier
from gateway.dicom.identifier import Values, Written
from gateway.dicom.malformed import Malformed
from gateway.dicom.pdu import is_uid
from gateway.dicom.service import Message, Reply
from gateway.dicom.status import SUCCESS
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  #: Storage Commitment Push Model SOP Class
INSTANCE = "1.2.840.10008.1.20.1.1"  #: its one well-known instance
ACTION_REQUEST, EVENT_SUCCESS, EVENT_FAILURES = 1, 1, 2
SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

#: So many objects at most go into one request.
REFERENCES_MOST = 1000
#: A report has about 150 bytes for each object; more than this is none of ours.
REPORT_BYTES_MOST = 1 << 20

NO_SUCH_EVENT_TYPE, INVALID_ARGUMENT_VALUE, RESOURCE_LIMITATION = 0x0113, 0x0115, 0x0213
#: What is written where an archive names no reason: it failed to look (PS3.3 C.14.1.1).
PROCESSING_FAILURE = 0x0110

Reference = tuple[str, str]  #: (0008,1150), (0008,1155)


@dataclass(frozen=True, slots=True)
class Report:
    """What an archive says it keeps, and what not; an object in both counts as not kept."""

    transaction_uid: str  #: (0008,1195)
    done: tuple[Reference, ...]
    failed: tuple[tuple[str, str, int], ...]  #: with (0008,1197) Failure Reason


class CannotKeep(Exception):
    """The report cannot be written down now."""


#: Writes a report down; tells whether the transaction is ours. Raises CannotKeep.
Taken = Callable[[Report], bool]


class BadReport(Exception):
    """The data set is no report; `args[0]` says why, without any value of it."""


def request(transaction_uid: str, references: Sequence[Reference], *, explicit: bool) -> bytes:
    """Return the data set of an N-ACTION request (PS3.4 table J.3-1)."""
    if not 0 < len(references) <= REFERENCES_MOST:
        raise ValueError(f"{len(references)} objects in one transaction")
    asked: Written = {
        identifier.TRANSACTION_UID: transaction_uid,
        identifier.REFERENCED_SOP_SEQUENCE: [
            {
                identifier.REFERENCED_SOP_CLASS_UID: sop_class_uid,
                identifier.REFERENCED_SOP_INSTANCE_UID: sop_instance_uid,
            }
            for sop_class_uid, sop_instance_uid in references
        ],
    }
    return identifier.encode(asked, explicit=explicit)


def report_of(data: bytes, *, explicit: bool) -> Report:
    """Return what an N-EVENT-REPORT says; whether its event type agrees does not matter.

    Raises
    ------
    BadReport
    """
    try:
        values = identifier.decode(data, explicit=explicit)
    except Malformed as fault:
        raise BadReport(fault.what) from fault
    uid = identifier.text(values, identifier.TRANSACTION_UID)
    if not is_uid(uid):
        raise BadReport("no Transaction UID")
    failed = tuple(
        (*_reference(one), _reason(one))
        for one in identifier.items(values, identifier.FAILED_SOP_SEQUENCE)
    )
    lost = {sop_instance_uid for _, sop_instance_uid, _ in failed}
    done = [_reference(one) for one in identifier.items(values, identifier.REFERENCED_SOP_SEQUENCE)]
    if not done and not failed:
        raise BadReport("it names no object")
    return Report(uid, tuple(one for one in done if one[1] not in lost), failed)


class Reports:
    """The service that takes N-EVENT-REPORT, on whatever association it comes."""

    caller_scu, caller_scp = False, True

    def __init__(self, taken: Taken) -> None:
        self._taken = taken

    def choose(self, sop_class_uid: str, offered: Sequence[str]) -> str | None:
        if sop_class_uid != STORAGE_COMMITMENT:
            return None
        return next((one for one in SYNTAXES if one in offered), "")

    def open(self, message: Message) -> "Sink | Reply | None":
        if command.number(message.command, command.COMMAND_FIELD) != command.N_EVENT_REPORT_RQ:
            return None
        event = command.number(message.command, command.EVENT_TYPE_ID)
        if event not in (EVENT_SUCCESS, EVENT_FAILURES):
            return Reply(NO_SUCH_EVENT_TYPE, "Event Type ID is neither 1 nor 2")
        return Sink(self._taken, explicit=message.transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN)


class Sink:
    """One report on its way."""

    def __init__(self, taken: Taken, *, explicit: bool) -> None:
        self._taken, self._explicit, self._data, self._is_too_long = taken, explicit, b"", False

    def write(self, piece: memoryview) -> None:
        if len(self._data) + len(piece) > REPORT_BYTES_MOST:
            self._is_too_long, self._data = True, b""
        if not self._is_too_long:
            self._data += piece

    def finish(self) -> Reply:
        if self._is_too_long:
            return Reply(INVALID_ARGUMENT_VALUE, "The report is longer than any request was")
        try:
            known = self._taken(report_of(self._data, explicit=self._explicit))
        except BadReport as fault:
            return Reply(INVALID_ARGUMENT_VALUE, f"No report: {fault}")
        except CannotKeep:
            return Reply(RESOURCE_LIMITATION, "The report cannot be written down now")
        return Reply(SUCCESS) if known else Reply(INVALID_ARGUMENT_VALUE, "No such transaction")

    def drop(self) -> None: ...


def _reference(item: Values) -> Reference:
    sop_class_uid = identifier.text(item, identifier.REFERENCED_SOP_CLASS_UID)
    sop_instance_uid = identifier.text(item, identifier.REFERENCED_SOP_INSTANCE_UID)
    if not is_uid(sop_instance_uid):
        raise BadReport("an object without SOP Instance UID")
    return sop_class_uid, sop_instance_uid


def _reason(item: Values) -> int:
    found = identifier.number(item, identifier.FAILURE_REASON)
    return PROCESSING_FAILURE if found is None else found
