"""DicomArchive: what an archive answers becomes a verdict, and no answer more than it says."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.config.model import Destination
from gateway.destinations.archive import ArchiveAway, Commits, NotAnswered, Sought
from gateway.destinations.dicom import DicomArchive
from gateway.destinations.kinds import archive_of
from gateway.dicom import query
from gateway.dicom.status import Verdict
from spool.model import Rendition
from spool.store import Spool
from tests.fakes.objects import small
from tests.fakes.odd_archive import OddArchive
from tests.fakes.scripted_archive import Fault
from tests.fakes.spools import arrival, arrive, claimed_delivery, make_ready, opened
from tests.fakes.upper_layer import EXPLICIT, IMPLICIT, US_IMAGE

UIDS = [f"1.2.826.0.1.{number}" for number in range(1, 6)]


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return opened(tmp_path)


@pytest.fixture
def odd() -> Iterator[OddArchive]:
    one = OddArchive()
    yield one
    one.close()


@pytest.fixture
def make(odd: OddArchive, spool: Spool) -> Iterator[Callable[..., DicomArchive]]:
    made: list[DicomArchive] = []
    here = Destination(name="a", host="127.0.0.1", port=odd.port, ae_title="ARCHIVE", answer_s=5)

    def build(**keys: object) -> DicomArchive:
        made.append(DicomArchive(replace(here, **keys), "EDGE", spool))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for one in made:
        one.release()


def sought(*uids: str) -> list[Sought]:
    return [Sought(US_IMAGE, uid, "1.2", "1.3", EXPLICIT) for uid in uids]


def rendition(spool: Spool, data: bytes = b"") -> Rendition:
    arrive(spool, data or small(UIDS[0]), arrival(UIDS[0]))
    make_ready(spool, ["a"])
    return claimed_delivery(spool, "a").rendition


# ---- C-STORE
@pytest.mark.parametrize(
    ("status", "verdict", "code"),
    [
        (0, Verdict.SENT, ""),
        (0xB000, Verdict.SENT, "status-B000"),
        (0xA700, Verdict.BUSY, "status-A700"),
        (0xA900, Verdict.REFUSED, "status-A900"),
        (0xFF00, Verdict.HELD, "status-FF00"),
    ],
)
def test_a_status_is_a_verdict_with_its_code(
    make: Callable[..., DicomArchive],
    odd: OddArchive,
    spool: Spool,
    status: int,
    verdict: Verdict,
    code: str,
) -> None:
    odd.standing = status
    (answer,) = make().send([rendition(spool)], lambda: ())
    assert (answer.verdict, answer.code) == (verdict, code)


def test_what_is_not_accepted_is_told_with_what_would_be(
    make: Callable[..., DicomArchive], odd: OddArchive, spool: Spool
) -> None:
    odd._syntaxes = {IMPLICIT}
    (answer,) = make().send([rendition(spool)], lambda: ())
    assert (answer.verdict, answer.accepted) == (Verdict.OTHER_SYNTAX, frozenset({IMPLICIT}))
    assert not odd.took


@pytest.mark.parametrize(
    ("fault", "code", "whole"),
    [
        (Fault.ABORT_AFTER, "aborted", False),
        (Fault.HANG, "timeout", True),
        (Fault.REJECT, "rejected", True),
    ],
)
def test_a_fault_says_whether_the_archive_as_a_whole_is_away(
    make: Callable[..., DicomArchive],
    odd: OddArchive,
    spool: Spool,
    fault: Fault,
    code: str,
    *,
    whole: bool,
) -> None:
    odd.standing = fault
    with pytest.raises(ArchiveAway) as away:
        make(answer_s=1).send([rendition(spool)], lambda: ())
    assert (away.value.code, away.value.whole) == (code, whole)
    odd.standing = 0
    (answer,) = make().send([rendition(spool)], lambda: ())
    assert answer.verdict is Verdict.SENT


def test_one_association_serves_many_and_no_pdu_is_larger_than_wanted(
    make: Callable[..., DicomArchive],
    odd: OddArchive,
    spool: Spool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive, data = make(max_pdu_bytes=4096), small(UIDS[0], side=300)
    one = rendition(spool, data)
    sizes: list[int] = []
    real = odd._next

    def watched(association: object) -> None:
        real(association)  # type: ignore[arg-type]
        sizes.append(len(association.data))  # type: ignore[attr-defined]

    monkeypatch.setattr(odd, "_next", watched)
    for _ in range(3):
        archive.send([one], lambda: ())
    assert [took.data for took in odd.took] == [data] * 3
    assert odd.associations == 1
    steps = [after - before for before, after in pairwise(sizes)]
    assert max(steps) == 4096 - 6


# ---- C-FIND
def test_a_list_that_an_archive_takes_for_one_uid_is_asked_for_one_by_one(
    make: Callable[..., DicomArchive], odd: OddArchive
) -> None:
    odd.has, odd.takes_lists = set(UIDS[:3]), False
    assert make().find(sought(*UIDS)) == set(UIDS[:3])
    assert odd.finds == 1 + len(UIDS)


def test_a_list_that_an_archive_takes_costs_one_question(
    make: Callable[..., DicomArchive], odd: OddArchive
) -> None:
    odd.has = set(UIDS)
    assert make().find(sought(*UIDS)) == set(UIDS)
    assert odd.finds == 1


def test_what_was_not_asked_for_is_never_found(
    make: Callable[..., DicomArchive], odd: OddArchive
) -> None:
    odd.has, odd.brings_all = {"9.9.9", UIDS[0]}, True
    assert make().find(sought(*UIDS)) == {UIDS[0]}


def test_what_cannot_be_had_any_more_is_not_there(
    make: Callable[..., DicomArchive], odd: OddArchive
) -> None:
    odd.has, odd.availability = set(UIDS), b"UNAVAILABLE "
    assert make().find(sought(*UIDS)) == frozenset()
    odd.availability = b"NEARLINE"
    assert make().find(sought(*UIDS)) == set(UIDS)


@pytest.mark.parametrize("status", [0xA900, 0xC001, 0x0122, 0x0124, 0x1234])
def test_an_archive_that_refuses_queries_is_told_with_its_status(
    make: Callable[..., DicomArchive], odd: OddArchive, status: int
) -> None:
    odd.find_status = status
    with pytest.raises(NotAnswered) as told:
        make().find(sought(UIDS[0]))
    assert (told.value.code, told.value.detail) == ("queries-refused", f"{status:04X}")


@pytest.mark.parametrize("status", [0xA700, 0x0110, 0x0213])
def test_an_archive_that_cannot_look_now_is_asked_later(
    make: Callable[..., DicomArchive], odd: OddArchive, status: int
) -> None:
    odd.find_status = status
    with pytest.raises(ArchiveAway) as later:
        make().find(sought(UIDS[0]))
    assert (later.value.code, later.value.whole) == ("busy", False)


def test_an_archive_without_queries_is_told_as_refusing(
    make: Callable[..., DicomArchive], odd: OddArchive
) -> None:
    odd.no_contexts.add(query.FIND)
    with pytest.raises(NotAnswered) as told:
        make().find(sought(UIDS[0]))
    assert told.value.code == "queries-refused"


# ---- C-GET
def test_success_without_an_object_is_believed_only_where_a_query_agrees(
    make: Callable[..., DicomArchive], odd: OddArchive, tmp_path: Path
) -> None:
    odd.get_status = 0
    assert make(retrieve="get").read_back(sought(UIDS[0])[0], tmp_path) is None
    odd.has = {UIDS[0]}
    with pytest.raises(NotAnswered) as told:
        make(retrieve="get").read_back(sought(UIDS[0])[0], tmp_path)
    assert told.value.code == "readback-refused"


@pytest.mark.parametrize(
    ("status", "counts", "detail"),
    [
        (0, (1, 0), "it says it sent the object, but nothing came"),
        (0xA702, (0, 1), "A702"),
        (0xB000, (0, 1), "it gave nothing back, without a reason"),
        (0xC000, (0, 0), "C000"),
    ],
)
def test_an_archive_that_has_it_and_gives_nothing_is_told_as_refusing(
    make: Callable[..., DicomArchive],
    odd: OddArchive,
    tmp_path: Path,
    status: int,
    counts: tuple[int, int],
    detail: str,
) -> None:
    odd.has, odd.get_status, odd.get_counts = {UIDS[0]}, status, counts
    with pytest.raises(NotAnswered) as told:
        make(retrieve="get").read_back(sought(UIDS[0])[0], tmp_path)
    assert (told.value.code, told.value.detail) == ("readback-refused", detail)


def test_nothing_is_called_absent_where_nobody_can_tell(
    make: Callable[..., DicomArchive], odd: OddArchive, tmp_path: Path
) -> None:
    odd.find_status, odd.get_status = 0x0124, 0xC000
    with pytest.raises(NotAnswered):
        make(retrieve="get").read_back(sought(UIDS[0])[0], tmp_path)


def test_an_archive_that_gives_nothing_back_at_all_is_told_as_refusing(
    make: Callable[..., DicomArchive], odd: OddArchive, tmp_path: Path
) -> None:
    odd.no_contexts |= {query.GET, query.MOVE}
    for retrieve in ("auto", "get", "move"):
        with pytest.raises(NotAnswered) as told:
            make(retrieve=retrieve).read_back(sought(UIDS[0])[0], tmp_path)
        assert told.value.code == "readback-refused"


def test_an_archive_that_aborts_at_the_proposal_of_c_get_is_asked_for_a_move(
    make: Callable[..., DicomArchive], odd: OddArchive, tmp_path: Path
) -> None:
    odd.aborts_at = query.GET
    odd.no_contexts.add(query.MOVE)
    with pytest.raises(ArchiveAway) as away:
        make(retrieve="get").read_back(sought(UIDS[0])[0], tmp_path)
    assert away.value.code == "aborted"
    with pytest.raises(NotAnswered) as told:
        make().read_back(sought(UIDS[0])[0], tmp_path)
    assert told.value.code == "readback-refused"


def test_an_object_is_given_back_by_one_archive_at_a_time(
    make: Callable[..., DicomArchive], odd: OddArchive, spool: Spool, tmp_path: Path
) -> None:
    assert spool.readbacks.expect("another", UIDS[0])
    with pytest.raises(ArchiveAway) as later:
        make(retrieve="move").read_back(sought(UIDS[0])[0], tmp_path)
    assert (later.value.code, later.value.whole) == ("busy", False)
    assert spool.readbacks.is_expected(UIDS[0]), "the other one's"
    assert odd.associations == 1


def test_the_expectation_of_a_move_ends_with_it(
    make: Callable[..., DicomArchive], odd: OddArchive, spool: Spool, tmp_path: Path
) -> None:
    odd.no_contexts.add(query.MOVE)
    with pytest.raises(NotAnswered):
        make(retrieve="move").read_back(sought(UIDS[0])[0], tmp_path)
    assert not spool.readbacks.is_expected(UIDS[0])


# ---- the whole
def test_it_is_what_the_configuration_calls_dicom_and_it_commits(odd: OddArchive) -> None:
    from gateway.config.model import Gateway, Settings

    here = Destination(name="a", host="127.0.0.1", port=odd.port, ae_title="ARCHIVE")
    settings = Settings(gateway=Gateway(name="test"), destination=(here,))
    archive = archive_of(settings, here, spool=None)
    assert isinstance(archive, Commits)
    archive.probe()
    assert archive.idle_left_s() is None
    odd.close()
    with pytest.raises(ArchiveAway) as away:
        archive.probe()
    assert away.value.whole
