"""Storage commitment on the wire: whatever order an archive reports in, it is written down first.

Real peers: Orthanc, which reports on a new association to our port, and pynetdicom with role
selection. The scripted archive does what no real one does on demand.
"""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from gateway.config.model import Destination, Receive
from gateway.destinations.archive import ArchiveAway, NotAnswered
from gateway.destinations.dicom import DicomArchive
from spool.model import Outcome, Sent
from spool.store import Spool
from tests.fakes import committing_archive as scripted
from tests.fakes import upper_layer as ul
from tests.fakes.committing_archive import Asked, CommittingArchive, report_to
from tests.fakes.data_sets import EXPLICIT
from tests.fakes.orthanc import Orthanc
from tests.fakes.port import Port
from tests.fakes.sent_items import sents, sought_of
from tests.fakes.spools import opened

NAME = "archive"
INVALID_ARGUMENT, RESOURCE_LIMITATION, NO_SUCH_EVENT_TYPE = 0x0115, 0x0213, 0x0113


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return opened(tmp_path)


@pytest.fixture
def committing(ending: ExitStack) -> CommittingArchive:
    one = CommittingArchive()
    ending.callback(one.close)
    return one


@pytest.fixture
def destination(committing: CommittingArchive) -> Destination:
    return Destination(
        name=NAME,
        host="127.0.0.1",
        port=committing.port,
        ae_title="ARCHIVE",
        confirm="commitment",
        answer_s=10,
    )


@pytest.fixture
def port(spool: Spool, destination: Destination, ending: ExitStack) -> Port:
    one = Port(spool, destination)
    ending.callback(one.close)
    return one


@pytest.fixture
def archive(destination: Destination, spool: Spool, ending: ExitStack) -> DicomArchive:
    one = DicomArchive(destination, "EDGE", spool)
    ending.callback(one.release)
    return one


def asked_about(spool: Spool, archive: DicomArchive, count: int = 2) -> tuple[str, list[Sent]]:
    """Begin a transaction and ask the archive; return its UID and what it is about."""
    ones = sents(spool, NAME, count)
    uid = spool.committing.begin(NAME, ones, 3600)
    archive.commit(uid, [sought_of(one) for one in ones])
    spool.committing.asked(uid)
    return uid, ones


def answers(spool: Spool) -> dict[str, int | None]:
    """Return what was reported, by SOP Instance UID."""
    found: list[Outcome] = spool.committing.outcomes(NAME)
    return {one.sent.rendition.sop_instance_uid: one.failure for one in found}


def pairs_of(ones: list[Sent]) -> list[tuple[str, str]]:
    return [(one.rendition.sop_class_uid, one.rendition.sop_instance_uid) for one in ones]


def test_a_report_before_the_answer_to_the_request_is_written_down(
    spool: Spool, archive: DicomArchive, committing: CommittingArchive
) -> None:
    statuses = []

    def plan(asked: Asked) -> None:
        statuses.append(asked.report(asked.pairs, ()))
        asked.answer(0)

    committing.plan = plan
    _, ones = asked_about(spool, archive)
    assert answers(spool) == {uid: None for _, uid in pairs_of(ones)}
    assert statuses == [0]


def test_a_report_after_the_answer_is_heard_on_the_same_association(
    spool: Spool, archive: DicomArchive, committing: CommittingArchive
) -> None:
    statuses: list[int] = []

    def plan(asked: Asked) -> None:
        asked.answer(0)
        done, failed = asked.pairs[:1], [(*one, 0x0112) for one in asked.pairs[1:]]
        statuses.append(asked.report(done, failed))

    committing.plan = plan
    _, ones = asked_about(spool, archive)
    while not (found := answers(spool)):
        left_s = archive.idle_left_s()
        assert left_s, "the association is open for the report"
    (first, second) = (uid for _, uid in pairs_of(ones))
    assert found == {first: None, second: 0x0112}
    committing.wait_for(lambda: bool(statuses))
    assert statuses == [0]
    assert committing.associations == 1


