"""The HTTP client: what goes to whom, what is never followed, and every fault by its name."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from gateway.config.model import Destination, Settings
from gateway.destinations.archive import ArchiveAway
from gateway.destinations.http import HttpClient
from gateway.destinations.http_answer import TooLong, retry_after_s
from gateway.destinations.origin import below, is_link_local, origin_of
from tests.fakes.web_proxy import WebProxy
from tests.fakes.web_server import Asked, Reply, WebServer

Serve = Callable[..., WebServer]


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(ending: ExitStack) -> Serve:
    def start(*arguments: object, **options: object) -> WebServer:
        server = WebServer(*arguments, **options)  # type: ignore[arg-type]
        ending.callback(server.close)
        return server

    return start


@pytest.fixture
def client(ending: ExitStack, tmp_path: Path) -> Callable[..., HttpClient]:
    def make(url: str, **keys: object) -> HttpClient:
        keys = {"connect_s": 2.0, "answer_s": 2.0, **keys}
        one = Destination(name="cloud", kind="dicomweb", url=url, **keys)  # type: ignore[arg-type]
        made = HttpClient(one, Settings(destination=(one,), file=tmp_path / "gateway.toml"))
        ending.callback(made.release)
        return made

    return make


class Pieces:
    """A body that can be read again."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.times = pieces, 0

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __iter__(self) -> Iterator[bytes]:
        self.times += 1
        yield from self.pieces


def away(client: HttpClient, method: str = "GET", path: str = "studies", **more) -> ArchiveAway:
    with pytest.raises(ArchiveAway) as caught, client.request(method, path, **more) as answer:
        answer.read(1 << 20)
    return caught.value


def test_a_request_goes_below_the_base_address_and_its_answer_is_read(serve, client):
    server = serve(lambda _asked: Reply(202, {"Content-Type": 'application/x; a="b"'}, b"fine"))
    body = Pieces(b"one", b"two")
    with client(f"{server.url}/web/").request(
        "POST", "studies/1.2", headers={"Accept": "x/y"}, query=[("a", "1&2")], body=body
    ) as answer:
        assert (answer.status, answer.content_type, answer.read(10)) == (
            202,
            "application/x",
            b"fine",
        )
    [asked] = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", "/web/studies/1.2?a=1%262", b"onetwo")
    assert asked.headers["Content-Length"] == "6" and asked.headers["Accept"] == "x/y"
    assert "Transfer-Encoding" not in asked.headers and "Cookie" not in asked.headers


def test_one_connection_serves_many_requests(serve, client):
    server = serve(lambda _asked: Reply(200, {"Set-Cookie": "a=b"}, b"x"))
    cloud = client(server.url)
    for _ in range(3):
        with cloud.request("GET", "studies") as answer:
            answer.read(1)
    assert server.connections == 1
    assert not any("Cookie" in asked.headers for asked in server.asked)


