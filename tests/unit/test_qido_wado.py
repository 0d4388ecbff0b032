"""What a DICOMweb archive says it has, and what it gives back, also where it says it in its way."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.config.model import Destination, Settings
from gateway.destinations.archive import ArchiveAway, NotAnswered, Sought
from gateway.destinations.dicomweb import DicomwebArchive
from gateway.destinations.wado import first_part
from gateway.dicom.file_meta import file_head
from gateway.dicom.part10 import read_file_meta
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000_LOSSLESS
from tests.fakes.stow_shapes import CT, JSON, element
from tests.fakes.web_server import Asked, Reply, WebServer

STUDY, SERIES = "1.2.3", "1.2.3.4"
INSTANCES = f"/studies/{STUDY}/series/{SERIES}/instances"

Answer = Callable[[Asked], Reply]


def sought(uid: str, series: str = SERIES) -> Sought:
    return Sought(CT, uid, STUDY, series)


def listed(*uids: str) -> Reply:
    body = [{"00080018": element("UI", uid), "00100010": element("PN", {})} for uid in uids]
    return Reply(200, {"Content-Type": JSON}, json.dumps(body).encode())


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], tuple[DicomwebArchive, WebServer]]]:
    """Return a function from answers to an archive, and the server that gives them."""
    opened: list[tuple[DicomwebArchive, WebServer]] = []

    def start(answer: Answer) -> tuple[DicomwebArchive, WebServer]:
        server = WebServer(answer)
        destination = Destination(name="cloud", kind="dicomweb", url=server.url)
        opened.append((DicomwebArchive(Settings(), destination), server))
        return opened[-1]

    yield start
    for archive, server in opened:
        archive.release()
        server.close()


def test_a_few_are_asked_for_one_by_one(serve) -> None:
    archive, server = serve(lambda asked: listed("1.1") if "=1.1&" in asked.path else Reply(204))
    assert archive.find([sought("1.1"), sought("1.2")]) == {"1.1"}
    paths = [urlsplit(one.path) for one in server.asked]
    assert {one.path for one in paths} == {INSTANCES}
    assert [parse_qs(one.query)["SOPInstanceUID"] for one in paths] == [["1.1"], ["1.2"]]


def test_what_the_archive_knows_of_and_cannot_give_is_not_there(serve) -> None:
    def answer(asked: Asked) -> Reply:
        uid = parse_qs(urlsplit(asked.path).query)["SOPInstanceUID"][0]
        said = "UNAVAILABLE" if uid == "1.1" else "NEARLINE"
        body = [{"00080018": element("UI", uid), "00080056": element("CS", said)}]
        return Reply(200, {"Content-Type": JSON}, json.dumps(body).encode())

    archive, _ = serve(answer)
    assert archive.find([sought("1.1"), sought("1.2")]) == {"1.2"}


def test_many_of_one_series_are_listed_page_by_page(serve) -> None:
    there = [f"1.1.{nth}" for nth in range(230)]

    def answer(asked: Asked) -> Reply:
        query = parse_qs(urlsplit(asked.path).query)
        begin = int(query.get("offset", ["0"])[0])
        return listed(*there[begin : begin + int(query["limit"][0])])

    archive, server = serve(answer)
    wanted = [*there[::23], "1.1.999"]
    assert archive.find([sought(uid) for uid in wanted]) == set(there[::23])
    assert len(server.asked) == 4


def test_an_archive_that_knows_neither_filter_nor_pages_turns_in_no_circle(serve) -> None:
    archive, server = serve(lambda _asked: listed("1.1", "1.2", "1.3"))
    assert archive.find([sought("1.2")]) == {"1.2"}
    assert archive.find([sought("1.9")]) == set()
    assert archive.find([sought(f"1.{nth}") for nth in range(6)]) == {"1.1", "1.2", "1.3"}
    assert len(server.asked) == 1 + 2 + 2


def test_only_the_very_uid_is_found(serve) -> None:
    archive, _ = serve(lambda _asked: listed("1.2.34", "1.2", "1.2.3.4"))
    assert archive.find([sought("1.2.3")]) == set()


def test_a_large_series_of_an_archive_without_pages_is_asked_for_one_by_one(serve) -> None:
    def answer(asked: Asked) -> Reply:
        if "SOPInstanceUID" in asked.path:
            return listed("1.5")
        return Reply(200, {"Content-Type": JSON}, b"[" + b" " * (5 << 20))

    archive, _ = serve(answer)
    assert archive.find([sought(f"1.{nth}") for nth in range(6)]) == {"1.5"}


@pytest.mark.parametrize("status", [400, 401, 403, 405, 406, 501])
def test_an_archive_that_refuses_queries_is_known_as_one(serve, status) -> None:
    archive, _ = serve(lambda _asked: Reply(status))
    with pytest.raises(NotAnswered, match="queries-refused"):
        archive.find([sought("1.1")])


def test_404_means_no_such_series_only_where_queries_are_answered(serve) -> None:
    archive, _ = serve(lambda asked: Reply(404) if INSTANCES in asked.path else Reply(204))
    assert archive.find([sought("1.1")]) == set()
    archive, _ = serve(lambda _asked: Reply(404))
    with pytest.raises(NotAnswered, match="queries-refused"):
        archive.find([sought("1.1")])


def test_a_busy_archive_has_not_said_that_it_has_nothing(serve) -> None:
    archive, _ = serve(lambda _asked: Reply(503, {"Retry-After": "30"}))
    with pytest.raises(ArchiveAway, match="http-503") as away:
        archive.find([sought("1.1")])
    assert (away.value.whole, away.value.retry_after_s) == (True, 30)


@pytest.mark.parametrize("ask", ["find", "probe"])
def test_a_login_page_has_not_said_that_it_has_nothing(serve, ask) -> None:
    archive, _ = serve(lambda _asked: Reply(200, {"Content-Type": "text/html"}, b"<html>Login"))
    with pytest.raises(ArchiveAway, match="not-dicomweb"):
        archive.find([sought("1.1")]) if ask == "find" else archive.probe()


@pytest.mark.parametrize("status", [200, 204, 400, 404, 405, 501])
def test_a_service_that_answers_can_be_reached(serve, status) -> None:
    archive, _ = serve(lambda _asked: Reply(status))
    archive.probe()


@pytest.mark.parametrize("status", [401, 403, 407])
def test_a_service_that_refuses_us_can_be_reached_and_says_so(serve, status) -> None:
    archive, _ = serve(lambda _asked: Reply(status))
    with pytest.raises(NotAnswered, match=f"http-{status}"):
        archive.probe()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 507])
def test_a_service_that_is_down_cannot_be_reached(serve, status) -> None:
    archive, _ = serve(lambda _asked: Reply(status))
    with pytest.raises(ArchiveAway, match=f"http-{status}"):
        archive.probe()


def test_a_service_that_only_its_queries_break_can_be_reached(serve) -> None:
    archive, _ = serve(lambda asked: Reply(500 if asked.method == "GET" else 200))
    archive.probe()


DATA_SET = b"\x08\0\x18\0UI\x04\x001.1\0" + b"pixels\r\n--x" * 5
PART10 = file_head(CT, "1.1", EXPLICIT_VR_LITTLE_ENDIAN) + DATA_SET


def parts(*bodies: bytes, boundary: bytes = b"x--y", head: bytes = b"", end: bytes = b"") -> bytes:
    head = head or b"Content-Type: application/dicom\r\n"
    made = b"".join(b"\r\n--" + boundary + b"\r\n" + head + b"\r\n" + one for one in bodies)
    return made + b"\r\n--" + boundary + (end or b"--\r\n")


def multipart(body: bytes, **headers: str) -> Reply:
    kind = 'multipart/related; type="application/dicom"; boundary="x--y"'
    return Reply(200, {"Content-Type": kind} | headers, body)


#: Of a gzip file with a name of 70,000 characters (RFC 1952 2.3).
LONG_HEAD = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 70_000 + b"\0"
SHAPES = {
    "plain": multipart(parts(PART10)),
    "without-first-line-break": multipart(parts(PART10)[2:]),
    "with-preamble": multipart(b"This is a message in MIME format." + parts(PART10)),
    "two-parts": multipart(parts(PART10, b"another")),
    "part-without-headers": multipart(b"--x--y\r\n\r\n" + PART10 + b"\r\n--x--y--"),
    "many-headers": multipart(parts(PART10, head=b"X-A: 1\r\nContent-Length: 7\r\n")),
    "blank-after-the-boundary": multipart(parts(PART10).replace(b"--x--y\r\n", b"--x--y  \r\n", 1)),
    "no-quotes": Reply(200, {"Content-Type": "multipart/related;boundary=x--y"}, parts(PART10)),
    "boundary-not-said": Reply(200, {"Content-Type": "multipart/related"}, parts(PART10)[2:]),
    "not-called-multipart": Reply(200, {"Content-Type": "application/dicom"}, parts(PART10)[2:]),
    "alone": Reply(200, {"Content-Type": "application/dicom"}, PART10),
    "alone-without-a-type": Reply(200, {}, PART10),
    "gzip": multipart(gzip.compress(parts(PART10)), **{"Content-Encoding": "gzip"}),
    "gzip-whose-first-piece-holds-nothing": Reply(
        200, {"Content-Encoding": "gzip"}, LONG_HEAD + gzip.compress(PART10)[10:]
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_comes_back_to_the_byte_in_any_shape(serve, shape, tmp_path) -> None:
    archive, server = serve(lambda _asked: SHAPES[shape])
    back = archive.read_back(sought("1.1"), tmp_path)
    assert back is not None
    with back.path.open("rb") as file:
        file.seek(back.dataset_offset)
        assert file.read() == DATA_SET
    assert back.dataset_bytes == len(DATA_SET)
    assert back.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
    assert server.asked[0].path == f"{INSTANCES}/1.1"
    assert "transfer-syntax=*" in server.asked[0].headers["Accept"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_boundary_is_found_wherever_the_network_cuts(size) -> None:
    body = b"a\r\n--x-\r\n--x--z\r\n-\r\n" * 3
    whole = parts(body)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert b"".join(first_part(pieces[0], pieces[1:], b"x--y")) == body


def test_what_the_archive_made_of_it_comes_back_as_that(serve, tmp_path) -> None:
    made = file_head(CT, "1.1", JPEG_2000_LOSSLESS) + DATA_SET
    archive, _ = serve(lambda _asked: multipart(parts(made)))
    back = archive.read_back(sought("1.1"), tmp_path)
    assert back is not None and back.transfer_syntax_uid == JPEG_2000_LOSSLESS


def test_another_form_is_asked_for_where_one_is_refused(serve, tmp_path) -> None:
    archive, server = serve(
        lambda asked: (
            Reply(200, {}, PART10) if asked.headers["Accept"] == "application/dicom" else Reply(406)
        )
    )
    assert archive.read_back(sought("1.1"), tmp_path) is not None
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [404, 410, 204])
def test_an_object_is_gone_when_it_is_not_listed_either(serve, status, tmp_path) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(status) if asked.path.endswith("/1.1") else listed()

    archive, _ = serve(answer)
    assert archive.read_back(sought("1.1"), tmp_path) is None


@pytest.mark.parametrize("answer", [lambda _: Reply(404), lambda _: Reply(403)])
def test_an_archive_that_gives_nothing_back_is_known_as_one(serve, answer, tmp_path) -> None:
    archive, _ = serve(answer)
    with pytest.raises(NotAnswered, match="readback-refused"):
        archive.read_back(sought("1.1"), tmp_path)


def test_one_that_is_listed_and_not_given_back_is_not_gone(serve, tmp_path) -> None:
    archive, _ = serve(lambda asked: Reply(404) if asked.path.endswith("/1.1") else listed("1.1"))
    with pytest.raises(NotAnswered, match="readback-refused"):
        archive.read_back(sought("1.1"), tmp_path)


LOST = {
    "cut-in-the-data": (multipart(parts(PART10)[:-40]), "closed"),
    "cut-in-the-head": (multipart(parts(PART10)[:20]), "closed"),
    "nothing": (multipart(b""), "closed"),
    "no-part": (multipart(bytes(100_000)), "not-dicomweb"),
    "page": (Reply(200, {"Content-Type": "text/html"}, b"<html>" + bytes(500)), "not-dicomweb"),
    "busy": (Reply(503), "http-503"),
}


@pytest.mark.parametrize("shape", LOST)
def test_what_did_not_come_whole_leaves_nothing_behind(serve, shape, tmp_path) -> None:
    reply, code = LOST[shape]
    archive, _ = serve(lambda _asked: reply)
    with pytest.raises(ArchiveAway, match=code):
        archive.read_back(sought("1.1"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_none_leaves_nothing_behind(serve, tmp_path) -> None:
    archive, _ = serve(lambda _asked: multipart(parts(b"no object at all" * 20)))
    with pytest.raises(NotAnswered, match="not-comparable"):
        archive.read_back(sought("1.1"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_would_fill_the_disk_is_not_taken(serve, tmp_path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)
    archive, _ = serve(lambda _asked: multipart(parts(PART10 + bytes(1000))))
    with pytest.raises(NotAnswered, match="readback-refused"):
        archive.read_back(sought("1.1"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_our_file_head_is_read_by_others_and_never_changes(tmp_path: Path) -> None:
    from pydicom import dcmread

    path = tmp_path / "x.dcm"
    path.write_bytes(PART10)
    meta = read_file_meta(path)
    assert (meta.sop_class_uid, meta.sop_instance_uid) == (CT, "1.1")
    assert meta.dataset_offset + len(DATA_SET) == len(PART10)
    assert dcmread(path, stop_before_pixels=True, defer_size=1).file_meta.TransferSyntaxUID == (
        EXPLICIT_VR_LITTLE_ENDIAN
    )
    # Another head under the same UID is another object to Google: this is what it was from 2026 on.
    assert file_head("1.2", "1.2.3", "1.2.840.10008.1.2.1")[128:].hex() == FROZEN


FROZEN = (
    "4449434d02000000554c04008a000000020001004f4200000200000000010200020055490400312e32000200"
    "030055490600312e322e33000200100055491400312e322e3834302e31303030382e312e322e310002001200"
    "55492c00322e32352e3138393436313233373230313835343337303235343136333938323434303331383436"
    "373532310200130053480a00474154455741595f3120"
)
