"""dicom_questions: what a DICOM archive has, by C-FIND, and what it commits to keep.

Takes      the UIDs of what was sent
Gives      those that it names; that it took a commitment request; one object (`dicom_retrieval`)
Defers     ArchiveAway, also where it has no resources now
Holds      nothing: NotAnswered says what it does not do, with its status
Repeats    each question may be asked again

Whoever `ask_host`, `ask_port` and `ask_ae_title` name is asked; the archive itself by default.

C-FIND asks for a list of UIDs. What a list does not bring is asked for alone: some archives take a
list for one UID, and one that finds less than there is would have it sent again.

A report on commitment may come before the answer to the request, on the same association later, or
on one that the archive opens to our port; the first two are heard here.

References: PS3.4 C.2.2.2.2 (list of UID), C.4.1 (C-FIND), annex J; PS3.3 C.4.23.1.1.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from gateway.config.model import Destination
from gateway.destinations.archive import NotAnswered, ReadBack, Sought
from gateway.destinations.association import Kept, ask_called
from gateway.destinations.dicom_retrieval import Retrieval
from gateway.destinations.dicom_services import ASKED, accepted, check, keys
from gateway.dicom import command, commitment, identifier, query
from gateway.dicom.commitment import STORAGE_COMMITMENT
from gateway.dicom.identifier import Values
from gateway.dicom.landing import Landing
from gateway.dicom.requestor import Outcome, Requestor
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from gateway.reports import reports
from spool.store import Spool

#: A query is answered by then, however often the archive says that more is to come.
FIND_MOST_S = 300.0
#: So many UIDs go into one query: with 64 characters each the value stays far below 64 KiB.
LIST_MOST = 100
#: For a report the association is kept open so long after the request.
REPORT_S = 30.0

_UNAVAILABLE = "UNAVAILABLE"  #: (0008,0056): it cannot be had any more


class Questions:
    """Asks one archive; used by one thread, except for `interrupt`."""

    def __init__(self, destination: Destination, calling_ae: str, spool: Spool | None) -> None:
        called, idle_s = ask_called(destination, calling_ae, spool), destination.association_idle_s
        name, landing = destination.name, Landing()
        services = [reports(spool, f"confirm@{name}", [name])] if spool else []
        kept_s = max(idle_s, REPORT_S) if destination.confirm == "commitment" else idle_s
        self._asks = Kept(called, kept_s, services=services)
        self._gets = Kept(called, idle_s, services=[landing])
        self._retrieval = Retrieval(
            self._asks,
            self._gets,
            landing,
            spool.readbacks if spool else None,
            name=name,
            title=called.calling_ae,
            retrieve=destination.retrieve,
            has=lambda sought: bool(self.find([sought])),
        )

    def find(self, sought: Sequence[Sought]) -> frozenset[str]:
        """As `Archive.find`."""
        found: set[str] = set()
        for group in _together(sought):
            found |= self._find(group)
            if len(group) > 1:
                for one in group:
                    if one.sop_instance_uid not in found:
                        found |= self._find([one])
        return frozenset(found)

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        """As `Archive.read_back`."""
        return self._retrieval.read_back(sought, folder)

    def commit(self, transaction_uid: str, sought: Sequence[Sought]) -> None:
        """As `Commits.commit`."""
        references = [(one.sop_class_uid, one.sop_instance_uid) for one in sought]
        pair = (STORAGE_COMMITMENT, EXPLICIT_VR_LITTLE_ENDIAN)
        with self._asks.use(pair, lambda: ASKED) as archive:
            last = _request(archive, transaction_uid, references)
        if last is None:
            raise NotAnswered("commitment-refused", "Storage Commitment was not accepted")
        check(last, "commitment-refused")

    def hear(self) -> None:
        """Take what the archive has reported on its own."""
        self._asks.hear()

    def idle_left_s(self) -> float | None:
        left = [self._asks.idle_left_s(), self._gets.idle_left_s()]
        return max((one for one in left if one is not None), default=None)

    def release(self) -> None:
        self._asks.release()
        self._gets.release()

    def interrupt(self) -> None:
        self._asks.interrupt()
        self._gets.interrupt()

    def _find(self, group: Sequence[Sought]) -> set[str]:
        """Ask for objects of one series."""
        wanted = {one.sop_instance_uid for one in group}
        found: set[str] = set()

        def enough(match: Values) -> bool:
            uid = identifier.text(match, identifier.SOP_INSTANCE_UID)
            there = identifier.text(match, identifier.INSTANCE_AVAILABILITY) != _UNAVAILABLE
            if uid in wanted and there:
                found.add(uid)
            return found == wanted

        last = None
        with self._asks.use(ASKED[0], lambda: ASKED) as archive:
            if pair := accepted(archive, query.FIND):
                last = query.find(archive, pair, keys(group), enough, FIND_MOST_S)
        if last is None:
            raise NotAnswered("queries-refused", "Study Root FIND was not accepted")
        if found != wanted:
            check(last, "queries-refused")
        return found


def _request(
    archive: Requestor, transaction_uid: str, references: Sequence[commitment.Reference]
) -> Outcome | None:
    """Return the answer to the N-ACTION; None where the archive does not offer the service."""
    pair = accepted(archive, STORAGE_COMMITMENT)
    if pair is None:
        return None
    is_explicit = pair[1] == EXPLICIT_VR_LITTLE_ENDIAN
    data = commitment.request(transaction_uid, references, explicit=is_explicit)
    asked: command.Elements = {
        command.REQUESTED_SOP_CLASS_UID: STORAGE_COMMITMENT,
        command.COMMAND_FIELD: command.N_ACTION_RQ,
        command.REQUESTED_SOP_INSTANCE_UID: commitment.INSTANCE,
        command.ACTION_TYPE_ID: commitment.ACTION_REQUEST,
    }
    return next(archive.ask(pair, asked, data))


def _together(sought: Sequence[Sought]) -> Iterator[list[Sought]]:
    """Give the objects of each series, `LIST_MOST` at once: the keys above must have one value."""
    for _, group in groupby(sorted(sought, key=_series_of), _series_of):
        members = list(group)
        for at in range(0, len(members), LIST_MOST):
            yield members[at : at + LIST_MOST]


def _series_of(one: Sought) -> tuple[str, str]:
    return one.study_instance_uid, one.series_instance_uid
