"""The head of a file: with, with half, and without file meta information."""

import struct
from pathlib import Path

import pytest

from gateway.dicom.part10 import (
    MEDIA_STORAGE_DIRECTORY,
    REASONS,
    FileMeta,
    NotDicom,
    read_file_meta,
)
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
)
from tests.fakes.data_sets import BIG, EXPLICIT, IMPLICIT, SAMPLES, Form, element

US_IMAGE, UID = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.826.0.1.3680043.8.498.1"
PREAMBLE = bytes(128) + b"DICM"


def ui(tag: int, uid: str, form: Form = EXPLICIT) -> bytes:
    return element(tag, "UI", uid.encode() + b"\0" * (len(uid) % 2), form)


META = (
    element(0x00020001, "OB", b"\0\1")
    + ui(0x00020002, US_IMAGE)
    + ui(0x00020003, UID)
    + ui(0x00020010, JPEG_2000_LOSSLESS)
)
LENGTH = element(0x00020000, "UL", struct.pack("<I", len(META)))


def data(form: Form = EXPLICIT) -> bytes:
    return (
        ui(0x00080016, US_IMAGE, form)
        + ui(0x00080018, UID, form)
        + element(0x00100020, "LO", b"ID", form)
    )


def read(tmp_path: Path, content: bytes) -> FileMeta:
    (tmp_path / "file").write_bytes(content)
    return read_file_meta(tmp_path / "file")


def refused(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(NotDicom) as caught:
        read(tmp_path, content)
    assert str(caught.value) == REASONS[caught.value.code]
    return caught.value.code


@pytest.mark.parametrize("head", [PREAMBLE + LENGTH, PREAMBLE, LENGTH, b""])
def test_file_meta_is_read_with_and_without_preamble_and_group_length(
    tmp_path: Path, head: bytes
) -> None:
    found = read(tmp_path, head + META + data())
    assert found == FileMeta(US_IMAGE, UID, JPEG_2000_LOSSLESS, len(head + META), len(data()))


def test_a_wrong_group_length_is_not_believed(tmp_path: Path) -> None:
    wrong = element(0x00020000, "UL", struct.pack("<I", 7))
    assert read(tmp_path, PREAMBLE + wrong + META + data()).dataset_bytes == len(data())


def test_private_information_in_the_file_meta_belongs_to_the_head(tmp_path: Path) -> None:
    private = ui(0x00020100, "1.2.3") + element(0x00020102, "OB", bytes(100_000))
    found = read(tmp_path, PREAMBLE + META + private + data())
    assert found.dataset_offset == len(PREAMBLE + META + private)


@pytest.mark.parametrize(
    ("form", "uid"),
    [
        (IMPLICIT, IMPLICIT_VR_LITTLE_ENDIAN),
        (EXPLICIT, EXPLICIT_VR_LITTLE_ENDIAN),
        (BIG, EXPLICIT_VR_BIG_ENDIAN),
    ],
)
def test_a_bare_data_set_of_legacy_software_is_read_and_its_syntax_guessed(
    tmp_path: Path, form: Form, uid: str
) -> None:
    assert read(tmp_path, data(form)) == FileMeta(US_IMAGE, UID, uid, 0, len(data(form)))


def test_what_the_file_meta_leaves_out_comes_from_the_data_set(tmp_path: Path) -> None:
    meta = ui(0x00020002, "") + ui(0x00020012, "1.2.3")
    found = read(tmp_path, PREAMBLE + meta + data(IMPLICIT))
    uids = (found.sop_class_uid, found.sop_instance_uid, found.transfer_syntax_uid)
    assert uids == (US_IMAGE, UID, IMPLICIT_VR_LITTLE_ENDIAN)


def test_the_file_meta_counts_before_the_data_set(tmp_path: Path) -> None:
    other = ui(0x00080016, US_IMAGE) + ui(0x00080018, UID + ".7")
    assert read(tmp_path, PREAMBLE + META + other).sop_instance_uid == UID


def test_two_long_uids_stay_two(tmp_path: Path) -> None:
    long = "1." + "2" * 298
    uids = {
        read(tmp_path, PREAMBLE + META + ui(0x00020003, long + last)).sop_instance_uid
        for last in ("1", "2")
    }
    assert uids == {long + "1", long + "2"}


def test_a_dicomdir_is_told_by_its_class() -> None:
    for path in (SAMPLES / "dicomdirtests").glob("DICOMDIR*"):
        assert read_file_meta(path).sop_class_uid == MEDIA_STORAGE_DIRECTORY


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no-data-set"),
        (b"\xff\xd8\xff\xe0 a photo", "no-data-set"),
        (bytes(4096), "no-data-set"),
        (b"Readme of the ultrasound, not an object of it\n" * 9, "no-data-set"),
        (data()[:-1], "no-data-set"),
        (element(0x00100020, "LO", b"ID"), "uid-missing"),
        (PREAMBLE, "uid-missing"),
        (PREAMBLE + element(0x00020001, "OB", b"\0\1") + data()[:-1], "uid-missing"),
        (PREAMBLE + ui(0x00020010, "1.2.840.10008.1.2.1.99") + b"deflated", "uid-missing"),
        (PREAMBLE + META[:-4], "meta-broken"),
        (PREAMBLE + b"\x02\0\x02\0??\x02\0ab", "meta-broken"),
        (PREAMBLE + b"\x02\0\x02\0OB\0\0", "meta-broken"),
        (PREAMBLE + element(0x00020102, "OB", bytes(1 << 21)) + data(), "meta-broken"),
    ],
)
def test_what_is_no_object_is_refused_by_its_reason(
    tmp_path: Path, content: bytes, code: str
) -> None:
    assert refused(tmp_path, content) == code


def test_samples_without_a_magic_word_are_read() -> None:
    assert read_file_meta(SAMPLES / "rtstruct.dcm").transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    big = read_file_meta(SAMPLES / "ExplVR_BigEndNoMeta.dcm")
    assert big.transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN
