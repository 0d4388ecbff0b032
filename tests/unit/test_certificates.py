"""certificates: what is wrong with one is told by `check` and `status`, a month ahead."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import certificates, operate
from gateway.cli import main
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.config.problems import ConfigError
from gateway.dicom.certificate import Certificate
from gateway.language import set_language
from gateway.start import start
from tests.fakes.authority import Authority

DAY_S = 86_400


@pytest.fixture(scope="module")
def authority(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(program("openssl"), tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def english() -> None:
    set_language("en")


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function from the sections of doors and destinations to a file with them."""

    def write(text: str) -> Path:
        path = tmp_path / "gateway.toml"
        state = f'[gateway]\nstate_dir = "{tmp_path / "state"}"\n'
        path.write_text(state + text, encoding="utf-8")
        return path

    return write


def door(certificate: object, key: object) -> str:
    files = f'certificate = "{certificate}"\nkey = "{key}"\n'
    return f'[[listen]]\nkind = "dicom-tls"\naddress = "127.0.0.1"\nport = 0\n{files}'


def destination(**more: object) -> str:
    given = {"name": "central", "host": "127.0.0.1", "port": 2762, "ae_title": "PACS", **more}
    return "[[destination]]\n" + "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in given.items()
    )


class TestOfTheConfiguration:
    """What would go in plain text although somebody wanted otherwise is refused."""

    def problems(self, path: Path) -> dict[str, str]:
        with pytest.raises(ConfigError) as raised:
            load(path)
        return {one.key: one.code for one in raised.value.problems}

    @pytest.mark.parametrize("key", ["tls_ca", "tls_certificate", "tls_key", "tls_server_name"])
    def test_a_key_of_tls_without_tls(self, configured, key) -> None:
        found = self.problems(configured(destination(**{key: "x"})))
        assert found[f"destination[1].{key}"] == "tls-off"

    def test_a_web_address_in_plain_text_with_certificates(self, configured) -> None:
        web = {"kind": "dicomweb", "url": "http://pacs/dicom-web"}
        found = self.problems(configured(destination(**web, tls_ca="ca.pem", tls=True)))
        assert found == {"destination[1].tls_ca": "tls-off", "destination[1].tls": "tls-off"}

    def test_a_plain_door_with_a_certificate(self, configured) -> None:
        found = self.problems(configured('[[listen]]\ncertificate = "a.pem"\nkey = "a.key"\n'))
        assert found == {"listen[1].certificate": "tls-off", "listen[1].key": "tls-off"}

    @pytest.mark.parametrize(
        ("given", "wanted"),
        [("tls_certificate", "tls_key"), ("tls_key", "tls_certificate")],
    )
    def test_half_a_pair(self, configured, given, wanted) -> None:
        found = self.problems(configured(destination(tls=True, **{given: "x.pem"})))
        assert found == {f"destination[1].{wanted}": "missing"}

    def test_what_is_whole_is_taken_and_no_file_is_opened(self, configured) -> None:
        keys = {"tls_ca": "/no/ca.pem", "tls_certificate": "/no/a.pem", "tls_key": "/no/a.key"}
        web = destination(name="web", kind="dicomweb", url="https://pacs/dicom-web", **keys)
        settings = load(configured(destination(tls=True, **keys) + web))
        secured = [certificates.secured_of(one) for one in settings.destination]
        assert [one and str(one.trust) for one in secured] == ["/no/ca.pem", "/no/ca.pem"]

    def test_a_plain_one_is_called_in_plain_text(self, configured) -> None:
        web = destination(name="web", kind="dicomweb", url="http://pacs/dicom-web")
        settings = load(configured(destination() + web))
        assert [certificates.secured_of(one) for one in settings.destination] == [None, None]


def test_a_credential_of_the_unit_takes_the_place_of_the_file_of_its_name(
    authority, configured, tmp_path, monkeypatch
) -> None:
    good = authority.sign("credential")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "edge.key").write_bytes(good.key.read_bytes())
    own = {"tls_certificate": str(good.certificate), "tls_key": "edge.key"}
    trust = {"tls_ca": str(authority.certificate)}
    settings = load(configured(destination(tls=True, **own, **trust)))
    assert [code for code, _, _ in certificates.faults(settings)] == ["tls-file-unreadable"]
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "given"))
    assert list(certificates.faults(settings)) == []


