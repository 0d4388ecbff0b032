"""dicom_services: what is proposed to an archive that is asked, and what its statuses mean.

Takes      UIDs of what was sent; last answers
Gives      presentation contexts, identifiers; nothing where a status is a success
Defers     ArchiveAway `busy`: it may do it later
Holds      nothing: NotAnswered says what it does not do, with its status

References: PS3.4 C.4.1.1.4, C.4.2.1.5, C.4.3.1.4 and PS3.7 annex C (statuses); PS3.4 C.6.2.1 (keys
of the Study Root model).
"""

from collections.abc import Sequence

from gateway.destinations.archive import ArchiveAway, NotAnswered, Sought
from gateway.destinations.comments import shown
from gateway.dicom import identifier, query
from gateway.dicom.commitment import STORAGE_COMMITMENT
from gateway.dicom.identifier import Written
from gateway.dicom.requestor import Outcome, Pair, Requestor
from gateway.dicom.status import Verdict, row_of

#: What is proposed in one association; the first of each service that is accepted serves.
ASKED: tuple[Pair, ...] = tuple(
    (one, syntax)
    for one in (query.FIND, query.MOVE, STORAGE_COMMITMENT)
    for syntax in query.SYNTAXES
)

#: Processing failure, resource limitation, out of resources.
LATER = (0x0110, 0x0213, 0xA700)


def accepted(archive: Requestor, service: str) -> Pair | None:
    """Return the context for a service, None where the archive does not offer it."""
    return next((pair for pair in archive.contexts if pair[0] == service), None)


def check(last: Outcome, code: str, later: Sequence[int] = LATER) -> None:
    """Return where the status is a success; say what it is otherwise.

    Raises
    ------
    ArchiveAway
        `busy`: the status is one of `later`.
    NotAnswered
        `code`, with the status.
    """
    if row_of(last.status).verdict is Verdict.SENT:
        return
    detail = f"{last.status:04X}{shown(last.comment)}"
    if last.status in later:
        raise ArchiveAway("busy", detail)
    raise NotAnswered(code, detail)


def keys(group: Sequence[Sought]) -> Written:
    """Return the identifier for these objects, all of one series."""
    return {
        identifier.QUERY_RETRIEVE_LEVEL: "IMAGE",
        identifier.STUDY_INSTANCE_UID: group[0].study_instance_uid,
        identifier.SERIES_INSTANCE_UID: group[0].series_instance_uid,
        identifier.SOP_INSTANCE_UID: "\\".join(one.sop_instance_uid for one in group),
    }
