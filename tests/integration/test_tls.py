"""Encrypted, with real peers: proved from both sides, or refused in words; never in plain text."""

import json
import re
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from gateway.dicom.tls import server_context
from tests.fakes import tls_peer
from tests.fakes.appliance import Gateway, archive
from tests.fakes.authority import Authority, Signed
from tests.fakes.dcmtk import Said, Storescp, echoscu, storescu
from tests.fakes.nginx import Nginx
from tests.fakes.orthanc import DICOMWEB, Orthanc
from tests.fakes.running import Running
from tests.fakes.tap import Tap

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def authority(program: Callable[[str], str], tmp_path: Path) -> Authority:
    return Authority(program("openssl"), tmp_path)


@pytest.fixture
def stranger(program: Callable[[str], str], tmp_path: Path) -> Authority:
    return Authority(program("openssl"), tmp_path, "stranger")


@pytest.fixture
def own(authority: Authority) -> Signed:
    return authority.sign("edge", hosts=["DNS:edge-3.hospital"])


@pytest.fixture
def picture(sample: Callable[[str], Path]) -> Path:
    return sample("CT_small.dcm")


@pytest.fixture
def tap(ending: ExitStack) -> Callable[[int], Tap]:
    """Return a function from a port to who listens in front of it."""

    def make(port: int) -> Tap:
        one = Tap(port)
        ending.callback(one.close)
        return one

    return make


@pytest.fixture
def storescp(
    program: Callable[[str], str], tmp_path: Path, free_port: Callable[[], int], ending: ExitStack
) -> Callable[..., Storescp]:
    """Return a function from a name, a certificate and options to DCMTK's storescp."""

    def make(name: str, shown: Signed | None, *options: object) -> Storescp:
        (tmp_path / name).mkdir()
        tls = ["+tls", str(shown.key), str(shown.certificate)] if shown else []
        command = program("storescp")
        one = Storescp(command, tmp_path / name, free_port, *tls, *map(str, options))
        ending.callback(one.close)
        return one

    return make


def encrypted(
    port: int, authority: Authority, own: Signed | None = None, name: str = "archive", **more: Any
) -> dict[str, object]:
    """Return the section of a destination that is called by TLS."""
    shown = {"tls_certificate": str(own.certificate), "tls_key": str(own.key)} if own else {}
    trusted = {"tls": True, "tls_ca": str(authority.certificate), "connect_s": 10}
    return archive(port, name, **trusted, **shown, **more)


def readable(picture: Path) -> list[bytes]:
    """Return what nobody on the line may read."""
    one = dcmread(picture)
    uids = [one.SOPInstanceUID, one.StudyInstanceUID, one.SOPClassUID]
    return [str(each).encode() for each in (*uids, one.PatientID, one.PatientName)] + [
        b"ARCHIVE",
        b"EDGE",
    ]


def heard_nothing(tap: Tap, picture: Path) -> None:
    heard = tap.heard
    assert [one for one in readable(picture) if one in heard] == []


def test_the_words_looked_for_are_on_the_line_in_plain_text(
    make_gateway, storescp, store, tap, picture
) -> None:
    """The control: a tap that hears nothing would show nothing."""
    line = tap(storescp("plain", None).port)
    gateway = make_gateway(destination=[archive(line.port)], compress={"transfer_syntax": "none"})
    running = gateway.start()
    assert store(gateway.port, [picture], "-xe").acknowledged == (picture,)
    running.wait_for("sent instance=")
    assert [one for one in readable(picture) if one not in line.heard] == []