def test_reports_on_a_new_association_count_once_whatever_their_order_and_number(
    spool: Spool, archive: DicomArchive, committing: CommittingArchive, port: Port
) -> None:
    committing.plan = lambda asked: asked.answer(0)
    uid, ones = asked_about(spool, archive)
    first, second = pairs_of(ones)
    assert report_to(port.port, uid, [first], [(*second, 0x0110)]) == 0
    assert report_to(port.port, uid, [first], [(*second, 0x0110)], roles=False) == 0
    assert answers(spool) == {first[1]: None, second[1]: 0x0110}


def test_a_request_that_is_refused_is_told_with_its_status(
    spool: Spool, archive: DicomArchive, committing: CommittingArchive
) -> None:
    committing.plan = lambda asked: asked.answer(0x0124)
    with pytest.raises(NotAnswered) as told:
        asked_about(spool, archive)
    assert (told.value.code, told.value.detail) == ("commitment-refused", "0124")
    committing.plan = lambda asked: asked.answer(0x0213)
    with pytest.raises(ArchiveAway) as later:
        archive.commit("2.25.1", [sought_of(one) for one in sents(spool, NAME, 1)])
    assert (later.value.code, later.value.whole) == ("busy", False)
    assert committing.associations == 1, "a refusal does not cost the association"


def test_an_archive_without_the_service_is_told_as_refusing(
    spool: Spool, archive: DicomArchive, committing: CommittingArchive
) -> None:
    committing.no_contexts.add(scripted.PUSH_MODEL)
    with pytest.raises(NotAnswered) as told:
        asked_about(spool, archive)
    assert told.value.code == "commitment-refused"


def test_pynetdicom_as_scp_selects_its_role_and_reports(
    spool: Spool, archive: DicomArchive, committing: CommittingArchive, port: Port
) -> None:
    committing.plan = lambda asked: asked.answer(0)
    uid, ones = asked_about(spool, archive)
    peer = AE("ARCHIVE")
    peer.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = peer.associate("127.0.0.1", port.port, ae_title="EDGE", ext_neg=[role])
    assert association.is_established
    (context,) = association.accepted_contexts
    assert (context.as_scu, context.as_scp) == (False, True)
    event = pydicom.Dataset()
    event.TransactionUID = uid
    event.ReferencedSOPSequence = [_item(*pair) for pair in pairs_of(ones)]
    status, _ = association.send_n_event_report(
        event, 1, StorageCommitmentPushModel, scripted.PUSH_INSTANCE
    )
    association.release()
    assert status.Status == 0
    assert answers(spool) == {sop_instance_uid: None for _, sop_instance_uid in pairs_of(ones)}


def test_what_is_not_ours_or_not_a_report_is_refused_and_the_port_lives_on(
    spool: Spool, archive: DicomArchive, committing: CommittingArchive, port: Port
) -> None:
    committing.plan = lambda asked: asked.answer(0)
    uid, ones = asked_about(spool, archive)
    assert report_to(port.port, "2.25.404", pairs_of(ones)) == INVALID_ARGUMENT
    whole = scripted.report_of(uid, pairs_of(ones), (), EXPLICIT)
    for data in (b"", whole[:-3], b"\xff" * 40, scripted.report_of(uid, (), (), EXPLICIT)):
        assert _send(port.port, data) == INVALID_ARGUMENT
    assert _send(port.port, whole, event=3) == NO_SUCH_EVENT_TYPE
    assert _send(port.port, b"\0" * (3 << 20)) == INVALID_ARGUMENT
    assert answers(spool) == {}
    assert _send(port.port, whole) == 0
    assert len(answers(spool)) == 2