@pytest.mark.parametrize("path", ["../x", "a/../b", "", "a//b", "a b", "a?b", "a#b", ".", "a\n"])
def test_a_path_that_leads_elsewhere_is_refused(path):
    with pytest.raises(ValueError):
        below("https://a/b", path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_host_is_never_sent_to(serve, client, tmp_path, status, method):
    (tmp_path / "password").write_text("s3cr3t-mark-1")
    other = serve()
    server = serve(lambda _asked: Reply(status, {"Location": f"{other.url}/studies?x=y"}))
    cloud = client(server.url, user="us", password_file=tmp_path / "password")
    fault = away(cloud, method)
    assert (fault.code, fault.whole) == ("redirected", True)
    assert fault.detail == f"{status} {other.url}"
    assert server.asked[0].headers["Authorization"].startswith("Basic ")
    assert not other.asked and not other.connections


def test_the_same_host_may_move_what_is_read_but_not_what_is_written(serve, client):
    server = serve(
        lambda asked: Reply(body=b"x") if asked.path == "/b" else Reply(307, {"Location": "/b"})
    )
    with client(server.url).request("GET", "a") as answer:
        assert answer.read(1) == b"x"
    assert away(client(server.url), "POST", "a").detail == "307 another path"
    assert [asked.method for asked in server.asked] == ["GET", "GET", "POST"]


def test_a_name_beyond_ascii_and_a_blank_in_the_address_reach_its_archive(serve, client):
    server = serve(lambda _asked: Reply(body=b"x"))
    with client(server.url + "/\u00e4 b").request("GET", "a") as answer:
        assert answer.read(1) == b"x"
    assert away(client("http://\u00e4rchiv.invalid/"), path="a").code == "unknown-host"


@pytest.mark.parametrize(
    "form", ["http://{evil}\\@{good}/a", "http://{good}@{evil}/a", "http://{good}\t@{evil}/a"]
)
def test_an_address_that_two_readers_read_differently_is_not_followed(serve, client, form):
    evil = serve(lambda _: Reply(200))
    names = {"evil": evil.url.removeprefix("http://")}

    def astray(request: object) -> Reply:
        good = first.url.removeprefix("http://")
        return Reply(302, {"Location": form.format(good=good, **names)})

    first = serve(astray)
    assert away(client(first.url), path="a").code == "redirected"
    assert not evil.asked


def test_a_redirect_in_circles_or_to_nowhere_ends(serve, client):
    circle = serve(lambda _asked: Reply(302, {"Location": "/a"}))
    assert away(client(circle.url), path="a").code == "redirected"
    assert len(circle.asked) == 6
    assert (
        away(client(serve(lambda _: Reply(302, {"Location": "http://["})).url)).code == "redirected"
    )
    assert (
        away(client(serve(lambda _: Reply(302, {"Location": "ftp://x"})).url)).code == "redirected"
    )


def test_a_name_that_leads_to_a_metadata_service_is_refused_before_anything_is_sent(
    serve, client, monkeypatch
):
    server = serve()
    monkeypatch.setattr("gateway.destinations.http_line.is_link_local", lambda peer: peer != "")
    fault = away(client(f"http://localhost:{server.port}"))
    assert (fault.code, fault.detail) == ("address-refused", "127.0.0.1")
    assert not server.asked
    with client(server.url).request("GET", "a") as answer:  # a person wrote this very address
        assert answer.status == 200


def test_link_local_addresses_are_known():
    for address in ("169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254"):
        assert is_link_local(address)
    for address in ("127.0.0.1", "10.0.0.1", "fd00:ec2::254", "", "x"):
        assert not is_link_local(address)


def test_an_origin_is_scheme_host_and_port():
    assert origin_of("https://A.example/x") == origin_of("https://a.example:443")
    assert (
        len({origin_of(one) for one in ("http://a", "https://a", "http://a:81", "http://b")}) == 4
    )
    assert str(origin_of("http://[::1]:8042/x")) == "http://[::1]:8042"


def test_each_way_not_to_be_reached_has_its_code(client, free_port):
    assert away(client(f"http://127.0.0.1:{free_port()}")).code == "connection-refused"
    assert away(client("http://no-such-host.invalid")).code == "unknown-host"
    assert (
        away(client("http://a", proxy=f"http://127.0.0.1:{free_port()}")).code
        == "proxy-unreachable"
    )


def test_a_connection_that_nobody_takes_ends_in_time(client):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        stuffing = [socket.socket() for _ in range(4)]
        for one in stuffing:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        begun = time.monotonic()
        fault = away(client(f"http://127.0.0.1:{full.getsockname()[1]}", connect_s=0.3))
        assert (fault.code, time.monotonic() - begun < 2) == ("connect-timeout", True)
        for one in stuffing:
            one.close()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "closed"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "not-http"),
        (b"220 mail ready\r\n", "not-http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", "not-http"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n??", "not-http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "not-http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "not-http"),
        (b"HTTP/1.1 99999 OK\r\n\r\n", "not-http"),
    ],
)
def test_an_answer_that_is_none_has_its_code(serve, client, raw, code):
    server = serve(lambda _asked: Reply(raw=raw))
    cloud = client(server.url)
    if code:
        assert away(cloud).code == code
    else:
        with cloud.request("GET", "a") as answer:
            assert answer.read(10) == b""


def test_a_silent_archive_is_hung_up_on(serve, client):
    let_go = threading.Event()
    server = serve(lambda _asked: Reply(hang_up=let_go.wait(20)))
    assert away(client(server.url, answer_s=0.3)).code == "timeout"
    let_go.set()


def test_an_answer_before_the_whole_body_was_taken_is_read(serve, client):
    server = serve(lambda _asked: Reply(413, body=b"too much"), early=True)
    body = Pieces(*[bytes(65_536)] * 800)
    with client(server.url).request("POST", "studies", body=body) as answer:
        assert answer.status == 413