def test_with_orthanc_both_sides_prove_who_they_are(
    make_gateway, program, tmp_path, free_port, ending, store, tap, authority, own, picture
) -> None:
    shown = authority.sign("archive", rsa_bits=2048)
    orthanc = Orthanc(
        program("Orthanc"),
        tmp_path,
        free_port,
        more={
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(shown.certificate),
            "DicomTlsPrivateKey": str(shown.key),
            "DicomTlsTrustedCertificates": str(authority.certificate),
            "DicomTlsRemoteCertificateRequired": True,
            "DicomAlwaysAllowFind": True,
        },
    )
    ending.callback(orthanc.close)
    line = tap(orthanc.port)
    gateway = make_gateway(destination=[encrypted(line.port, authority, own, confirm="query")])
    running = gateway.start()
    assert store(gateway.port, [picture], "-xe").acknowledged == (picture,)
    running.wait_for("sent instance=")
    assert list(orthanc.instances()) == [str(dcmread(picture).SOPInstanceUID)]
    running.wait_for("confirm@archive confirmed")
    assert len(line.heard) > 10_000
    heard_nothing(line, picture)
    (known,) = (one for one in gateway.status()["certificates"] if one["place"] == "archive")
    assert (known["code"], known["days_left"]) == ("", 364)
    assert gateway.verb("echo", "archive").returncode == 0


def test_with_an_archive_behind_nginx_both_sides_prove_who_they_are(
    make_gateway,
    program,
    tmp_path,
    free_port,
    ending,
    store,
    tap,
    authority,
    stranger,
    own,
    picture,
) -> None:
    """Debian's Orthanc ends at the first call of its own HTTPS; hospitals put nginx there, too."""
    if not Path(DICOMWEB).exists():
        program("orthanc-dicomweb")  # fails or skips, as for any missing program
    orthanc = Orthanc(program("Orthanc"), tmp_path, free_port, more={"Plugins": [DICOMWEB]})
    ending.callback(orthanc.close)
    to, shown = int(orthanc.dicomweb.split(":")[2].split("/")[0]), authority.sign("archive")
    nginx = Nginx(program("nginx"), tmp_path, free_port, to, shown, authority.certificate)
    ending.callback(nginx.close)
    line = tap(nginx.port)
    url = f"https://127.0.0.1:{line.port}/dicom-web"
    shown_to_it = {"archive": own, "wrong": stranger.sign("wrong"), "nobody": None}
    sections = [
        web(archive_of=encrypted(line.port, authority, one, name, confirm="readback"), url=url)
        for name, one in shown_to_it.items()
    ]
    gateway = make_gateway(destination=sections)
    running = gateway.start()
    assert store(gateway.port, [picture], "-xe").acknowledged == (picture,)
    running.wait_for("confirm@archive confirmed", within_s=60)
    running.wait_for("forward@nobody away code=tls-own-certificate-missing ")
    running.wait_for("forward@wrong away code=tls-own-certificate-refused ")
    heard_nothing(line, picture)
    assert list(orthanc.instances()) == [str(dcmread(picture).SOPInstanceUID)]
    assert gateway.verb("echo", "archive").returncode == 0
    assert gateway.verb("echo", "nobody").returncode == 69
    for name in ("nobody", "wrong"):  # what nginx says is no word of the archive about an image
        assert {one["state"] for one in gateway.deliveries(name).values()} == {"queued"}
    known = [one for one in gateway.status()["certificates"] if one["place"] == "archive"]
    assert [one["days_left"] for one in known] == [364]


def test_each_web_server_that_is_not_the_one_meant_is_refused_in_its_own_words(
    make_gateway, make_web, tap, authority, stranger
) -> None:
    """By the same words as for DICOM."""
    wrong = {
        "tls-unknown-ca": stranger.sign("unknown"),
        "tls-ended": authority.sign("ended", begins_days=-400, ends_days=-10),
        "tls-clock": authority.sign("clock", begins_days=365, ends_days=700),
        "tls-wrong-name": authority.sign("named", hosts=["DNS:pacs.hospital"]),
        "tls-plain-peer": None,
    }
    taps = {code: tap(make_web(shown)) for code, shown in wrong.items()}
    gateway = make_gateway(
        destination=[
            web(
                archive_of=encrypted(one.port, authority, name=code),
                url=f"https://127.0.0.1:{one.port}/dicom-web",
                user="SECRET-USER",
                password_file=str(_password(gateway_folder=stranger.certificate.parent)),
            )
            for code, one in taps.items()
        ]
    )
    for code, one in taps.items():
        said = gateway.verb("echo", code, "--json")
        assert (said.returncode, json.loads(said.stdout)["code"]) == (69, code)
        assert b"dicom-web" not in one.heard
        assert b"Authorization" not in one.heard
    text = gateway.verb("echo", "tls-ended").stdout
    assert re.search(r"certificate has ended\. \(ended on \d{4}-\d\d-\d\d", text)
    text = gateway.verb("echo", "tls-wrong-name").stdout
    assert "127.0.0.1 is not one of: pacs.hospital" in text