def test_a_report_that_cannot_be_written_down_is_not_answered_with_success(
    spool: Spool,
    archive: DicomArchive,
    committing: CommittingArchive,
    port: Port,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    committing.plan = lambda asked: asked.answer(0)
    uid, ones = asked_about(spool, archive)

    def full(*_arguments: object) -> bool:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(spool.committing, "reported", full)
        assert report_to(port.port, uid, pairs_of(ones)) == RESOURCE_LIMITATION
    assert report_to(port.port, uid, pairs_of(ones)) == 0


def test_where_callers_are_listed_an_archive_may_report_and_not_store(
    spool: Spool,
    destination: Destination,
    ending: ExitStack,
    archive: DicomArchive,
    committing: CommittingArchive,
    store: Callable[..., object],
    sample: Callable[[str], Path],
) -> None:
    one = Port(spool, destination, limits=Receive(callers="listed", called_ae_title="own"))
    ending.callback(one.close)
    committing.plan = lambda asked: asked.answer(0)
    uid, ones = asked_about(spool, archive)
    assert report_to(one.port, uid, pairs_of(ones)) == 0
    with pytest.raises(ConnectionError):
        report_to(one.port, uid, pairs_of(ones), calling=b"STRANGER")
    said = store(one.port, [sample("CT_small.dcm")], "-aet", "ARCHIVE")
    assert "0x0124" in said.text.lower() or not said.acknowledged  # type: ignore[attr-defined]
    assert spool.counting.instances()["received"] == 0


def test_orthanc_takes_a_request_and_reports_to_our_port(
    program: Callable[[str], str],
    tmp_path: Path,
    free_port: Callable[[], int],
    spool: Spool,
    port: Port,
    destination: Destination,
    store: Callable[..., object],
    sample: Callable[[str], Path],
    ending: ExitStack,
) -> None:
    edge = ["EDGE", "127.0.0.1", port.port]
    orthanc = Orthanc(
        program("Orthanc"), tmp_path, free_port, more={"DicomModalities": {"edge": edge}}
    )
    ending.callback(orthanc.close)
    file = sample("CT_small.dcm")
    store(orthanc.port, [file], "-aec", "ARCHIVE")
    there = pydicom.dcmread(file)
    real = replace(destination, port=orthanc.port)
    archive = DicomArchive(real, "EDGE", spool)
    ending.callback(archive.release)
    kept, lost = sents(spool, NAME, [str(there.SOPInstanceUID), "2.25.404"])
    ones = [_of_class(one, str(there.SOPClassUID)) for one in (kept, lost)]
    uid = spool.committing.begin(NAME, ones, 3600)
    bell = spool.doorbell(f"confirm@{NAME}")
    archive.commit(uid, [sought_of(one) for one in ones])
    spool.committing.asked(uid)
    bell.wait(30)
    bell.close()
    assert answers(spool) == {
        kept.rendition.sop_instance_uid: None,
        lost.rendition.sop_instance_uid: 0x0112,
    }


def _of_class(sent: Sent, sop_class_uid: str) -> Sent:
    return replace(sent, rendition=replace(sent.rendition, sop_class_uid=sop_class_uid))


def _item(sop_class_uid: str, sop_instance_uid: str) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def _send(port: int, data: bytes, event: int = 1) -> int:
    """Send these bytes as a report on an association that selects no role; return the status."""
    with socket.create_connection(("127.0.0.1", port), 20) as peer:
        offered = [(scripted.PUSH_MODEL, [ul.IMPLICIT, ul.EXPLICIT])]
        peer.sendall(ul.request(offered, calling=b"ARCHIVE", called=b"EDGE"))
        assert ul.read_pdu(peer)[0] == ul.ACCEPT
        body: dict[int, int | str] = {2: scripted.PUSH_MODEL, 0x100: 0x0100, 0x110: 9}
        body |= {0x1000: scripted.PUSH_INSTANCE, 0x1002: event, 0x800: 1 if data else 0x0101}
        peer.sendall(ul.p_data(1, ul.COMMAND | ul.LAST, ul.command(body)))
        for part in ul.fragments(1, data) if data else ():
            peer.sendall(part)
        _, answer = ul.read_pdu(peer)
        values = ul.command_of(answer[6:])
        assert values[0x1002] == event.to_bytes(2, "little")
        return int.from_bytes(values[0x900], "little")
