"""A secret is read from its file at each use, and shown to nobody."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.model import Destination, Settings
from gateway.config.problems import ConfigError
from gateway.config.secret import Secret, SecretUnreadable, first_line, place_of, whole
from gateway.config.secret_files import notices
from gateway.config.show import show


@pytest.fixture
def secret(tmp_path) -> Callable[..., Path]:
    def write(text: str, name: str = "secret") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_a_secret_shows_itself_to_nobody():
    one = Secret("s3cr3t-mark-2")
    for shown in (str(one), repr(one), f"{one}", "%s" % one, str([one]), repr({"a": one})):  # noqa: UP031
        assert "s3cr3t-mark-2" not in shown and "***" in shown
    with pytest.raises(TypeError):
        pickle.dumps(one)
    assert (one == Secret("s3cr3t-mark-2"), one == Secret("x"), one == "s3cr3t-mark-2") == (
        True,
        False,
        False,
    )
    assert one.masked("it was s3cr3t-mark-2!") == "it was ***!" and Secret("").masked("a") == "a"


def test_a_secret_is_the_first_line_of_its_file(secret, tmp_path):
    assert first_line(secret("\ufeff s3cr3t-mark-2 \r\nmore\n")).reveal() == "s3cr3t-mark-2"
    for text in ("", "\n", "  \ns3cr3t-mark-2"):
        with pytest.raises(SecretUnreadable, match="secret-empty"):
            first_line(secret(text))
    with pytest.raises(SecretUnreadable, match="secret-missing"):
        first_line(secret("x").with_name("none"))
    (tmp_path / "secret").write_bytes(b"s3cr3t-mark-2\xff")
    with pytest.raises(SecretUnreadable, match="secret-unreadable") as caught:
        whole(tmp_path / "secret")
    assert "s3cr3t-mark-2" not in repr(caught.value) and caught.value.__cause__ is None


def test_a_bare_name_is_looked_for_among_the_credentials_of_systemd(tmp_path, monkeypatch):
    given, config = tmp_path / "given", tmp_path / "config"
    given.mkdir()
    (given / "pacs").write_text("from systemd")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    assert place_of(config / "pacs", config) == given / "pacs"
    assert place_of(config / "other", config) == config / "other"
    assert place_of(Path("/elsewhere/pacs"), config) == Path("/elsewhere/pacs")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert place_of(config / "pacs", config) == config / "pacs"


def problems(tmp_path: Path, keys: str) -> list[tuple[str, str]]:
    file = tmp_path / "gateway.toml"
    head = '[[destination]]\nname = "cloud"\nkind = "dicomweb"\nurl = "https://a.example/web"\n'
    file.write_text(head + keys)
    try:
        assert "s3cret" not in show(load(file))
    except ConfigError as fault:
        assert "s3cret" not in str(fault)
        return [(one.key.removeprefix("destination[1]."), one.code) for one in fault.problems]
    return []


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ('user = "a"\npassword_file = "b"', []),
        ('user = "a"', [("password_file", "missing")]),
        ('token_url = "http://a/b"', [("client_id", "missing"), ("client_secret_file", "missing")]),
        ('aws_credentials_file = "a"', [("aws_region", "missing")]),
        ('token_file = "a"\ngoogle_key_file = "b"', [("google_key_file", "two-authentications")]),
        ('user = "a:b"\npassword_file = "b"', [("user", "bad-user")]),
        ('password = "s3cret"', [("password", "secret-in-file")]),
        ('client_secret = "s3cret"', [("client_secret", "secret-in-file")]),
        ('token_url = "https://a:s3cret@b/c"', [("token_url", "secret-in-file")]),
        ('proxy = "http://a:s3cret@b:1"', [("proxy", "bad-proxy")]),
        ('proxy = "http://a:3128"', []),
        ('proxy = "http://a:3128/"', []),
        ('proxy = "http://a"', [("proxy", "bad-proxy")]),
        ('proxy = "socks5://a:1"', [("proxy", "bad-proxy")]),
    ],
)
def test_a_destination_has_one_whole_way_to_log_in(tmp_path, keys, wanted):
    assert problems(tmp_path, keys) == wanted


def test_check_says_what_is_wrong_with_a_file_that_holds_a_secret(secret, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    good, open_to_all = secret("s3cret"), secret("s3cret", "open")
    good.chmod(0o640)
    open_to_all.chmod(0o644)
    web = {"kind": "dicomweb", "url": "http://pacs.example/"}
    ones = (
        Destination(name="a", **web, user="u", password_file=open_to_all),
        Destination(name="b", kind="dicomweb", url="https://b", token_file=good),
        Destination(name="c", kind="dicomweb", url="https://c", token_file=good.with_name("none")),
        Destination(name="d", kind="dicomweb", url="http://127.0.0.1", google_key_file=good),
        Destination(name="e", kind="dicomweb", url="http://e"),
    )
    found = list(notices(Settings(destination=ones, file=good.with_name("gateway.toml"))))
    assert [(one.code, one.key) for one in found] == [
        ("secret-file-open", "destination[1].password_file"),
        ("secret-in-clear", "destination[1].url"),
        ("secret-not-found", "destination[3].token_file"),
        ("extra-not-installed", "destination[4].google_key_file"),
    ]
    assert not any("s3cret" in one.text for one in found)
