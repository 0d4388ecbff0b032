"""Who we are, in each way that an archive may ask for it; a secret is never shown."""

import base64
import datetime
import hashlib
import hmac
import json
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.config.model import Destination, Settings
from gateway.config.secret import Secret
from gateway.destinations.archive import ArchiveAway
from gateway.destinations.auth_google import key_of, signed
from gateway.destinations.http import HttpClient
from tests.fakes.web_server import Asked, Reply, WebServer

Client = Callable[..., HttpClient]


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(ending) -> Callable[..., WebServer]:
    def start(*arguments: object) -> WebServer:
        server = WebServer(*arguments)  # type: ignore[arg-type]
        ending.callback(server.close)
        return server

    return start


@pytest.fixture
def client(ending, tmp_path) -> Client:
    def make(url: str, **keys: object) -> HttpClient:
        one = Destination(name="cloud", kind="dicomweb", url=url, **keys)  # type: ignore[arg-type]
        made = HttpClient(one, Settings(destination=(one,), file=tmp_path / "gateway.toml"))
        ending.callback(made.release)
        return made

    return make


@pytest.fixture
def secret(tmp_path) -> Callable[..., Path]:
    def write(text: str, name: str = "secret") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def status_of(client: HttpClient, method: str = "GET", **more: object) -> int:
    with client.request(method, "studies", **more) as answer:  # type: ignore[arg-type]
        answer.read(1 << 16)
    return answer.status


def refused(client: HttpClient) -> ArchiveAway:
    with pytest.raises(ArchiveAway) as caught:
        status_of(client)
    assert caught.value.whole
    return caught.value


def test_without_any_setting_nothing_is_said_about_us(serve, client):
    server = serve(lambda _asked: Reply(401))
    assert status_of(client(server.url)) == 401
    assert len(server.asked) == 1 and "Authorization" not in server.asked[0].headers


def test_a_user_and_a_password_are_sent_with_every_request(serve, client, secret):
    server = serve()
    assert (
        status_of(client(server.url, user="ünser", password_file=secret("s3cr3t-mark-pä:ss")))
        == 200
    )
    kind, _, packed = server.asked[0].headers["Authorization"].partition(" ")
    assert (kind, base64.b64decode(packed).decode()) == ("Basic", "ünser:s3cr3t-mark-pä:ss")


def test_a_token_is_read_again_when_its_file_changes(serve, client, secret):
    good = {"Bearer one"}
    server = serve(lambda asked: Reply(200 if asked.headers.get("Authorization") in good else 401))
    cloud = client(server.url, token_file=secret("one"))
    assert status_of(cloud) == 200
    secret("two")
    good.add("Bearer two")
    assert status_of(cloud) == 200
    assert [one.headers["Authorization"] for one in server.asked] == ["Bearer one", "Bearer two"]


def test_a_401_is_answered_with_something_newer_once_and_only_if_there_is_something(
    serve, client, secret
):
    file = secret("old")

    def answer(asked: Asked) -> Reply:
        file.write_text("new")
        return Reply(200 if asked.headers["Authorization"] == "Bearer new" else 401)

    server = serve(answer)
    cloud = client(server.url, token_file=file)
    assert status_of(cloud, "POST", body=b"body") == 200
    assert [one.body for one in server.asked] == [b"body", b"body"]
    server.answer = lambda _asked: Reply(401)
    assert status_of(cloud) == 401
    assert len(server.asked) == 3  # the file says the same: nothing to try again with


class TokenServer:
    """Gives out token-1, token-2, …; refuses whom it does not know."""

    def __init__(self, serve, *, takes: str = "basic", **more: object) -> None:
        self.given, self.takes = 0, takes
        self.more = {"token_type": "Bearer", "expires_in": 3600, **more}
        self.server = serve(self.answer)
        self.url = f"{self.server.url}/oauth/token"
        self.refuses: Reply | None = None

    def answer(self, asked: Asked) -> Reply:
        form = urllib.parse.parse_qs(asked.body.decode())
        packed = asked.headers.get("Authorization", "").removeprefix("Basic ")
        by_basic = base64.b64decode(packed + "==")[:9] == b"us%40pacs"
        by_form = form.get("client_secret") == ["s3cr3t-mark- cr/et"]
        if self.refuses:
            return self.refuses
        if not (by_basic if self.takes == "basic" else by_form):
            return Reply(401, body=b'{"error": "invalid_client"}')
        self.given += 1
        said = {"access_token": f"token-{self.given}", **self.more}
        return Reply(body=json.dumps(said).encode())