def web(*, archive_of: dict[str, object], url: str, **more: object) -> dict[str, object]:
    """Return the section of a destination that is called by HTTPS."""
    left = ("host", "port", "ae_title", "tls")
    kept = {key: one for key, one in archive_of.items() if key not in left}
    return kept | {"kind": "dicomweb", "url": url} | more


def _password(*, gateway_folder: Path) -> Path:
    path = gateway_folder / "password"
    path.write_text("SECRET-PASSWORD\n", encoding="utf-8")
    return path


@pytest.fixture
def make_web(ending: ExitStack) -> Callable[[Signed | None], int]:
    """Return a function from a certificate, or none, to the port of a web server."""

    def make(shown: Signed | None) -> int:
        speaks = tls_peer.plain_web
        if shown:
            speaks = tls_peer.web_over(server_context(shown.certificate, shown.key, None))
        one = tls_peer.Peer(speaks)
        ending.callback(one.close)
        return one.port

    return make


def test_with_storescp_both_sides_prove_who_they_are(
    make_gateway, storescp, store, tap, authority, own, picture
) -> None:
    scp = storescp("archive", authority.sign("archive"), "+cf", authority.certificate)
    line = tap(scp.port)
    gateway = make_gateway(destination=[encrypted(line.port, authority, own)])
    running = gateway.start()
    assert store(gateway.port, [picture], "-xe").acknowledged == (picture,)
    running.wait_for("sent instance=")
    assert len(scp.files()) == 1
    heard_nothing(line, picture)


def test_each_archive_that_is_not_the_one_meant_is_refused_in_its_own_words(
    make_gateway, storescp, store, tap, authority, stranger, own, picture
) -> None:
    """In `echo`, in `status` and in the log; and whoever listens has heard nothing."""
    trusting = ("+cf", authority.certificate)
    unproved = storescp("proves", authority.sign("proves"), *trusting)
    ports = {
        "tls-unknown-ca": storescp("unknown", stranger.sign("unknown"), *trusting).port,
        "tls-ended": storescp(
            "ended", authority.sign("ended", begins_days=-400, ends_days=-10), *trusting
        ).port,
        "tls-not-yet-valid": storescp(
            "soon", authority.sign("soon", begins_days=0.5), *trusting
        ).port,
        "tls-clock": storescp(
            "clock", authority.sign("clock", begins_days=365, ends_days=700), *trusting
        ).port,
        "tls-wrong-name": storescp(
            "named", authority.sign("named", hosts=["DNS:pacs.hospital"]), *trusting
        ).port,
        "tls-own-certificate-missing": unproved.port,
        "tls-own-certificate-refused": unproved.port,
        "tls-plain-dicom": storescp("plain", None).port,
    }
    wrong = stranger.sign("nobody")
    shown = {"tls-own-certificate-missing": None, "tls-own-certificate-refused": wrong}
    taps = {code: tap(port) for code, port in ports.items()}
    gateway = make_gateway(
        destination=[
            encrypted(one.port, authority, shown.get(code, own), code) for code, one in taps.items()
        ]
    )
    running = gateway.start()
    assert store(gateway.port, [picture], "-xe").acknowledged == (picture,)
    for code in ports:
        running.wait_for(f"forward@{code} away code={code} ")
    for code in ports:
        said = gateway.verb("echo", code, "--json")
        answer = json.loads(said.stdout)
        assert (said.returncode, answer["code"]) == (69, code)
        known = gateway.status()["destinations"][code]["last_error"]
        assert known["code"] == code
        assert known["text"].split(". ")[0] == answer["error"]["text"].split(". ")[0]
    texts = {code: gateway.verb("echo", code).stdout for code in ports}
    assert re.search(r"certificate has ended\. \(ended on \d{4}-\d\d-\d\d", texts["tls-ended"])
    assert "The clock of this box looks wrong" in texts["tls-clock"]
    assert "127.0.0.1 is not one of: pacs.hospital" in texts["tls-wrong-name"]
    assert "This port speaks plain DICOM" in texts["tls-plain-dicom"]
    for one in taps.values():
        heard_nothing(one, picture)
    assert {one["state"] for one in gateway.deliveries("tls-ended").values()} == {"queued"}


