"""qido: what a DICOMweb archive says it has, and whether it is there at all.

Takes      the UIDs of objects, as they were sent
Gives      those of them that the archive lists
Defers     ArchiveAway: busy, broken, or not a DICOMweb archive that speaks
Holds      NotAnswered: it is there and answers no queries

An object counts as found only when its own SOP Instance UID stands in an answer: some archives
ignore a filter, a limit or an offset. No field is asked for: that UID is in every answer (PS3.18
table 10.6.3-5), and some archives refuse to be asked for one.

References: PS3.18 10.6 (search transaction), 8.3.4 (paging).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote

from gateway.destinations.answer_body import DataSet, data_sets, uid
from gateway.destinations.archive import ArchiveAway, NotAnswered, Sought
from gateway.destinations.http import HttpClient
from gateway.destinations.http_answer import HttpAnswer, TooLong

#: More in one series are listed page by page instead of asked for one by one.
SINGLY_MOST = 3
PAGE_COUNT = 100
#: A hundred objects of some kilobytes each, should an archive list all that it knows.
PAGE_BYTES_MOST = 4 << 20
#: No archive has more in a series; one that turns in circles ends here.
PAGES_MOST = 1_000
#: The nil UUID as a UID (PS3.5 B.2): no study has it.
NO_STUDY = "2.25.0"

_JSON = {"Accept": "application/dicom+json"}
_SOP_INSTANCE_UID, _INSTANCE_AVAILABILITY = "00080018", "00080056"
#: PS3.3 C.4.23.1.1: it knows of the object, and cannot give it: that is not having it.
UNAVAILABLE = "UNAVAILABLE"
#: Statuses that say nothing about the question: the archive cannot answer now.
_AWAY = {408, 425, 429, *range(500, 600)} - {501, 505}
#: Those that whatever is asked next would meet as well.
_WHOLE = {429, 502, 503, 504, 511}
#: Those that are about who we are.
_UNWELCOME = {401, 403, 407}


def find(client: HttpClient, sought: Sequence[Sought]) -> frozenset[str]:
    """Return the SOP Instance UIDs, of those sought, that the archive lists."""
    series: dict[str, set[str]] = defaultdict(set)
    for one in sought:
        series[_path(one)].add(one.sop_instance_uid)
    found: set[str] = set()
    for path, uids in series.items():
        found |= _of_series(client, path, uids)
    return frozenset(found)


def probe(client: HttpClient) -> None:
    """Return when a DICOMweb service can be reached; it need not allow queries.

    Raises
    ------
    ArchiveAway
    NotAnswered
        It does not take our credentials, at least not for a query.
    """
    status, is_dicom, fault = _asked("GET", client)
    if status == 500:
        # Some fail at every query and store all the same.
        status, _, fault = _asked("OPTIONS", client)
        is_dicom = True
    if status in _AWAY:
        raise fault
    if 200 <= status <= 299 and not is_dicom:
        raise ArchiveAway("not-dicomweb", f"HTTP {status}", whole=True)
    if status in _UNWELCOME:
        raise NotAnswered(f"http-{status}")


def is_well(client: HttpClient) -> bool:
    """Tell whether the archive answers a query, so that a refusal was about what was refused.

    One that allows no queries cannot be told from a well one.
    """
    try:
        status, is_dicom, _ = _asked("GET", client)
    except ArchiveAway:
        return False
    if 200 <= status <= 299:
        return is_dicom
    return status not in {*_AWAY, *_UNWELCOME} and status >= 400


def has_queries(client: HttpClient) -> bool:
    """Tell whether the archive answers queries: 404 may mean no such series, or no such service."""
    status, is_dicom, fault = _asked("GET", client)
    if status in _AWAY:
        raise fault
    return 200 <= status <= 299 and is_dicom


def refuse_interim(answer: HttpAnswer) -> None:
    """Raise ArchiveAway for an interim answer: the real one comes after it, and must not be read as
    the answer to the next question (RFC 9110 15.2)."""
    if answer.status < 200:
        raise ArchiveAway("not-http", f"HTTP {answer.status}")


def away(answer: HttpAnswer) -> ArchiveAway | None:
    """Return what an answer says about the archive as such; None where it is about the question."""
    refuse_interim(answer)
    if answer.status not in _AWAY:
        return None
    is_whole = answer.status in _WHOLE
    code = f"http-{answer.status}"
    return ArchiveAway(code, whole=is_whole, retry_after_s=answer.retry_after_s)


def _path(one: Sought) -> str:
    if not (one.study_instance_uid and one.series_instance_uid):
        return "instances"
    study, series = quote(one.study_instance_uid, ""), quote(one.series_instance_uid, "")
    return f"studies/{study}/series/{series}/instances"


def _of_series(client: HttpClient, path: str, uids: set[str]) -> set[str]:
    if len(uids) > SINGLY_MOST and path != "instances":
        with suppress(TooLong):  # a large series, and an archive that knows no pages
            return _listed(client, path, uids, ())
    found: set[str] = set()
    for one in sorted(uids):
        try:
            found |= _listed(client, path, {one}, (("SOPInstanceUID", one),))
        except TooLong as fault:
            raise NotAnswered("queries-refused", "the answer has no end") from fault
    return found


def _listed(
    client: HttpClient, path: str, uids: set[str], wanted: tuple[tuple[str, str], ...]
) -> set[str]:
    """Return those of `uids` that the archive lists under `path`."""
    found: set[str] = set()
    for page in _pages(client, path, wanted):
        found |= page & uids
        if found == uids:
            break
    return found


def _pages(
    client: HttpClient, path: str, wanted: tuple[tuple[str, str], ...]
) -> Iterator[set[str]]:
    """Yield the UIDs of each page, until one brings nothing new."""
    seen, offset = set[str](), 0
    for _ in range(PAGES_MOST):
        paging = [("limit", str(PAGE_COUNT))]
        if offset:
            paging.append(("offset", str(offset)))
        listed = _search(client, path, [*wanted, *paging])
        page = {uid(one, _SOP_INSTANCE_UID) for one in listed}
        if page <= seen:
            return
        yield {
            uid(one, _SOP_INSTANCE_UID)
            for one in listed
            if uid(one, _INSTANCE_AVAILABILITY) != UNAVAILABLE
        }
        seen |= page
        offset += len(listed)


def _search(client: HttpClient, path: str, query: Sequence[tuple[str, str]]) -> list[DataSet]:
    try:
        answer = client.request("GET", path, headers=_JSON, query=query)
    except ValueError as fault:
        raise NotAnswered("queries-refused", "a UID that no address can hold") from fault
    with answer:
        if broken := away(answer):
            raise broken
        if answer.status in (404, 410):
            if has_queries(client):
                return []
            raise NotAnswered("queries-refused", f"HTTP {answer.status}")
        if not 200 <= answer.status <= 299:
            raise NotAnswered("queries-refused", f"HTTP {answer.status}")
        return _results(answer)


def _results(answer: HttpAnswer) -> list[DataSet]:
    body = answer.read(PAGE_BYTES_MOST)
    if not body.strip():
        return []
    found = data_sets(body)
    if found is None:
        detail = f"HTTP {answer.status} {answer.content_type[:60]}"
        raise ArchiveAway("not-dicomweb", detail, whole=True)
    return found


def _asked(method: str, client: HttpClient) -> tuple[int, bool, ArchiveAway]:
    """Return status and whether the body is a DICOM one, or none, of a question about nothing."""
    query = (("StudyInstanceUID", NO_STUDY), ("limit", "1"))
    with client.request(method, "studies", headers=_JSON, query=query) as answer:
        refuse_interim(answer)
        try:
            body = answer.read(PAGE_BYTES_MOST)
        except TooLong:
            body = b"?"
        is_dicom = not body.strip() or data_sets(body) is not None
        code = f"http-{answer.status}"
        fault = ArchiveAway(code, whole=True, retry_after_s=answer.retry_after_s)
        return answer.status, is_dicom, fault
