"""failures: what a Failure Reason of storage commitment means for the delivery, as data.

References: PS3.3 C.14.1.1 (Failure Reason, (0008,1197)); PS3.4 J.3.3 (the report).
"""

import enum
from dataclasses import dataclass


class Then(enum.StrEnum):
    """What is done about an object that the archive does not commit to keep."""

    LATER = "later"  #: it could not say now: asked again
    ANEW = "anew"  #: the request was at fault: asked again at once, in a new transaction
    MISSING = "missing"  #: it does not have it: sent again
    HELD = "held"  #: what it has under this UID is another kind of object
    QUERY = "query"  #: it does not commit to such objects: it is asked by query whether it has it


@dataclass(frozen=True, slots=True)
class Row:
    then: Then
    code: str  #: stable, see gateway.reasons
    meaning: str  #: the standard's word


#: PS3.3 C.14.1.1, all of it.
TABLE = {
    0x0110: Row(Then.LATER, "commitment-0110", "Processing failure"),
    0x0112: Row(Then.MISSING, "commitment-0112", "No such object instance"),
    0x0119: Row(Then.HELD, "commitment-0119", "Class / Instance conflict"),
    0x0122: Row(Then.QUERY, "commitment-0122", "Referenced SOP Class not supported"),
    0x0131: Row(Then.ANEW, "commitment-0131", "Duplicate transaction UID"),
    0x0213: Row(Then.LATER, "commitment-0213", "Resource limitation"),
}


def row_of(reason: int) -> Row:
    """Return the table's row; of a reason that it lacks nothing is believed: a query tells."""
    known = TABLE.get(reason)
    return known or Row(Then.QUERY, "commitment-failed", f"Failure Reason {reason:04X}")