@pytest.mark.parametrize("peer", ["storescp", "Orthanc"])
def test_a_port_for_tls_that_is_called_in_plain_text_is_told(
    make_gateway, storescp, program, tmp_path, free_port, ending, store, authority, picture, peer
) -> None:
    shown = authority.sign("archive")
    if peer == "storescp":
        port = storescp("archive", shown, "+cf", authority.certificate).port
    else:
        more = {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(shown.certificate),
            "DicomTlsPrivateKey": str(shown.key),
            "DicomTlsTrustedCertificates": str(authority.certificate),
        }
        orthanc = Orthanc(program("Orthanc"), tmp_path, free_port, more=more)
        ending.callback(orthanc.close)
        port = orthanc.port
    gateway = make_gateway(destination=[archive(port)])
    said = gateway.verb("echo", "archive", "--json")
    assert json.loads(said.stdout)["code"] == "tls-expected"
    running = gateway.start()
    assert store(gateway.port, [picture], "-xe").acknowledged == (picture,)
    running.wait_for("forward@archive away code=tls-expected ")


def test_orthanc_without_tls_is_known_as_plain_dicom(make_gateway, make_orthanc, authority) -> None:
    gateway = make_gateway(destination=[encrypted(make_orthanc().port, authority)])
    said = gateway.verb("echo", "archive", "--json")
    assert json.loads(said.stdout)["code"] == "tls-plain-dicom"


