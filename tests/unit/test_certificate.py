"""certificate: days and names are read from any bytes that a peer may send, or it is none."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom.certificate import Certificate, day_of, of_der, of_file
from tests.fakes.authority import Authority


@pytest.fixture(scope="module")
def authority(program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(program("openssl"), tmp_path_factory.mktemp("certificate"))


def der_of(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii"))


def test_its_days_are_those_that_it_was_signed_for(authority: Authority) -> None:
    one = of_der(der_of(authority.sign("days", begins_days=-3, ends_days=40).certificate))
    now = datetime.now(UTC)
    assert abs(one.begins_at - (now - timedelta(days=3)).timestamp()) < 60
    assert abs(one.ends_at - (now + timedelta(days=40)).timestamp()) < 60


def test_a_day_after_2049_is_written_otherwise_and_read_as_well(authority: Authority) -> None:
    one = of_der(der_of(authority.sign("far", ends_days=40 * 365).certificate))
    assert day_of(one.ends_at) == (datetime.now(UTC) + timedelta(days=40 * 365)).strftime(
        "%Y-%m-%d %H:%M UTC"
    )


def test_its_names_are_those_of_hosts_else_the_common_name(authority: Authority) -> None:
    hosts = ["DNS:pacs.hospital", "IP:10.0.0.9", "IP:fd00::9", "email:x@y.example"]
    named = of_der(der_of(authority.sign("a-name", hosts=hosts).certificate))
    assert named.names == ("pacs.hospital", "10.0.0.9", "fd00::9")
    assert of_der(der_of(authority.sign("common", hosts=[]).certificate)).names == ("common",)


def test_of_many_names_the_first_few_are_told(authority: Authority) -> None:
    hosts = [f"DNS:host-{nth}" for nth in range(100)]
    assert len(of_der(der_of(authority.sign("many", hosts=hosts).certificate)).names) == 8


def test_a_file_may_hold_several_and_text_between_them(
    authority: Authority, tmp_path: Path
) -> None:
    ours = authority.sign("chained").certificate.read_bytes()
    path = tmp_path / "chain.pem"
    root = authority.certificate.read_bytes()
    path.write_bytes(b"\xef\xbb\xbfsubject: \xe4\n" + ours + b"\n" + root)
    assert [one.names for one in of_file(path)] == [("127.0.0.1", "localhost"), ("root",)]


@given(data=st.data())
def test_no_bytes_do_more_than_to_be_none(authority: Authority, data: st.DataObject) -> None:
    der = bytearray(der_of(authority.certificate))
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(der[: data.draw(st.integers(0, len(der)))])
    for one in (bytes(der), cut):
        try:
            found = of_der(one)
        except ValueError:
            continue
        assert isinstance(found, Certificate)
        assert len(found.names) <= 8


@given(st.binary(max_size=300))
def test_nor_do_any_others(noise: bytes) -> None:
    with pytest.raises(ValueError):
        of_der(noise)