def client_keys(tokens: TokenServer, secret) -> dict[str, object]:
    return {
        "token_url": tokens.url,
        "client_id": "us@pacs",
        "client_secret_file": secret("s3cr3t-mark- cr/et"),
        "scope": "store find",
    }


@pytest.mark.parametrize("takes", ["basic", "form"])
def test_a_client_gets_a_token_and_uses_it_until_shortly_before_its_end(
    serve, client, secret, takes, monkeypatch
):
    tokens, server, now = TokenServer(serve, takes=takes), serve(), [1000.0]
    monkeypatch.setattr("gateway.destinations.auth_token.time.monotonic", lambda: now[0])
    cloud = client(server.url, **client_keys(tokens, secret))
    for passed_s in (0, 10, 3400, 130):
        now[0] += passed_s
        assert status_of(cloud) == 200
    used = [one.headers["Authorization"] for one in server.asked]
    assert used == [f"Bearer token-{n}" for n in (1, 1, 1, 2)]
    form = urllib.parse.parse_qs(tokens.server.asked[-1].body.decode())
    assert (form["grant_type"], form["scope"]) == (["client_credentials"], ["store find"])
    assert len(tokens.server.asked) == (2 if takes == "basic" else 3)


def test_a_token_that_the_archive_refuses_is_replaced_once(serve, client, secret):
    tokens = TokenServer(serve)
    server = serve(
        lambda asked: Reply(200 if asked.headers["Authorization"] == "Bearer token-2" else 401)
    )
    cloud = client(server.url, **client_keys(tokens, secret))
    assert status_of(cloud, "POST", body=b"body") == 200
    server.answer = lambda _asked: Reply(401)
    assert status_of(cloud) == 401
    assert tokens.given == 3 and len(server.asked) == 4


@pytest.mark.parametrize("expires", ["120", 120, 0, -1, None, "x", 1e99, True])
def test_a_token_whose_life_is_said_strangely_is_used_all_the_same(serve, client, secret, expires):
    tokens, server = TokenServer(serve, expires_in=expires), serve()
    cloud = client(server.url, **client_keys(tokens, secret))
    assert status_of(cloud) == 200


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (
            Reply(400, body=b'{"error": "invalid_scope", "error_description": "no\\nfind"}'),
            "no\nfind",
        ),
        (
            Reply(
                401, body=b'{"error": "invalid_client", "error_description": "s3cr3t-mark- cr/et?"}'
            ),
            "***?",
        ),
        (Reply(500, body=b'{"error": "s3cr3t-mark-+cr%2Fet"}'), "500 ***"),
        (Reply(500, body=b'{"error": "dXMlNDBwYWNzOnMzY3IzdC1tYXJrLSUyMGNyJTJGZXQ="}'), "500 ***"),
        (Reply(200, body=b"<html>log in</html>"), "200"),
        (Reply(200, body=b'{"access_token": ""}'), "200"),
        (Reply(200, body=b'{"access_token": 7}'), "200"),
        (Reply(200, body=b'["access_token"]'), "200"),
        (Reply(200, body=b"[" * 60_000), "200"),
        (Reply(200, body=b"x" * 100_000), "200"),
        (Reply(302, {"Location": "http://127.0.0.1:9/"}), "302"),
        (Reply(503, {"Retry-After": "7"}), "503"),
    ],
)
def test_a_token_server_that_gives_none_is_quoted_without_our_secret(
    serve, client, secret, reply, says
):
    tokens, server = TokenServer(serve), serve()
    tokens.refuses = reply
    fault = refused(client(server.url, **client_keys(tokens, secret)))
    assert fault.code == "token-refused" and says in fault.detail
    assert "s3" not in str(fault) and len(fault.detail) < 300
    assert fault.retry_after_s == (7 if reply.status == 503 else 0)
    assert not server.asked


