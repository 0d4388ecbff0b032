"""tls: each way in which no encrypted connection comes about has its own words, and no other."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import pytest

from gateway.dicom import tls
from gateway.dicom.request import AssociationFailed, Called, associate
from gateway.dicom.service import Ended
from gateway.dicom.tls import BadFile, Secured, client_context, server_context
from gateway.reasons_tls import CALLER, TLS
from tests.fakes import tls_peer
from tests.fakes.authority import Authority, Signed
from tests.fakes.tls_peer import Peer, Speaks, dicom_over

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def authority(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(program("openssl"), tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def stranger(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(program("openssl"), tmp_path_factory.mktemp("others"), "stranger")


@pytest.fixture(scope="module")
def good(authority: Authority) -> Signed:
    return authority.sign("archive")


@pytest.fixture
def peer() -> Iterator[Callable[[Speaks], Peer]]:
    """Return a function that puts somebody on a port."""
    with ExitStack() as ending:

        def make(speaks: Speaks) -> Peer:
            one = Peer(speaks)
            ending.callback(one.close)
            return one

        yield make


def call(port: int, secured: Secured | None, *, connect_s: float = 10.0) -> None:
    called = Called("127.0.0.1", port, "ARCHIVE", "EDGE", connect_s, 10.0, secured)
    archive = associate(called, ())
    assert archive.echo().status == 0
    archive.release()


def fault_of(port: int, secured: Secured | None, *, connect_s: float = 10.0) -> AssociationFailed:
    with pytest.raises(AssociationFailed) as raised:
        call(port, secured, connect_s=connect_s)
    return raised.value


def served(one: Signed, client_ca: Path | None = None) -> Speaks:
    return dicom_over(server_context(one.certificate, one.key, client_ca))


def test_an_archive_that_proves_its_name_is_spoken_to(authority, good, peer) -> None:
    call(peer(served(good)).port, Secured(authority.certificate))


def test_both_sides_may_have_to_prove_who_they_are(authority, good, peer) -> None:
    ended: SimpleQueue[Ended] = SimpleQueue()
    context = server_context(good.certificate, good.key, authority.certificate)
    own = authority.sign("edge", hosts=["DNS:edge-3.hospital"])
    port = peer(dicom_over(context, ended)).port
    call(port, Secured(authority.certificate, own.certificate, own.key))
    assert ended.get(timeout=10).how == "released"


def test_the_archive_s_own_certificate_may_be_all_that_is_trusted(stranger, peer) -> None:
    one = stranger.sign("pinned")
    call(peer(served(one)).port, Secured(one.certificate))


def test_a_certificate_may_name_another_host_if_that_name_is_said(authority, peer) -> None:
    one = authority.sign("named", hosts=["DNS:pacs.hospital"])
    call(peer(served(one)).port, Secured(authority.certificate, server_name="pacs.hospital"))


def test_whoever_nobody_trusted_has_signed_is_refused(authority, stranger, peer) -> None:
    fault = fault_of(peer(served(stranger.sign("liar"))).port, Secured(authority.certificate))
    assert fault.code == "tls-unknown-ca"


def test_a_self_signed_one_is_refused_as_well(authority, stranger, peer) -> None:
    one = Signed(stranger.certificate, stranger.certificate.with_suffix(".key"))
    fault = fault_of(peer(served(one)).port, Secured(authority.certificate))
    assert fault.code == "tls-unknown-ca"


def test_an_ended_one_is_told_with_its_day_and_with_ours(authority, peer) -> None:
    one = authority.sign("ended", begins_days=-400, ends_days=-30)
    fault = fault_of(peer(served(one)).port, Secured(authority.certificate))
    assert fault.code == "tls-ended"
    day = tls.day_of(tls.expires(one.certificate))
    assert fault.detail.startswith(f"ended on {day}, our clock says ")


def test_one_that_begins_in_an_hour_is_not_valid_yet(authority, peer) -> None:
    one = authority.sign("soon", begins_days=1 / 24, ends_days=300)
    fault = fault_of(peer(served(one)).port, Secured(authority.certificate))
    assert fault.code == "tls-not-yet-valid"
    assert fault.detail.startswith("begins on ")


def test_one_that_begins_in_a_year_tells_that_our_clock_is_wrong(authority, peer) -> None:
    """For a box whose clock is a year behind every certificate looks so."""
    one = authority.sign("later", begins_days=365, ends_days=700)
    fault = fault_of(peer(served(one)).port, Secured(authority.certificate))
    assert fault.code == "tls-clock"
    assert "our clock says " in fault.detail


def test_a_wrong_name_is_told_with_the_names_there_are(authority, peer) -> None:
    one = authority.sign("elsewhere", hosts=["DNS:pacs.hospital", "DNS:pacs", "IP:10.0.0.9"])
    fault = fault_of(peer(served(one)).port, Secured(authority.certificate))
    assert fault.code == "tls-wrong-name"
    assert fault.detail == "127.0.0.1 is not one of: pacs.hospital, pacs, 10.0.0.9"


def test_a_wrong_server_name_is_told_as_well(authority, good, peer) -> None:
    secured = Secured(authority.certificate, server_name="pacs.hospital")
    fault = fault_of(peer(served(good)).port, secured)
    assert fault.code == "tls-wrong-name"
    assert fault.detail == "pacs.hospital is not one of: 127.0.0.1, localhost"


def test_a_name_that_no_host_can_have_is_told_and_ends_nothing_else(authority, good, peer) -> None:
    secured = Secured(authority.certificate, server_name=".pacs")
    assert fault_of(peer(served(good)).port, secured).code == "tls-wrong-name"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
class TestOfOurCertificate:
    """What the archive says of ours, in either version."""

    def asking(self, good: Signed, authority: Authority, version: ssl.TLSVersion) -> Speaks:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(good.certificate, good.key)
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = context.maximum_version = version
        return dicom_over(context)

    def test_that_there_is_none(self, authority, good, peer, version) -> None:
        port = peer(self.asking(good, authority, version)).port
        fault = fault_of(port, Secured(authority.certificate))
        assert fault.code == "tls-own-certificate-missing"

    def test_that_it_does_not_know_who_signed_it(
        self, authority, stranger, good, peer, version
    ) -> None:
        own = stranger.sign(f"edge-{version.name}")
        port = peer(self.asking(good, authority, version)).port
        fault = fault_of(port, Secured(authority.certificate, own.certificate, own.key))
        assert fault.code == "tls-own-certificate-refused"

    def test_that_it_has_ended(self, authority, good, peer, version) -> None:
        own = authority.sign(f"old-{version.name}", begins_days=-30, ends_days=-1)
        port = peer(self.asking(good, authority, version)).port
        fault = fault_of(port, Secured(authority.certificate, own.certificate, own.key))
        assert fault.code == "tls-own-certificate-ended"

    def test_and_what_is_wrong_with_the_archive_s_is_told_all_the_same(
        self, authority, good, peer, version
    ) -> None:
        own = authority.sign(f"own-{version.name}")
        one = authority.sign(f"past-{version.name}", begins_days=-30, ends_days=-1)
        port = peer(self.asking(one, authority, version)).port
        fault = fault_of(port, Secured(authority.certificate, own.certificate, own.key))
        assert fault.code == "tls-ended"
        assert fault.detail.startswith("ended on ")


def test_an_old_version_is_not_spoken(authority, good, peer) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(good.certificate, good.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    fault = fault_of(peer(dicom_over(context)).port, Secured(authority.certificate))
    assert fault.code == "tls-nothing-in-common"


def test_a_cipher_without_forward_secrecy_is_not_spoken(authority, peer) -> None:
    one = authority.sign("rsa", rsa_bits=2048)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(one.certificate, one.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-GCM-SHA384:AES128-SHA")
    fault = fault_of(peer(dicom_over(context)).port, Secured(authority.certificate))
    assert fault.code == "tls-nothing-in-common"


def test_a_weak_key_is_not_spoken_to(authority, peer) -> None:
    one = authority.sign("weak", rsa_bits=1024)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(one.certificate, one.key)
    fault = fault_of(peer(dicom_over(context)).port, Secured(authority.certificate))
    assert fault.code in ("tls-too-weak", "tls-certificate-refused")


@pytest.mark.parametrize(
    ("speaks", "code", "connect_s"),
    [
        (tls_peer.plain_dicom, "tls-plain-dicom", 10),
        (tls_peer.plain_dcmtk, "tls-plain-dicom", 10),
        (tls_peer.plain_web, "tls-plain-peer", 10),
        (tls_peer.silent, "tls-timeout", 0.5),
        (tls_peer.hangs_up, "tls-closed", 10),
    ],
)
def test_whoever_speaks_no_tls_is_told_apart(authority, peer, speaks, code, connect_s) -> None:
    fault = fault_of(peer(speaks).port, Secured(authority.certificate), connect_s=connect_s)
    assert fault.code == code


def test_a_port_for_tls_that_is_called_in_plain_text_is_told(good, peer) -> None:
    assert fault_of(peer(served(good)).port, None).code == "tls-expected"


def test_a_plain_port_that_hangs_up_is_not_taken_for_one_of_tls(peer) -> None:
    assert fault_of(peer(tls_peer.hangs_up).port, None).code == "closed"


class TestOfFiles:
    """What is wrong with a file of ours is said before anybody is called."""

    def refused(self, *files: Path | None) -> BadFile:
        with pytest.raises(BadFile) as raised:
            client_context(*files)
        return raised.value

    def test_one_that_is_not_there(self, tmp_path) -> None:
        fault = self.refused(tmp_path / "no.pem")
        assert (fault.code, fault.path.name) == ("tls-file-unreadable", "no.pem")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"not PEM",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ],
    )
    def test_one_that_holds_no_certificate(self, tmp_path, content) -> None:
        path = tmp_path / "ca.pem"
        path.write_bytes(content)
        assert self.refused(path).code == "tls-no-certificate"

    def test_a_key_of_another_certificate(self, authority, good) -> None:
        for other in (authority.sign("other"), authority.sign("other-rsa", rsa_bits=2048)):
            fault = self.refused(authority.certificate, good.certificate, other.key)
            assert fault.code == "tls-key-mismatch"

    def test_a_key_that_is_none(self, authority, good) -> None:
        fault = self.refused(authority.certificate, good.certificate, good.certificate)
        assert fault.code == "tls-key-unusable"

    def test_a_key_with_a_password_which_nobody_is_asked_for(
        self, authority, good, program, tmp_path
    ) -> None:
        import subprocess

        locked = tmp_path / "locked.key"
        command = [program("openssl"), "pkey", "-in", good.key, "-aes128", "-passout", "pass:abcd"]
        subprocess.run([*command, "-out", locked], check=True, timeout=30)
        fault = self.refused(authority.certificate, good.certificate, locked)
        assert fault.code == "tls-key-unusable"

    def test_is_told_as_the_reason_why_nobody_was_called(self, tmp_path, peer) -> None:
        called = peer(tls_peer.silent)
        assert fault_of(called.port, Secured(tmp_path / "no.pem")).code == "tls-file-unreadable"
        assert called.connections == 0


def test_a_renewed_certificate_is_taken_without_a_restart(authority, good, tmp_path) -> None:
    files = [tmp_path / "own.pem", tmp_path / "own.key"]
    for path, first in zip(files, (good.certificate, good.key), strict=True):
        path.write_bytes(first.read_bytes())
    before = server_context(*files, None)
    assert server_context(*files, None) is before
    renewed = authority.sign("renewed")
    for path, second in zip(files, (renewed.certificate, renewed.key), strict=True):
        path.write_bytes(second.read_bytes())
    assert server_context(*files, None) is not before


def test_whom_this_machine_trusts_counts_only_where_no_store_is_named(
    authority, stranger, peer, monkeypatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger.certificate))
    port = peer(served(stranger.sign("known-here"))).port
    call(port, Secured(None))
    assert fault_of(port, Secured(authority.certificate)).code == "tls-unknown-ca"


def test_every_context_keeps_to_what_is_still_safe(authority, good) -> None:
    contexts = [
        client_context(authority.certificate),
        server_context(good.certificate, good.key, None),
    ]
    for context in contexts:
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        suites = context.get_ciphers()
        assert all(one["aead"] for one in suites)
        old = [one for one in suites if one["protocol"] != "TLSv1.3"]
        assert old
        assert all(one["kea"] == "kx-ecdhe" for one in old)
    assert contexts[0].check_hostname
    assert contexts[0].verify_mode == ssl.CERT_REQUIRED


def test_every_code_of_these_words_is_explained() -> None:
    import re

    made = set(tls._OF_CALLER.values()) | {code for _, code in tls._REASONS}
    for name in ("tls", "dial", "tls_wire"):
        text = (ROOT / f"gateway/dicom/{name}.py").read_text(encoding="utf-8")
        made |= set(re.findall(r'"(tls-[a-z-]+)"', text))
    text = (ROOT / "gateway/certificates.py").read_text(encoding="utf-8")
    made |= set(re.findall(r'"(tls-[a-z-]+)"', text))
    assert made == TLS.keys() | CALLER.keys()
