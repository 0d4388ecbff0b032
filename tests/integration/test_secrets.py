"""No secret is seen anywhere but where it belongs: the program runs, with secrets known to us.

What it logs at its most talkative, keeps, prints and shows the system of itself is searched, for
the secrets as they are and packed. The servers beside it do what gives secrets away: repeat them in
errors, refuse them, send elsewhere, hang up.
"""

import base64
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.appliance import Gateway, archive
from tests.fakes.known_secrets import forms_of, found_in, new_secret
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, small
from tests.fakes.running import Running
from tests.fakes.upper_layer import US_IMAGE
from tests.fakes.web_server import Asked, Reply, WebServer

WEB = {"kind": "dicomweb", "confirm": "none"}


class Cloud:
    """A DICOMweb archive that keeps what a request with the right words brings."""

    def __init__(self, ending: ExitStack, wanted: str, *, moves: bool = False) -> None:
        self.wanted, self.moves = wanted, moves
        self.server = WebServer(self.answer)
        ending.callback(self.server.close)

    def answer(self, asked: Asked) -> Reply:
        said = asked.headers.get("Authorization", "")
        if said != self.wanted:
            if self.moves:
                return Reply(307, {"Location": f"/{said.split()[-1]}?{said.split()[-1]}"})
            # As careless servers do: what was wrong, word for word, in body and headers.
            told = json.dumps({"error": "invalid_client", "error_description": said}).encode()
            return Reply(401, {"X-Said": said, "Location": said}, told)
        return Reply(200, {"Content-Type": "application/dicom+json"}, stored(asked.body))


def stored(body: bytes) -> bytes:
    """Return that the objects of a request are stored."""
    items = [
        {
            "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.6.1"]},
            "00081155": {"vr": "UI", "Value": [uid.decode()]},
        }
        for uid in UIDS
        if uid in body
    ]
    return json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()


UIDS: list[bytes] = []


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    """Return known secrets by name, each in a file of that name that only we read."""
    found = {name: new_secret(name) for name in ("password", "token", "client", "wrong", "aws")}
    for name, secret in found.items():
        text = f"{secret}\n"
        if name == "aws":
            text = f"[default]\naws_access_key_id = AKID\naws_secret_access_key = {secret}\n"
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    return found


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_no_secret_is_seen_where_it_does_not_belong(
    secrets: dict[str, str],
    tmp_path: Path,
    make_gateway: Callable[..., Gateway],
    ending: ExitStack,
) -> None:
    issued = new_secret("issued")

    def give(asked: Asked) -> Reply:
        if base64.b64encode(f"us:{secrets['client']}".encode()).decode() in str(asked.headers):
            return Reply(body=json.dumps({"access_token": issued, "expires_in": 3600}).encode())
        told = {"error": "no", "error_description": asked.headers.get("Authorization", form(asked))}
        return Reply(401, body=json.dumps(told).encode())

    tokens = WebServer(give)
    ending.callback(tokens.close)
    kind = {
        "basic": (basic("us", secrets["password"]), {"user": "us", "password_file": "password"}),
        "bearer": (f"Bearer {secrets['token']}", {"token_file": "token"}),
        "client": (f"Bearer {issued}", client(tokens, "client")),
        "refused": ("nothing", {"user": "us", "password_file": "wrong"}),
        "moved": ("nothing", {"token_file": "token"}),
        "untold": ("nothing", client(tokens, "wrong")),
        "signed": ("nothing", {"aws_region": "here", "aws_credentials_file": "aws"}),
    }
    clouds = {
        name: Cloud(ending, wanted, moves=name == "moved") for name, (wanted, _) in kind.items()
    }
    gateway = make_gateway(
        destination=[
            archive(1, name, url=f"{clouds[name].server.url}/web", **WEB, **keys)
            for name, (_, keys) in kind.items()
        ],
        compress={"transfer_syntax": "none", "workers": 1},
        log={"level": "debug"},
    )
    running = gateway.start()
    with Modality(gateway.port) as modality:
        for _ in range(2):
            uid = new_uid()
            UIDS.append(uid.encode())
            assert modality.store(US_IMAGE, uid, small(uid)) == 0
    for name in ("basic", "bearer", "client"):
        running.wait_for(f"forward@{name} sent ", count=2)
    for name in ("refused", "moved", "untold", "signed"):
        running.wait_for(f"forward@{name} (away|refused|held)")
    shown = everything_shown(gateway, running, list(kind))
    running.ask_to_end()
    running.wait(30)
    allowed = {tmp_path / name for name in secrets}
    for secret in (*secrets.values(), issued):
        assert not any(one in shown for one in forms_of(secret))
        assert found_in(secret, tmp_path, allowed) == []


def form(asked: Asked) -> str:
    return asked.body.decode()


def client(tokens: WebServer, secret_file: str) -> dict[str, object]:
    return {
        "token_url": f"{tokens.url}/token",
        "client_id": "us",
        "client_secret_file": secret_file,
    }


def everything_shown(gateway: Gateway, running: Running, destinations: list[str]) -> bytes:
    """Return all that verbs print, and what the system shows of our processes."""
    shown = bytearray()
    ids = [str(one["id"]) for one in gateway.queue()]
    for verb in (
        ("config", "show"),
        ("config", "show", "--json"),
        ("status", "--json"),
        ("status",),
        ("check", "--json"),
        ("queue", "list", "--json"),
        *(("queue", "show", one, "--json") for one in ids),
        *(("queue", "show", one) for one in ids),
        *(("echo", one) for one in destinations),
    ):
        done = gateway.verb(*verb)
        assert done.stdout, (verb, done.stderr)
        shown += done.stdout.encode() + done.stderr.encode()
    for process in family(running.pid):
        for file in ("cmdline", "environ"):
            shown += Path(f"/proc/{process}/{file}").read_bytes()
    return bytes(shown)


def family(pid: int) -> list[int]:
    """Return a process and all below it (man 5 proc, children)."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for task in Path(f"/proc/{one}/task").iterdir():
            todo += [int(child) for child in (task / "children").read_text().split()]
    assert len(found) > 2
    return found


def test_the_search_finds_a_secret_in_each_of_its_forms(tmp_path: Path) -> None:
    secret = new_secret("search")
    for number, form in enumerate(
        (
            secret,
            basic("us", secret),
            basic("another", secret),
            json.dumps({"a": secret}),
            secret.encode().hex(),
        )
    ):
        (tmp_path / str(number)).write_text(f"before {form} after")
    (tmp_path / "nothing").write_text("nothing")
    assert len(found_in(secret, tmp_path, set())) == 5