def test_a_token_server_that_is_away_is_said_to_be_away(serve, client, secret, free_port):
    server = serve()
    keys = client_keys(TokenServer(serve), secret)
    keys["token_url"] = f"http://127.0.0.1:{free_port()}/token"
    fault = refused(client(server.url, **keys))
    assert fault.code == "token-unreachable" and "connection-refused" in fault.detail
    assert not server.asked


@pytest.mark.parametrize("keys", [{"password_file": "none", "user": "a"}, {"token_file": "none"}])
def test_a_missing_secret_is_named_by_its_file_and_nothing_is_sent(serve, client, tmp_path, keys):
    server = serve()
    keys = {key: tmp_path / one if key.endswith("file") else one for key, one in keys.items()}
    fault = refused(client(server.url, **keys))
    assert (fault.code, fault.detail) == ("secret-missing", str(tmp_path / "none"))
    assert not server.asked


@pytest.fixture(scope="session")
def rsa_key(tmp_path_factory, program) -> Path:
    file = tmp_path_factory.mktemp("rsa") / "key.pem"
    command = [program("openssl"), "genpkey", "-algorithm", "RSA", "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    return file


def google_key(rsa_key: Path, token_url: str) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "client_email": "us@project.example",
            "private_key_id": "k1",
            "private_key": rsa_key.read_text(),
            "token_uri": token_url,
        }
    )


def unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_google_statement_is_signed_as_openssl_would(rsa_key, program, tmp_path):
    key = key_of(Secret(google_key(rsa_key, "https://oauth.example/token")), Path("key"))
    statement = signed(key, "a b", 1_700_000_000, Path("key"))
    head, claims, signature = statement.split(".")
    assert json.loads(unpacked(head)) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert json.loads(unpacked(claims)) == {
        "iss": "us@project.example",
        "scope": "a b",
        "aud": "https://oauth.example/token",
        "iat": 1_700_000_000,
        "exp": 1_700_003_600,
    }
    (tmp_path / "signature").write_bytes(unpacked(signature))
    (tmp_path / "message").write_text(f"{head}.{claims}")
    public = tmp_path / "public.pem"
    openssl = program("openssl")
    subprocess.run([openssl, "pkey", "-in", rsa_key, "-pubout", "-out", public], check=True)
    verify = ["dgst", "-sha256", "-verify", public, "-signature", tmp_path / "signature"]
    said = subprocess.run([openssl, *verify, tmp_path / "message"], capture_output=True, text=True)
    assert said.stdout == "Verified OK\n"