def checked(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    code = main(["check", "--config", str(path), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_check_names_every_file_that_cannot_be_used_and_does_not_stop_at_one(
    authority, configured, tmp_path, capsys
) -> None:
    good, other = authority.sign("good"), authority.sign("other")
    keys = {"tls_ca": str(tmp_path / "no.pem")}
    text = door(good.certificate, other.key) + destination(tls=True, **keys)
    code, found = checked(configured(text), capsys)
    assert code == 69
    codes = {one["code"]: one["text"] for one in found["faults"]}
    assert codes.keys() == {"tls-key-mismatch", "tls-file-unreadable"}
    assert "listen[1]" in codes["tls-key-mismatch"]
    assert str(other.key) in codes["tls-key-mismatch"]
    assert "destination[1]" in codes["tls-file-unreadable"]


def test_check_tells_what_has_ended_as_a_fault_and_what_ends_soon_as_a_notice(
    authority, configured, capsys
) -> None:
    ended = authority.sign("ended", begins_days=-30, ends_days=-1)
    soon = authority.sign("soon", ends_days=20)
    own = {"tls_certificate": str(soon.certificate), "tls_key": str(soon.key)}
    trust = {"tls_ca": str(authority.certificate)}
    text = door(ended.certificate, ended.key) + destination(tls=True, **own, **trust)
    code, found = checked(configured(text), capsys)
    assert code == 69
    assert [one["code"] for one in found["faults"]] == ["tls-own-ended"]
    assert [(one["code"], one["key"]) for one in found["notices"]] == [
        ("tls-ends-soon", "destination[1].tls_certificate")
    ]


def test_check_is_content_with_what_is_good_for_longer(authority, configured, capsys) -> None:
    good = authority.sign("longer", ends_days=31)
    code, found = checked(configured(door(good.certificate, good.key)), capsys)
    assert (code, found["faults"], found["notices"]) == (0, [], [])


def shown(settings: Settings, name: str, ends_at: float, *names: str) -> list[dict[str, object]]:
    """Return what `status` says of certificates after an archive has shown this one."""
    (one,) = (each for each in settings.destination if each.name == name)
    with start(settings) as spool:
        secured = certificates.secured_of(one, spool.facts)
        assert secured is not None
        assert secured.told is not None
        secured.told(Certificate(0.0, ends_at, names))
        secured.told(Certificate(0.0, ends_at, names))
        found: list[dict[str, object]] = operate.status(settings, spool)["certificates"]
    return found


@pytest.mark.parametrize(("days", "code"), [(40, ""), (29, "tls-ends-soon"), (-1, "tls-ended")])
def test_status_tells_when_an_archive_s_certificate_ends_while_nothing_runs(
    configured, days, code
) -> None:
    settings = load(configured(destination(tls=True)))
    (one,) = shown(settings, "central", time.time() + days * DAY_S + 60, "pacs.hospital")
    assert (one["place"], one["code"], one["days_left"]) == ("central", code, days)


def test_one_that_showed_no_host_name_is_told_as_well(configured) -> None:
    settings = load(configured(destination(tls=True)))
    (one,) = shown(settings, "central", time.time() - 60)
    assert one["code"] == "tls-ended"


def test_what_an_archive_showed_that_is_called_in_plain_text_now_is_not_told(configured) -> None:
    shown(load(configured(destination(tls=True))), "central", time.time(), "pacs.hospital")
    settings = load(configured(destination()))
    with start(settings) as spool:
        assert operate.status(settings, spool)["certificates"] == []


def test_the_alarm_stands_on_the_screen(configured, capsys) -> None:
    path = configured(destination(tls=True))
    shown(load(path), "central", time.time() + 5 * DAY_S, "pacs.hospital")
    assert main(["status", "--config", str(path)]) == 0
    (line,) = (one for one in capsys.readouterr().out.splitlines() if "tls-ends-soon" in one)
    assert line.startswith("! A certificate ends soon. (central, 2")
