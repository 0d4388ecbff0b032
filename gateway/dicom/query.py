"""query: what an archive has, and gives back: C-FIND, C-GET and C-MOVE in the Study Root model.

Takes      keys of one level; the answers go to the caller one by one
Gives      the last answer, and how many objects were given back
Defers     AssociationFailed, also for an archive whose answers have no end or cannot be read
Holds      nothing
Bounds     `ANSWERS_MOST` answers; then the question is cancelled, and as many again are let pass

References: PS3.4 C.4.1 (C-FIND), C.4.2 (C-MOVE), C.4.3 (C-GET), C.6.2 (Study Root); PS3.7 9.1.2
to 9.1.4, 9.3.2.3 (C-CANCEL).
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.dicom import command, identifier
from gateway.dicom.dial import AssociationFailed
from gateway.dicom.identifier import Values, Written
from gateway.dicom.malformed import Malformed
from gateway.dicom.requestor import Outcome, Pair, Requestor, Response
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2."
FIND, MOVE, GET = _STUDY_ROOT + "1", _STUDY_ROOT + "2", _STUDY_ROOT + "3"
SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

#: More is never asked for at once; an archive that goes on does not look at the keys.
ANSWERS_MOST = 2000


#: Gets each match, and says whether more are wanted.
Enough = Callable[[Values], bool]


@dataclass(frozen=True, slots=True)
class Retrieved(Outcome):
    """The last answer to a C-GET or C-MOVE; an archive may leave the counts out."""

    completed: int = 0  #: sub-operations, those with a warning included
    failed: int = 0


def find(
    archive: Requestor,
    pair: Pair,
    keys: Written,
    enough: Enough,
    within_s: float,
) -> Outcome:
    """Return the last answer; the matches go to `enough`."""
    asked: command.Elements = {
        command.AFFECTED_SOP_CLASS_UID: pair[0],
        command.COMMAND_FIELD: command.C_FIND_RQ,
        command.PRIORITY: 0,
    }
    explicit, is_enough, is_cancelled = _is_explicit(pair), False, False
    data = identifier.encode(keys, explicit=explicit)
    last = Response(0)
    for count, last in enumerate(archive.ask(pair, asked, data, within_s)):
        if not last.is_pending:
            break
        if count > 2 * ANSWERS_MOST:
            raise AssociationFailed("protocol", "answers without end")
        if is_enough and not is_cancelled:  # only now: it may have been the last match
            archive.cancel(pair)
            is_cancelled = True
        is_enough = is_enough or enough(_match(last, explicit=explicit)) or count >= ANSWERS_MOST
    return last


def retrieve(
    archive: Requestor, pair: Pair, keys: Written, within_s: float, destination: str = ""
) -> Retrieved:
    """Return the last answer to a C-GET, or with a `destination`, an AE title, to a C-MOVE."""
    asked: command.Elements = {
        command.AFFECTED_SOP_CLASS_UID: pair[0],
        command.COMMAND_FIELD: command.C_MOVE_RQ if destination else command.C_GET_RQ,
        command.PRIORITY: 0,
    }
    if destination:
        asked[command.MOVE_DESTINATION] = destination
    data = identifier.encode(keys, explicit=_is_explicit(pair))
    completed = failed = 0
    last = Response(0)
    for count, last in enumerate(archive.ask(pair, asked, data, within_s)):
        if count > ANSWERS_MOST:
            raise AssociationFailed("protocol", "answers without end")
        # Some leave the counts out of the last answer (PS3.7 9.3.3.2 demands them): the most count.
        done = _count(last, command.COMPLETED_SUBOPERATIONS)
        completed = max(completed, done + _count(last, command.WARNING_SUBOPERATIONS))
        failed = max(failed, _count(last, command.FAILED_SUBOPERATIONS))
    return Retrieved(last.status, last.comment, completed, failed)


def _is_explicit(pair: Pair) -> bool:
    return pair[1] != IMPLICIT_VR_LITTLE_ENDIAN


def _match(answer: Response, *, explicit: bool) -> Values:
    try:
        return identifier.decode(answer.data, explicit=explicit)
    except Malformed as fault:
        raise AssociationFailed("protocol", f"a match that cannot be read: {fault.what}") from fault


def _count(answer: Response, element: int) -> int:
    return command.number_or_zero(answer.said, element)