class TestOfTheDoor:
    """`dicom-tls`: callers are as real as the archives above."""

    @pytest.fixture
    def door(self, make_gateway, authority) -> Callable[..., tuple[Gateway, Running, int]]:
        """Return a function that opens one, beside a plain door."""

        def make(request_s: float = 60, **more: object) -> tuple[Gateway, Running, int]:
            shown = authority.sign("door", rsa_bits=2048)
            files = {"certificate": str(shown.certificate), "key": str(shown.key)}
            tls = {"kind": "dicom-tls", "address": "127.0.0.1", "port": 0} | files | more
            plain = {"kind": "dicom", "address": "127.0.0.1", "port": 0}
            gateway = make_gateway(listen=[plain, tls], receive={"request_s": request_s})
            running = gateway.start("receive")
            (line,) = running.wait_for("receive listening kind=dicom-tls")
            return gateway, running, int(line.rpartition("port=")[2])

        return make

    @pytest.fixture
    def send(self, program, picture) -> Callable[..., Said]:
        """Return a function that stores one picture by storescu: port, options."""
        return lambda port, *options: storescu(
            program("storescu"), port, [picture], "-xe", *map(str, options)
        )

    def test_an_image_comes_encrypted_and_its_caller_is_named(
        self, door, send, tap, authority, own, picture
    ) -> None:
        gateway, running, port = door(client_ca=str(authority.certificate))
        line = tap(port)
        tls = ("+tls", own.key, own.certificate, "+cf", authority.certificate)
        assert send(line.port, *tls).acknowledged == (picture,)
        (said,) = running.wait_for("receive associated ")
        assert "ae=US1" in said
        assert "certificate=edge-3.hospital" in said
        assert [one["state"] for one in gateway.queue()] == ["received"]
        heard_nothing(line, picture)

    def test_without_client_ca_any_caller_is_taken(self, door, send, authority, picture) -> None:
        _, running, port = door()
        assert send(port, "+tla", "+cf", authority.certificate).acknowledged == (picture,)
        (said,) = running.wait_for("receive associated ")
        assert "certificate=" not in said

    def test_whoever_may_not_come_in_is_told_in_one_line_and_the_others_come(
        self, door, send, program, authority, stranger, own, picture
    ) -> None:
        gateway, running, port = door(client_ca=str(authority.certificate))
        trust = ("+cf", authority.certificate)
        nobody = stranger.sign("nobody")
        past = authority.sign("past", begins_days=-30, ends_days=-1)
        tries = {
            "tls-caller-without-certificate": ("+tla", *trust),
            "tls-caller-unknown-ca": ("+tls", nobody.key, nobody.certificate, *trust),
            "tls-caller-ended": ("+tls", past.key, past.certificate, *trust),
            "tls-caller-plain": (),
            "tls-caller-distrusts-us": (
                *("+tls", own.key, own.certificate),
                *("+cf", stranger.certificate),
            ),
        }
        for code, options in tries.items():
            assert send(port, *options).acknowledged == ()
            (line,) = running.wait_for(f"receive ended .* how={code} ")
            assert re.search(r"text=.*(caller|The )", line)
        assert send(port, "+tls", own.key, own.certificate, *trust).acknowledged == (picture,)
        assert send(gateway.port).acknowledged == (picture,)  # by the plain door
        echoed = echoscu(program("echoscu"), port)
        assert echoed.code != 0

    def test_those_who_say_nothing_keep_nobody_waiting(
        self, door, send, authority, own, picture
    ) -> None:
        _, running, port = door(client_ca=str(authority.certificate))
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for half in silent[:20]:
            half.sendall(b"\x16\x03\x01\x40\x00\x01")
        tls = ("+tls", own.key, own.certificate, "+cf", authority.certificate)
        assert send(port, *tls).acknowledged == (picture,)
        assert not running.found("how=tls-caller")  # all of them were there meanwhile
        for one in silent:
            one.close()
        running.wait_for("receive ended .* how=tls-caller-gone ", 40)

    def test_whoever_says_nothing_is_left_after_request_s(self, door) -> None:
        _, running, port = door(request_s=0.5)
        with socket.create_connection(("127.0.0.1", port)) as silent:
            running.wait_for("receive ended .* how=tls-caller-silent ")
            assert silent.recv(1) == b""

    def test_the_end_of_the_program_waits_for_nobody_who_says_nothing(self, door) -> None:
        _, running, port = door()
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        running.ask_to_end()
        assert running.wait(20) == 0  # request_s is longer
        for one in silent:
            one.close()

    def test_a_door_whose_certificate_is_unusable_stays_shut_and_the_others_open(
        self, door, send, authority, own, picture, tmp_path
    ) -> None:
        gateway, running, port = door(key=str(own.key))  # of another certificate
        tls = ("+tls", own.key, own.certificate, "+cf", authority.certificate)
        assert send(port, *tls).acknowledged == ()
        running.wait_for("ERROR receive not-admitted .* code=tls-key-mismatch ")
        assert send(gateway.port).acknowledged == (picture,)
        assert {one["code"] for one in gateway.status()["certificates"]} >= {"tls-key-mismatch"}

    def test_a_renewed_certificate_is_shown_to_the_next_caller(
        self, door, send, authority, stranger, picture, tmp_path
    ) -> None:
        """Its two files are not replaced at once: in between the pair before holds."""
        files = {"certificate": tmp_path / "own.pem", "key": tmp_path / "own.key"}
        before, after = stranger.sign("before"), authority.sign("after")
        files["certificate"].write_bytes(before.certificate.read_bytes())
        files["key"].write_bytes(before.key.read_bytes())
        _, running, port = door(**{key: str(path) for key, path in files.items()})
        old, new = (("+tla", "+cf", one.certificate) for one in (stranger, authority))
        assert send(port, *new).acknowledged == ()
        assert send(port, *old).acknowledged == (picture,)
        files["certificate"].write_bytes(after.certificate.read_bytes())
        assert send(port, *old).acknowledged == (picture,)
        running.wait_for("WARNING receive not-renewed .*code=tls-key-mismatch ")
        files["key"].write_bytes(after.key.read_bytes())
        assert send(port, *new).acknowledged == (picture,)
