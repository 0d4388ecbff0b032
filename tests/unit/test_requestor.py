"""requestor: whatever a peer says on an association of ours, no answer is taken for another one."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dicom import commitment, identifier, landing, query, requestor
from gateway.dicom.commitment import Report, Reports
from gateway.dicom.dial import AssociationFailed
from gateway.dicom.landing import Landing
from gateway.dicom.requestor import Outcome, Requestor
from gateway.dicom.service import Service
from gateway.dicom.wire import Wire
from tests.fakes import upper_layer as ul
from tests.fakes.committing_archive import PUSH_MODEL, report_of, send_report
from tests.fakes.data_sets import EXPLICIT

US, FIND, MOVE, GET = ul.US_IMAGE, query.FIND, query.MOVE, query.GET
#: Context ids as they are numbered here.
CONTEXTS = {
    (US, ul.EXPLICIT): 1,
    (FIND, ul.EXPLICIT): 3,
    (GET, ul.EXPLICIT): 5,
    (PUSH_MODEL, ul.EXPLICIT): 7,
    (MOVE, ul.EXPLICIT): 9,
    (ul.VERIFICATION, ul.IMPLICIT): 11,
}
C_GET, C_FIND, N_EVENT_REPORT = 0x0010, 0x0020, 0x0100
PENDING = 0xFF00
KEYS = {identifier.QUERY_RETRIEVE_LEVEL: "IMAGE", identifier.SOP_INSTANCE_UID: "1.2.3"}

#: PDUs that come near to what is expected.
pdus = st.builds(
    ul.p_data,
    st.sampled_from([1, 3, 7, 99]),
    st.integers(0, 3),
    st.binary(max_size=40)
    | st.dictionaries(
        st.sampled_from([2, 0x100, 0x110, 0x120, 0x800, 0x900, 0x1000]), st.integers(0, 0xFFFF)
    ).map(ul.command),
)

Script = Callable[[socket.socket], None]


@pytest.fixture
def play() -> Iterator[Callable[..., Requestor]]:
    """Return a function from a script, which the peer plays, to an association with it."""
    threads: list[threading.Thread] = []
    ends: list[socket.socket] = []

    def make(script: Script, *services: Service, answer_s: float = 5) -> Requestor:
        server = socket.create_server(("127.0.0.1", 0))
        ours = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        server.close()
        ends.extend((ours, peer))
        thread = threading.Thread(target=_quietly, args=(script, peer))
        thread.start()
        threads.append(thread)
        pairs = frozenset(CONTEXTS)
        return Requestor(
            Wire(ours, answer_s),
            dict(CONTEXTS),
            pairs,
            16_000,
            answer_s,
            services=services,
            _message_id=0,
        )

    yield make
    for one in ends:
        one.close()
    for thread in threads:
        thread.join()


def _quietly(script: Script, peer: socket.socket) -> None:
    try:
        script(peer)
    except (OSError, ConnectionError):  # we have hung up, as we should
        pass
    finally:
        peer.close()


def say(
    peer: socket.socket,
    context: int,
    kind: int,
    status: int,
    message_id: int = 1,
    data: bytes = b"",
    **more: int,
) -> None:
    """Answer, with whatever kind and message id."""
    body: dict[int, int | str] = {0x100: kind | ul.RESPONSE, 0x120: message_id, 0x900: status}
    body |= {0x800: 1 if data else ul.NO_DATA_SET}
    body |= {int(name[1:], 16): value for name, value in more.items()}
    peer.sendall(ul.p_data(context, ul.COMMAND | ul.LAST, ul.command(body)))
    for part in ul.fragments(context, data) if data else ():
        peer.sendall(part)


def heard(peer: socket.socket) -> dict[int, bytes]:
    """Return the command of the next message, after its data set has come."""
    found: dict[int, bytes] = {}
    while True:
        kind, body = ul.read_pdu(peer)
        assert kind == ul.DATA
        control = body[5]
        if control & ul.COMMAND:
            found = ul.command_of(body[6:])
        if control & ul.LAST and (
            not control & ul.COMMAND or found[0x800] == struct.pack("<H", ul.NO_DATA_SET)
        ):
            return found


def match(uid: str) -> bytes:
    return identifier.encode({identifier.SOP_INSTANCE_UID: uid}, explicit=True)


def find(archive: Requestor, wanted: int = 1, within_s: float = 10) -> tuple[Outcome, list[str]]:
    found: list[str] = []

    def enough(values: identifier.Values) -> bool:
        found.append(identifier.text(values, identifier.SOP_INSTANCE_UID))
        return len(found) >= wanted

    return query.find(archive, (FIND, ul.EXPLICIT), KEYS, enough, within_s), found


def an_object(tmp_path: Path) -> Path:
    path = tmp_path / "object"
    path.write_bytes(bytes(range(256)) * 200)
    return path


def store_of(archive: Requestor, path: Path) -> Outcome:
    return archive.store((US, ul.EXPLICIT), "1.2.3", path, 0)


# ---- one answer
@pytest.mark.parametrize(
    ("kind", "message_id"), [(ul.C_STORE, 2), (ul.C_ECHO, 1), (C_FIND, 1), (0x7FFF, 0)]
)
def test_an_answer_to_another_question_is_no_answer(
    play: Callable[..., Requestor], tmp_path: Path, kind: int, message_id: int
) -> None:
    def script(peer: socket.socket) -> None:
        heard(peer)
        say(peer, 1, kind, 0, message_id)

    with pytest.raises(AssociationFailed) as failed:
        store_of(play(script), an_object(tmp_path))
    assert failed.value.code == "protocol"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (ul.pdu(ul.RELEASE, bytes(4)), "closed"),
        (ul.pdu(ul.ABORT, bytes(4)), "aborted"),
        (b"", "closed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (ul.p_data(1, ul.LAST, b"x" * 20), "protocol"),
        (ul.p_data(1, ul.COMMAND, b"x" * 20_000), "protocol"),
        (ul.p_data(1, ul.COMMAND | ul.LAST, b""), "protocol"),
        (ul.p_data(1, ul.COMMAND | ul.LAST, b"abcdefgh"), "protocol"),
        (ul.pdu(ul.DATA, b"abc"), "protocol"),
        (ul.pdu(ul.DATA, struct.pack(">IBB", 900, 1, 3)), "protocol"),
        (ul.pdu(ul.DATA, b"", 1 << 30), "protocol"),
    ],
)
def test_whatever_comes_instead_of_an_answer_ends_the_association(
    play: Callable[..., Requestor], tmp_path: Path, raw: bytes, code: str
) -> None:
    def script(peer: socket.socket) -> None:
        heard(peer)
        peer.sendall(raw)

    with pytest.raises(AssociationFailed) as failed:
        store_of(play(script), an_object(tmp_path))
    assert failed.value.code == code


# ---- requests of the peer meanwhile
def test_a_report_in_the_middle_of_a_store_is_taken_and_the_store_has_its_own_answer(
    play: Callable[..., Requestor], tmp_path: Path
) -> None:
    reports: list[Report] = []
    statuses: list[int] = []

    def taken(report: Report) -> bool:
        reports.append(report)
        return True

    def script(peer: socket.socket) -> None:
        first, _ = ul.read_pdu(peer)
        assert first == ul.DATA
        body: dict[int, int | str] = {2: PUSH_MODEL, 0x100: N_EVENT_REPORT, 0x110: 7, 0x800: 1}
        body |= {0x1000: commitment.INSTANCE, 0x1002: 1}
        peer.sendall(ul.p_data(7, ul.COMMAND | ul.LAST, ul.command(body)))
        peer.sendall(ul.p_data(7, ul.LAST, report_of("2.25.1", [(US, "1.2.3")], (), EXPLICIT)))
        while not ul.read_pdu(peer)[1][5] & ul.LAST:
            continue
        kind, answer = ul.read_pdu(peer)
        assert kind == ul.DATA
        statuses.append(int.from_bytes(ul.command_of(answer[6:])[0x900], "little"))
        say(peer, 1, ul.C_STORE, 0xB000)

    outcome = store_of(play(script, Reports(taken)), an_object(tmp_path))
    assert outcome.status == 0xB000
    assert reports == [Report("2.25.1", ((US, "1.2.3"),), ())]
    assert statuses == [0]


def test_a_report_on_an_association_without_that_context_ends_it(
    play: Callable[..., Requestor], tmp_path: Path
) -> None:
    def script(peer: socket.socket) -> None:
        heard(peer)
        send_report(peer, 99, EXPLICIT, "2.25.1", [(US, "1.2.3")], ())

    with pytest.raises(AssociationFailed) as failed:
        store_of(play(script), an_object(tmp_path))
    assert failed.value.code == "protocol"


def test_a_request_that_nobody_takes_is_answered_and_the_question_goes_on(
    play: Callable[..., Requestor], tmp_path: Path
) -> None:
    statuses: list[int] = []

    def script(peer: socket.socket) -> None:
        heard(peer)
        statuses.append(send_report(peer, 7, EXPLICIT, "2.25.1", [(US, "1.2.3")], ()))
        say(peer, 1, ul.C_STORE, 0)

    assert store_of(play(script), an_object(tmp_path)).status == 0
    assert statuses == [0x0211]


def test_requests_without_end_are_no_answer(
    play: Callable[..., Requestor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requestor, "REQUESTS_MOST", 5)

    def script(peer: socket.socket) -> None:
        heard(peer)
        while True:
            send_report(peer, 7, EXPLICIT, "2.25.1", [(US, "1.2.3")], ())

    with pytest.raises(AssociationFailed) as failed:
        store_of(play(script), an_object(tmp_path))
    assert failed.value.code == "protocol"


def test_what_the_peer_reports_on_its_own_is_heard_without_waiting(
    play: Callable[..., Requestor],
) -> None:
    reports: list[Report] = []
    answered, go_on = threading.Event(), threading.Event()

    def taken(report: Report) -> bool:
        reports.append(report)
        return True

    def script(peer: socket.socket) -> None:
        send_report(peer, 7, EXPLICIT, "2.25.1", [(US, "1.2.3")], ())
        answered.set()
        go_on.wait(10)
        peer.sendall(ul.pdu(ul.RELEASE, bytes(4)))
        ul.read_pdu(peer)

    archive = play(script, Reports(taken))
    while not answered.is_set():
        archive.hear()
    assert len(reports) == 1
    go_on.set()
    with pytest.raises(AssociationFailed) as ended:
        while True:
            archive.hear()
    assert ended.value.code == "closed"


# ---- many answers
def test_matches_are_given_one_by_one_and_the_last_answer_decides(
    play: Callable[..., Requestor],
) -> None:
    def script(peer: socket.socket) -> None:
        heard(peer)
        for uid in ("1.2.3", "1.2.4"):
            say(peer, 3, C_FIND, PENDING, data=match(uid))
        say(peer, 3, C_FIND, 0xA900)

    outcome, found = find(play(script), wanted=9)
    assert (outcome.status, found) == (0xA900, ["1.2.3", "1.2.4"])


def test_what_goes_on_after_enough_is_cancelled(play: Callable[..., Requestor]) -> None:
    cancelled: list[dict[int, bytes]] = []

    def script(peer: socket.socket) -> None:
        heard(peer)
        for uid in ("1.2.3", "1.2.4", "1.2.5"):
            say(peer, 3, C_FIND, PENDING, data=match(uid))
        cancelled.append(heard(peer))
        say(peer, 3, C_FIND, 0xFE00)

    outcome, found = find(play(script))
    assert (outcome.status, found) == (0xFE00, ["1.2.3"])
    (command,) = cancelled
    assert (command[0x100], command[0x120]) == (b"\xff\x0f", b"\1\0")


def test_answers_without_end_end_the_association(
    play: Callable[..., Requestor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "ANSWERS_MOST", 20)

    def script(peer: socket.socket) -> None:
        heard(peer)
        while True:
            say(peer, 3, C_FIND, PENDING, data=match("1.2.9"))

    with pytest.raises(AssociationFailed) as failed:
        find(play(script), wanted=10_000)
    assert (failed.value.code, failed.value.detail) == ("protocol", "answers without end")


def test_answers_that_drip_end_with_the_time_for_the_question(
    play: Callable[..., Requestor],
) -> None:
    over = threading.Event()

    def script(peer: socket.socket) -> None:
        heard(peer)
        while not over.wait(0.05):
            say(peer, 3, C_FIND, PENDING, data=match("1.2.9"))

    with pytest.raises(AssociationFailed) as failed:
        find(play(script), wanted=10_000, within_s=0.5)
    over.set()
    assert failed.value.code == "timeout"


@pytest.mark.parametrize("data", [b"x" * (1 << 17), b"\x08\0\x18\0UI\xff\xff1.2", b"garbage"])
def test_a_match_that_is_none_ends_the_association(
    play: Callable[..., Requestor], data: bytes
) -> None:
    def script(peer: socket.socket) -> None:
        heard(peer)
        say(peer, 3, C_FIND, PENDING, data=data)
        say(peer, 3, C_FIND, 0)

    with pytest.raises(AssociationFailed) as failed:
        find(play(script))
    assert failed.value.code == "protocol"


# ---- what is given back
def send_object(peer: socket.socket, uid: str, data: bytes, message_id: int) -> int:
    """Do one sub-operation of a C-GET; return the status of the answer."""
    command = ul.store_command(US, uid, message_id)
    peer.sendall(ul.p_data(1, ul.COMMAND | ul.LAST, command))
    for part in ul.fragments(1, data):
        peer.sendall(part)
    return int.from_bytes(heard(peer)[0x900], "little")


def test_only_the_object_that_was_asked_for_lands_and_only_once(
    play: Callable[..., Requestor], tmp_path: Path
) -> None:
    statuses: list[int] = []
    wanted = bytes(range(256)) * 300

    def script(peer: socket.socket) -> None:
        heard(peer)
        for number, (uid, data) in enumerate(
            [("1.2.4", b"another"), ("1.2.3", wanted), ("1.2.3", b"once more")], 1
        ):
            statuses.append(send_object(peer, uid, data, number))
            say(peer, 5, C_GET, PENDING, x1021=1, x1020=2)
        say(peer, 5, C_GET, 0, x1021=1, x1022=2)

    service = Landing()
    service.expect("1.2.3", tmp_path)
    last = query.retrieve(play(script, service), (GET, ul.EXPLICIT), KEYS, 10)
    assert statuses == [0x0117, 0, 0x0117]
    assert (last.status, last.completed, last.failed) == (0, 1, 2)
    assert service.landed
    path, size, syntax = service.landed
    assert (path.read_bytes(), size, syntax) == (wanted, len(wanted), ul.EXPLICIT)
    assert list(tmp_path.iterdir()) == [path]


def test_an_object_that_does_not_end_leaves_nothing(
    play: Callable[..., Requestor], tmp_path: Path
) -> None:
    def script(peer: socket.socket) -> None:
        heard(peer)
        peer.sendall(ul.p_data(1, ul.COMMAND | ul.LAST, ul.store_command(US, "1.2.3")))
        peer.sendall(ul.p_data(1, 0, b"half"))

    service = Landing()
    service.expect("1.2.3", tmp_path)
    with pytest.raises(AssociationFailed):
        query.retrieve(play(script, service), (GET, ul.EXPLICIT), KEYS, 10)
    assert service.landed is None
    assert not list(tmp_path.iterdir())


def test_an_object_for_which_there_is_no_room_is_refused(
    play: Callable[..., Requestor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "FREE_LEAST_BYTES", 1 << 60)
    statuses: list[int] = []

    def script(peer: socket.socket) -> None:
        heard(peer)
        statuses.append(send_object(peer, "1.2.3", b"pixels", 1))
        say(peer, 5, C_GET, 0xB000, x1022=1)

    service = Landing()
    service.expect("1.2.3", tmp_path)
    last = query.retrieve(play(script, service), (GET, ul.EXPLICIT), KEYS, 10)
    assert (last.status, last.failed, statuses) == (0xB000, 1, [0xA700])
    assert service.landed is None
    assert not list(tmp_path.iterdir())


@settings(max_examples=60)
@given(raw=st.lists(st.binary(max_size=60) | pdus, max_size=5).map(b"".join))
def test_any_bytes_are_an_answer_or_end_the_association(raw: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    with ours, peer:
        peer.sendall(raw)
        peer.shutdown(socket.SHUT_WR)
        archive = Requestor(
            Wire(ours, 5), dict(CONTEXTS), frozenset(), 16_000, 5, services=(Landing(),)
        )
        with pytest.raises(AssociationFailed):
            find(archive)