def test_a_google_account_exchanges_its_statement_for_a_token(serve, client, secret, rsa_key):
    def give(asked: Asked) -> Reply:
        form = urllib.parse.parse_qs(asked.body.decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        claims = json.loads(unpacked(form["assertion"][0].split(".")[1]))
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-healthcare"
        return Reply(body=b'{"access_token": "from-google", "expires_in": 3599}')

    tokens, server = serve(give), serve()
    key = secret(google_key(rsa_key, f"{tokens.url}/token"))
    assert status_of(client(server.url, google_key_file=key)) == 200
    assert server.asked[0].headers["Authorization"] == "Bearer from-google"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"private_key": "x"}', "PEM", "no key", "EC key", "bad token_uri"],
)
def test_what_is_no_google_key_is_named_and_not_shown(client, secret, text, rsa_key, program):
    if text == "PEM":
        text = rsa_key.read_text()
    if text == "no key":
        text = google_key(rsa_key, "http://a/b").replace("MII", "QQQ")
    if text == "EC key":
        made = subprocess.run(
            [program("openssl"), "ecparam", "-genkey", "-name", "prime256v1", "-noout"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        text = json.dumps(json.loads(google_key(rsa_key, "http://a/b")) | {"private_key": made})
    if text == "bad token_uri":
        text = google_key(rsa_key, "file:///etc/passwd")
    fault = refused(client("http://127.0.0.1:9", google_key_file=secret(text)))
    assert (fault.code, fault.detail) == ("google-key", str(secret(text)))
    assert "MII" not in repr(fault) and fault.__cause__ is None


def aws_signature(asked: Asked, host: str, key: str, region: str, service: str) -> str:
    """Return the signature that AWS would compute, by its own description of the steps."""
    names = asked.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    given = {name.lower(): value for name, value in asked.headers.items()} | {"host": host}
    path, _, query = asked.path.partition("?")
    digest = hashlib.sha256(asked.body).hexdigest()
    canonical = "\n".join(
        [
            asked.method,
            path,
            "&".join(sorted(query.split("&"))),
            *[f"{name}:{' '.join(given[name].split())}" for name in names],
            "",
            ";".join(names),
            digest,
        ]
    )
    assert given.get("x-amz-content-sha256", digest) == digest
    stamp = given["x-amz-date"]
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    said = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{said}"
    derived = f"AWS4{key}".encode()
    for part in scope.split("/"):
        derived = hmac.digest(derived, part.encode(), "sha256")
    return hmac.digest(derived, to_sign.encode(), "sha256").hex()


def test_our_reading_of_the_description_gives_the_signature_that_aws_published():
    """The case get-vanilla of AWS's own suite for Signature Version 4."""
    headers = {"Authorization": "SignedHeaders=host;x-amz-date, ", "X-Amz-Date": "20150830T123600Z"}
    key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    asked = Asked("GET", "/", headers, b"")
    signature = aws_signature(asked, "example.amazonaws.com", key, "us-east-1", "service")
    assert signature == "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


class Pieces:
    """A body that must not be read into memory: it has no read and is no bytes."""

    def __len__(self) -> int:
        return 300_000

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 100_000


@pytest.mark.parametrize("token", ["", "aws_session_token = SESSION/T0KEN=="])
@pytest.mark.parametrize("body", [None, b"some bytes", Pieces()])
def test_a_request_is_signed_for_aws_over_the_body_that_is_sent(serve, client, secret, token, body):
    file = secret(
        "[other]\naws_access_key_id = NO\n[default]\naws_access_key_id = AKIDEXAMPLE\n"
        f"aws_secret_access_key = s3cr3t-mark-FEMI/K7MDENG+bPxRfiCY\n{token}\n"
    )
    server = serve()
    cloud = client(server.url, aws_region="us-east-1", aws_credentials_file=file)
    with cloud.request(
        "POST", "datastore/a1/studies", query=[("limit", "1"), ("a", "b c")], body=body
    ) as answer:
        assert answer.status == 200
    [asked] = server.asked
    sent = asked.headers["Authorization"]
    assert sent.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-east-1/medical-imaging/aws4_request" in sent
    assert asked.headers.get("X-Amz-Security-Token", "") == token.partition(" = ")[2]
    at = datetime.datetime.strptime(asked.headers["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
    assert abs((at - datetime.datetime.now(datetime.UTC)).total_seconds()) < 60
    key = "s3cr3t-mark-FEMI/K7MDENG+bPxRfiCY"
    wanted = aws_signature(asked, f"127.0.0.1:{server.port}", key, "us-east-1", "medical-imaging")
    assert sent.endswith(f"Signature={wanted}")


@pytest.mark.parametrize(
    "text", ["", "aws_access_key_id = K3Y", "[x]\na = b", "[default]\na = K3Y"]
)
def test_what_holds_no_aws_credentials_is_named_and_not_shown(client, secret, text):
    keys = {"aws_region": "r", "aws_credentials_file": secret(text)}
    fault = refused(client("http://127.0.0.1:9", **keys))
    assert (fault.code, fault.detail) == ("aws-credentials", str(secret(text)))
    assert "K3Y" not in repr(fault) and fault.__cause__ is None


def test_a_missing_extra_is_said_by_its_name(client, secret, monkeypatch, rsa_key):
    import sys

    monkeypatch.setitem(sys.modules, "requests_aws4auth.aws4auth", None)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    file = secret("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    fault = refused(client("http://127.0.0.1:9", aws_region="r", aws_credentials_file=file))
    assert (fault.code, fault.detail) == ("extra-missing", "aws")
    key = secret(google_key(rsa_key, "http://127.0.0.1:9/t"))
    fault = refused(client("http://127.0.0.1:9", google_key_file=key))
    assert (fault.code, fault.detail) == ("extra-missing", "google")
