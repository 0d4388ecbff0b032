"""status: what a C-STORE status means for the delivery, as data.

References: PS3.4 B.2.3 (storage), PS3.7 annex C (general); the first row that matches decides.
"""

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """What is done about an answer."""

    SENT = "sent"  #: the archive has it; a warning is recorded
    BUSY = "busy"  #: the archive as a whole cannot now: wait, by age
    REFUSED = "refused"  #: this object: held after some tries
    HELD = "held"  #: nothing we could do would change it: held at once
    OTHER_SYNTAX = "other-syntax"  #: it would be taken in another transfer syntax


@dataclass(frozen=True, slots=True)
class Row:
    first: int
    last: int
    verdict: Verdict
    meaning: str  #: the standard's word


#: PS3.4 table B.2-1 and PS3.7 C.4 to C.5.
TABLE = (
    Row(0x0000, 0x0000, Verdict.SENT, "Success"),
    Row(0x0001, 0x0001, Verdict.SENT, "Requested optional attributes are not supported"),
    Row(0x0105, 0x0106, Verdict.REFUSED, "No such attribute, or invalid attribute value"),
    Row(0x0107, 0x0107, Verdict.SENT, "Attribute list error"),
    Row(0x0110, 0x0110, Verdict.REFUSED, "Processing failure"),
    Row(0x0111, 0x0111, Verdict.SENT, "Duplicate SOP Instance"),
    Row(0x0112, 0x0115, Verdict.REFUSED, "No such SOP Instance, event type or argument"),
    Row(0x0116, 0x0116, Verdict.SENT, "Attribute value out of range"),
    Row(0x0117, 0x0117, Verdict.REFUSED, "Invalid SOP Instance"),
    Row(0x0118, 0x0121, Verdict.REFUSED, "No such SOP Class, or a missing attribute"),
    Row(0x0122, 0x0122, Verdict.REFUSED, "SOP Class not supported"),
    Row(0x0123, 0x0123, Verdict.REFUSED, "No such action type"),
    Row(0x0124, 0x0124, Verdict.REFUSED, "Not authorized"),
    Row(0x0210, 0x0212, Verdict.REFUSED, "Duplicate, unrecognized or mistyped operation"),
    Row(0x0213, 0x0213, Verdict.BUSY, "Resource limitation"),
    Row(0xA700, 0xA7FF, Verdict.BUSY, "Refused: out of resources"),
    Row(0xA900, 0xA9FF, Verdict.REFUSED, "Data Set does not match SOP Class"),
    Row(0xB000, 0xBFFF, Verdict.SENT, "Warning"),
    Row(0xC000, 0xCFFF, Verdict.REFUSED, "Cannot understand"),
    Row(0xFE00, 0xFE00, Verdict.BUSY, "Cancel"),
)

UNKNOWN = Row(0x0000, 0xFFFF, Verdict.HELD, "a status that no table has")

#: What we answer.
SUCCESS, OUT_OF_RESOURCES, PROCESSING_FAILURE = 0x0000, 0xA700, 0x0110
INVALID_SOP_INSTANCE, SOP_CLASS_NOT_SUPPORTED, UNRECOGNIZED_OPERATION = 0x0117, 0x0122, 0x0211
NOT_AUTHORIZED = 0x0124


#: More answers follow (PS3.4 C.4.1.1.4, C.4.2.1.5, C.4.3.1.4).
PENDING = (0xFF00, 0xFF01)


def is_pending(status: int) -> bool:
    """Tell whether more answers to the same question follow."""
    return status in PENDING


def row_of(status: int) -> Row:
    """Return the table's row for a status; one in no row is held."""
    return next((row for row in TABLE if row.first <= status <= row.last), UNKNOWN)