def test_a_packed_body_is_unpacked_up_to_a_bound(serve, client):
    import gzip

    server = serve(
        lambda _asked: Reply(200, {"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000)))
    )
    cloud = client(server.url)
    with cloud.request("GET", "a") as answer, pytest.raises(TooLong):
        answer.read(100_000)
    with cloud.request("GET", "a") as answer:
        assert sum(map(len, answer.pieces())) == 50_000_000


@pytest.mark.parametrize("at", ["connecting", "waiting", "reading"])
def test_a_request_that_hangs_is_ended_from_another_thread(serve, client, at):
    hang, let_go = threading.Event(), threading.Event()

    def answer(_asked: Asked) -> Reply:
        hang.set()
        let_go.wait(20)
        return Reply()

    server = serve(answer)
    cloud = client(server.url, answer_s=30.0)
    if at == "reading":
        server.answer = lambda _asked: Reply(200, {"Content-Length": "10"}, b"x")
    faults: list[ArchiveAway] = []
    if at == "connecting":
        cloud.interrupt()
    thread = threading.Thread(target=lambda: faults.append(away(cloud)))
    thread.start()
    if at == "waiting":
        assert hang.wait(10)
    if at == "reading":
        while not server.asked:
            time.sleep(0.01)
    cloud.interrupt()
    thread.join(10)
    let_go.set()
    assert [fault.code for fault in faults] == ["stopped"]


@pytest.mark.parametrize(
    ("value", "wanted_s"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", 0),
        ("-1", 0),
        ("", 0),
        ("soon", 0),
        ("9" * 30, 86_400),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("٣", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, wanted_s):
    assert retry_after_s(value, now=1000.0) == wanted_s


@pytest.fixture(scope="session")
def certificate(tmp_path_factory, program) -> Path:
    """Return a file with a self-signed certificate of 127.0.0.1 and pacs.example, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            *(program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(folder / "key"), "-out", str(folder / "certificate")),
            *("-subj", "/CN=pacs", "-addext", "subjectAltName=IP:127.0.0.1,DNS:pacs.example"),
        ],
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_bytes((folder / "certificate").read_bytes() + (folder / "key").read_bytes())
    return both


@pytest.fixture
def secure(serve, certificate) -> WebServer:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return serve(lambda _asked: Reply(body=b"x"), context=context)


def test_an_archive_is_trusted_by_its_own_authority_alone(secure, client, certificate):
    with client(secure.url, tls_ca=certificate).request("GET", "a") as answer:
        assert answer.read(1) == b"x"
    assert away(client(secure.url)).code == "tls-unknown-ca"
    wrong_name = client(secure.url, tls_ca=certificate, tls_server_name="other.example")
    assert away(wrong_name).code == "tls-wrong-name"
    right = client(secure.url, tls_ca=certificate, tls_server_name="pacs.example")
    with right.request("GET", "a") as answer:
        assert answer.status == 200
    assert len(secure.asked) == 2


def test_an_archive_sees_our_certificate_when_it_asks_for_one(serve, client, certificate):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    server = serve(context=context)
    keys = {"tls_certificate": certificate, "tls_key": certificate}
    with client(server.url, tls_ca=certificate, **keys).request("GET", "a") as answer:
        assert answer.status == 200
    # With TLS 1.3 the refusal comes after the handshake, and may be overtaken by the hanging up.
    code = away(client(server.url, tls_ca=certificate)).code
    assert code in ("tls-own-certificate-missing", "tls-closed")
    assert len(server.asked) == 1


def test_a_plain_server_behind_https_is_said_to_be_one(serve, client):
    server = serve()
    fault = away(client(server.url.replace("http:", "https:")))
    assert fault.code == "tls-plain-peer"
    assert not server.asked


def test_a_file_of_ours_that_is_missing_is_said_to_be_missing(secure, client, tmp_path):
    fault = away(client(secure.url, tls_ca=tmp_path / "none"))
    assert (fault.code, fault.whole) == ("tls-file-unreadable", True)
    assert not secure.asked


def test_what_goes_through_a_proxy_is_as_encrypted_as_without(secure, client, certificate):
    with closing(WebProxy()) as proxy:
        cloud = client(secure.url, tls_ca=certificate, proxy=proxy.url)
        with cloud.request("GET", "not-for-the-proxy") as answer:
            assert answer.read(1) == b"x"
        cloud.release()
        assert proxy.asked == [f"CONNECT 127.0.0.1:{secure.port} HTTP/1.0"]
        assert b"not-for-the-proxy" not in proxy.seen and len(proxy.seen) > 100


@pytest.mark.parametrize("status", [b"407 Proxy Authentication Required", b"403 Forbidden"])
def test_a_proxy_that_refuses_is_said_to_refuse(secure, client, status):
    with closing(WebProxy(refuses=b"HTTP/1.1 " + status + b"\r\n\r\n")) as proxy:
        fault = away(client(secure.url, proxy=proxy.url))
        assert (fault.code, fault.detail) == ("proxy-refused", status[:3].decode())


def test_proxies_and_passwords_of_the_environment_are_not_used(
    serve, client, monkeypatch, tmp_path
):
    server = serve()
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with client(server.url).request("GET", "a") as answer:
        assert answer.status == 200
    assert "Authorization" not in server.asked[0].headers
