"""Every answer to a store request has a verdict on each object; none is a crash or silent success.

The answers of `tests.fakes.stow_cases` are served by a real server to the real client.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.model import Destination, Settings
from gateway.destinations.archive import Answer, ArchiveAway
from gateway.destinations.dicomweb import DicomwebArchive
from gateway.destinations.stow_answers import Handed, Said, judge
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
)
from spool.model import Blob, Rendition, Role
from tests.fakes.stow_cases import (
    BOTH,
    BUSY,
    CASES,
    HELD,
    PORTAL,
    REFUSED,
    SENT,
    A,
    B,
    Case,
    page,
    raw,
    said,
)
from tests.fakes.stow_shapes import CT, JSON, XML, as_json, as_xml, item, report
from tests.fakes.web_server import Asked, Reply, WebServer

Send = Callable[..., tuple[Sequence[Answer], WebServer]]


@pytest.fixture
def object_of(tmp_path: Path) -> Callable[..., Rendition]:
    """Return a function from a UID to an object on the disk, with a head that must not leave it."""

    def make(uid: str, syntax: str = EXPLICIT_VR_LITTLE_ENDIAN, data: bytes = b"data") -> Rendition:
        path = tmp_path / f"{uid}-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(b"GATEWAY SPOOL private" + data)
        return Rendition(Role.RECEIVED, uid, CT, syntax, Blob(uid, path, 21, len(data), ""))

    return make


@pytest.fixture
def send(object_of: Callable[..., Rendition]) -> Iterator[Send]:
    """Return a function that sends objects to a server that answers as it is told."""
    opened: list[tuple[DicomwebArchive, WebServer]] = []

    def go(
        store: Reply | Callable[[Asked], Reply],
        objects: Sequence[Rendition],
        probe: Reply = Reply(204),  # noqa: B008
    ) -> tuple[Sequence[Answer], WebServer]:
        def answer(asked: Asked) -> Reply:
            if asked.method != "POST":
                return probe
            return store(asked) if callable(store) else store

        server = WebServer(answer)
        destination = Destination(name="cloud", kind="dicomweb", url=f"{server.url}/web")
        archive = DicomwebArchive(Settings(), destination)
        opened.append((archive, server))
        return archive.send(objects, tuple), server

    yield go
    for archive, server in opened:
        archive.release()
        server.close()


def uids_in(asked: Asked) -> list[str]:
    """Return the SOP Instance UIDs in the file meta of each part."""
    parts = asked.body.split(b"\x02\0\x03\0UI")[1:]
    return [part[2 : 2 + part[0]].rstrip(b"\0").decode() for part in parts]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_answer_has_its_verdict(case: Case, send: Send, object_of) -> None:
    objects = [object_of(uid, case.syntax) for uid in (A, B)[: len(case.expected)]]
    answers, _ = send(case.reply, objects, case.probe)
    assert tuple((one.verdict, one.code) for one in answers) == case.expected


def test_the_table_is_large_enough_and_names_each_case_once() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


def test_an_answer_that_is_cut_off_is_none(send: Send, object_of) -> None:
    reply = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + as_json(BOTH))
    with pytest.raises(ArchiveAway, match="closed"):
        send(reply, [object_of(A)])


def test_an_interim_answer_is_not_taken_for_the_last_one(send: Send, object_of) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(ArchiveAway, match="not-http"):
        send(raw(early), [object_of(A)])


def test_the_wait_that_an_archive_asks_for_is_passed_on(send: Send, object_of) -> None:
    [answer], _ = send(Reply(503, {"Retry-After": "120"}), [object_of(A)])
    assert answer.retry_after_s == 120


def test_another_syntax_is_named_until_there_is_none(send: Send, object_of) -> None:
    [answer], _ = send(Reply(415), [object_of(A, JPEG_2000_LOSSLESS)])
    assert answer.accepted == {EXPLICIT_VR_LITTLE_ENDIAN}
    [answer], _ = send(Reply(415), [object_of(A, EXPLICIT_VR_LITTLE_ENDIAN)])
    assert answer.accepted == frozenset()


@pytest.mark.parametrize("reason", [10**30, -1, 65536, "9" * 40])
def test_a_reason_that_is_no_number_of_16_bits_is_one_that_no_table_has(reason: object) -> None:
    reply = said(202, report([], [{**item(A), "00081197": {"vr": "US", "Value": [reason]}}]))
    [judged] = judge([Handed(A, EXPLICIT_VR_LITTLE_ENDIAN)], Said(202, reply.body))
    assert (judged.answer.verdict, judged.answer.code) == (HELD, "stow-65535")


def test_zeros_before_a_reason_do_not_make_it_a_success() -> None:
    stored = {**item(A), "00081197": {"vr": "US", "Value": ["0000000000000272"]}}
    reply = said(202, report([stored], []))
    [judged] = judge([Handed(A, EXPLICIT_VR_LITTLE_ENDIAN)], Said(202, reply.body))
    assert judged.answer.code == "stow-272"


def test_of_a_comment_only_the_tags_are_told(send: Send, object_of) -> None:
    said_of_it = ['DICOM100: (0010,0010) - Content "DOE^JANE" does not validate', "(0010,0020)"]
    reply = said(409, report([], [item(A, failure=43264, comments=said_of_it)]))
    [answer], _ = send(reply, [object_of(A)])
    assert answer.text == "HTTP 409 (0010,0010) (0010,0020)"


def test_our_own_head_goes_out_and_the_private_one_stays(send: Send, object_of) -> None:
    _, server = send(said(200, BOTH), [object_of(A, data=b"data set of A"), object_of(B)])
    [asked] = server.asked
    assert b"GATEWAY SPOOL" not in asked.body
    assert int(asked.headers["Content-Length"]) == len(asked.body)
    assert asked.path == "/web/studies"
    assert asked.headers["Accept"] == JSON
    boundary = asked.headers["Content-Type"].rpartition("boundary=")[2].encode()
    parts = asked.body.split(b"\r\n--" + boundary)
    assert parts[1].endswith(b"data set of A")
    assert parts[1].startswith(
        b"\r\nContent-Type: application/dicom\r\n\r\n" + bytes(128) + b"DICM"
    )
    assert parts[-1] == b"--\r\n"


def test_a_batch_refused_as_a_whole_goes_in_halves_until_the_bad_one_is_known(
    send: Send, object_of
) -> None:
    uids = [f"1.2.3.{nth}" for nth in range(10)]

    def answer(asked: Asked) -> Reply:
        stored = uids_in(asked)
        return Reply(400) if "1.2.3.6" in stored else said(200, report([item(u) for u in stored]))

    answers, server = send(answer, [object_of(uid) for uid in uids])
    verdicts = {uid: one.verdict for uid, one in zip(uids, answers, strict=True)}
    assert verdicts == {uid: REFUSED if uid == "1.2.3.6" else SENT for uid in uids}
    assert len([one for one in server.asked if one.method == "POST"]) <= 9


def test_a_busy_archive_is_not_sent_the_halves(send: Send, object_of) -> None:
    answers, server = send(Reply(503), [object_of(A), object_of(B)])
    assert [one.verdict for one in answers] == [BUSY, BUSY]
    assert len(server.asked) == 1


def test_what_is_too_large_together_goes_in_less_from_then_on(object_of) -> None:
    def answer(asked: Asked) -> Reply:
        too_large = len(asked.body) > 3000
        return Reply(413) if too_large else said(200, report([item(u) for u in uids_in(asked)]))

    server = WebServer(answer)
    archive = DicomwebArchive(Settings(), Destination(name="c", kind="dicomweb", url=server.url))
    assert archive.batch().bytes_most == 10_000_000
    objects = [object_of(f"1.2.{nth}", data=bytes(1000)) for nth in range(4)]
    answers = archive.send([*objects, object_of("1.2.9", data=bytes(3000))], tuple)
    assert [one.verdict for one in answers] == [SENT] * 4 + [HELD]
    assert archive.batch().bytes_most <= 2000
    archive.release()
    server.close()


def test_an_archive_that_takes_nothing_is_asked_with_one_object(object_of) -> None:
    replies = [Reply(503), Reply(hang_up=True), *[said(200, BOTH)] * 4]
    server = WebServer(lambda _asked: replies.pop(0))
    archive = DicomwebArchive(Settings(), Destination(name="c", kind="dicomweb", url=server.url))
    archive.send([object_of(A), object_of(B)], tuple)
    assert archive.batch().count_most == 1
    with pytest.raises(ArchiveAway, match="closed"):
        archive.send([object_of(A)], tuple)
    counts = []
    for _ in range(4):
        archive.send([object_of(A)], tuple)
        counts.append(archive.batch().count_most)
    assert counts == [2, 4, 8, 10]
    archive.release()
    server.close()


def test_the_same_uid_twice_goes_in_two_requests(send: Send, object_of) -> None:
    def answer(asked: Asked) -> Reply:
        return said(200, report([item(uid) for uid in uids_in(asked)]))

    objects = [object_of(A, data=b"one"), object_of(B), object_of(A, data=b"two")]
    answers, server = send(answer, objects)
    assert [one.verdict for one in answers] == [SENT, SENT, SENT]
    assert [uids_in(one) for one in server.asked] == [[A, B], [A]]


def test_what_was_lost_halfway_is_not_lost_for_those_that_were_answered(
    send: Send, object_of
) -> None:
    def answer(asked: Asked) -> Reply:
        if uids_in(asked) == [A, B]:
            return said(200, report([item(A)]))
        return Reply(hang_up=True)

    answers, _ = send(answer, [object_of(A), object_of(B)])
    assert [(one.verdict, one.code) for one in answers] == [(SENT, ""), (BUSY, "closed")]


def test_an_archive_that_answers_in_xml_alone_is_asked_for_xml(send: Send, object_of) -> None:
    def answer(asked: Asked) -> Reply:
        if asked.headers["Accept"] == JSON:
            return Reply(406)
        return page(200, as_xml(report([item(A)])), XML)

    [answer_], server = send(answer, [object_of(A)])
    assert answer_.verdict is SENT
    assert [one.headers["Accept"] for one in server.asked] == [JSON, XML]


def mutations(of: object) -> st.SearchStrategy[object]:
    """Return a strategy for data like `of`, with any part of it replaced, left out or doubled."""
    scalar = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    other = st.recursive(
        scalar | st.sampled_from([A, B]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    )
    if isinstance(of, dict):
        kept = st.fixed_dictionaries({}, optional={key: mutations(one) for key, one in of.items()})
        return st.just(of) | kept | other
    if isinstance(of, list):
        return st.just(of) | st.lists(st.one_of([mutations(one) for one in of]), max_size=4) | other
    return st.just(of) | other


REPORT = report([item(A, warning=0xB000)], [item(B, failure=272)], [item(failure=0xC000)])
HANDED = [Handed(A, IMPLICIT_VR_LITTLE_ENDIAN), Handed(B, JPEG_2000_LOSSLESS)]


@settings(max_examples=300)
@given(mutations(REPORT), st.sampled_from([200, 202, 204, 400, 409, 500]))
def test_no_mutated_report_is_a_crash_or_a_silent_success(data_set: object, status: int) -> None:
    body = json.dumps(data_set).encode()
    for handed, judged in zip(HANDED, judge(HANDED, Said(status, body)), strict=True):
        if judged.answer.verdict is SENT:
            found = data_set["00081199"]  # type: ignore[index]
            assert handed.sop_instance_uid in json.dumps(found)
            assert not _names(data_set.get("00081198"), handed.sop_instance_uid)  # type: ignore[union-attr]


def _names(sequence: object, uid: str) -> bool:
    """Tell whether a sequence names an object where it should."""
    values = sequence.get("Value") if isinstance(sequence, dict) else sequence
    named = {"vr": "UI", "Value": [uid]}
    items = values if isinstance(values, list) else []
    return any(isinstance(one, dict) and one.get("00081155") == named for one in items)


@settings(max_examples=300)
@given(st.data())
def test_no_broken_bytes_are_a_crash_or_a_silent_success(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([as_json(REPORT), as_xml(REPORT), PORTAL]))
    begin = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, 40))
    body = whole[:begin] + data.draw(st.binary(max_size=8)) + whole[begin + length :]
    for handed, judged in zip(HANDED, judge(HANDED, Said(200, body)), strict=True):
        assert judged.answer.verdict is not SENT or handed.sop_instance_uid.encode() in body
