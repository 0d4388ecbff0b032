"""The index of a stick: every kind of object is in it, it opens elsewhere, and it stays quick."""

import os
import struct
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.fileset import is_conformant_file_id

from gateway.config.model import Destination
from gateway.destinations.dicomdir import ITEM, Chain, Dicomdir, Leaf, loaded
from gateway.destinations.dicomdir_records import leaf_of, records_of
from gateway.destinations.folder import FolderArchive
from gateway.destinations.folder_files import name_of
from gateway.destinations.volume_label import _from_fat
from gateway.dicom.status import Verdict
from spool.model import Rendition
from tests.fakes.renditions import data_set_of, rendition_of
from tests.fakes.sticks import (
    another,
    copies_of,
    count,
    file_of,
    kept,
    linked,
    no_others,
    opened,
    uids,
)

NAMES = (
    *("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "examples_rgb_color.dcm", "rtdose.dcm"),
    *("rtplan.dcm", "reportsi.dcm", "waveform_ecg.dcm", "examples_ybr_color.dcm"),
    *("SC_rgb_small_odd.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm", "test-SR.dcm"),
)
IMPLICIT = ("rtdose.dcm", "rtplan.dcm")


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


@pytest.fixture
def archive(stick: Path) -> FolderArchive:
    return FolderArchive(Destination(name="usb", kind="folder", path=stick))


@pytest.fixture
def copies(sample: Callable[[str], Path], tmp_path: Path) -> Callable[[int], list[Rendition]]:
    """Return a function that gives so many objects of one series."""
    return partial(copies_of, sample("CT_small.dcm"), tmp_path)


def test_every_kind_of_object_lies_there_as_it_was_and_the_index_opens(sample, stick, archive):
    ones = [rendition_of(sample(name)) for name in NAMES]
    answers = archive.send(ones, no_others)
    others = {name for name, one in zip(NAMES, answers, strict=True) if one.verdict != "sent"}
    assert others == {"image_dfl.dcm", "ExplVR_BigEnd.dcm", *IMPLICIT}
    assert {one.accepted for one in answers if one.verdict == "other-syntax"} == {
        frozenset({"1.2.840.10008.1.2.1"})
    }
    ones = [one for one, answer in zip(ones, answers, strict=True) if answer.verdict == "sent"]
    assert all("file-set 2.25." in one.text for one in answers if one.verdict is Verdict.SENT)
    with opened(stick) as found:
        assert {one.SOPInstanceUID for one in found} == uids(ones)
    for one in ones:
        path = file_of(stick, one)
        assert is_conformant_file_id(path.relative_to(stick))
        written = path.read_bytes()
        assert written.endswith(data_set_of(one)) and not any(written[:128])
        meta = pydicom.dcmread(path).file_meta
        assert meta.TransferSyntaxUID == one.transfer_syntax_uid
        assert "PrivateInformation" not in meta
    assert kept(another(stick), ones) == uids(ones)


def test_names_hold_no_patient_and_nothing_but_ours_lies_there(sample, stick, archive):
    one = rendition_of(sample("CT_small.dcm"))
    archive.send([one], no_others)
    names = sorted(str(path.relative_to(stick)) for path in stick.rglob("*"))
    assert len(names) == 4 and names[:2] == ["DICOM", names[1]] and names[-1] == "DICOMDIR"
    ds = pydicom.dcmread(one.blob.path)
    for value in (str(ds.PatientName), ds.PatientID, ds.StudyID):
        assert not any(part.upper() in name for name in names for part in value.split("^") if part)


def test_dcmtk_reads_the_index_without_complaint_and_makes_the_same_one(
    sample, stick, archive, program, tmp_path
):
    ones = [
        rendition_of(sample(name))
        for name in ("CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm")
    ]
    archive.send(ones, no_others)
    said = subprocess.run(
        [program("dcmdump"), str(stick / "DICOMDIR")], capture_output=True, text=True, check=True
    )
    assert "W:" not in said.stderr and "E:" not in said.stderr
    made = tmp_path / "DICOMDIR"
    command = [program("dcmmkdir"), "-q", "+r", "+id", str(stick), "+D", str(made), "-Pf2", "+I"]
    subprocess.run([*command, "DICOM"], check=True, cwd=stick)
    assert described(made) == described(stick / "DICOMDIR")


def described(index: Path) -> set[tuple]:
    """Return what an index says, whatever the order of its records."""
    levels: list[str] = []
    found = set()
    for record in linked(index):
        kind = record.DirectoryRecordType
        key = record.get("PatientID") if kind == "PATIENT" else None
        key = record.get("StudyInstanceUID") if kind == "STUDY" else key
        key = record.get("SeriesInstanceUID") if kind == "SERIES" else key
        place = ("PATIENT", "STUDY", "SERIES").index(kind) if key else 3
        levels[place:] = [str(key)]
        if not key:
            leaf = (kind, record.ReferencedSOPInstanceUIDInFile, tuple(record.ReferencedFileID))
            found.add((*levels[:3], *leaf, record.ReferencedTransferSyntaxUIDInFile))
    return found


def test_what_an_object_lacks_is_made_in_the_index_alone(sample, stick, archive, tmp_path):
    ds = pydicom.dcmread(sample("CT_small.dcm"))
    for keyword in ("StudyID", "StudyTime", "StudyDate", "PatientID", "SeriesNumber", "Modality"):
        delattr(ds, keyword)
    ds.InstanceNumber = None
    ds.save_as(tmp_path / "bare.dcm")
    one = rendition_of(tmp_path / "bare.dcm")
    [answer] = archive.send([one], no_others)
    assert answer.verdict is Verdict.SENT
    for keyword in ("StudyID", "StudyTime", "PatientID", "SeriesNumber", "InstanceNumber"):
        assert keyword in answer.text
    assert file_of(stick, one).read_bytes().endswith(data_set_of(one))
    records = list(linked(stick / "DICOMDIR"))
    assert records[0].PatientID.startswith("UNKNOWN-") and len(records[1].StudyID) == 8
    assert (records[1].StudyDate, records[2].Modality) == (ds.get("SeriesDate") or "20040119", "OT")
    assert count(stick) == 1


def test_two_patients_of_one_id_are_never_one_in_the_index(sample, stick, archive, tmp_path):
    ones = []
    for nth, name in enumerate(("One^A", "Two^B")):
        ds = pydicom.dcmread(sample("CT_small.dcm"))
        ds.PatientName = name
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{nth + 1}"
        ds.save_as(tmp_path / f"{nth}.dcm")
        ones.append(rendition_of(tmp_path / f"{nth}.dcm"))
    archive.send(ones, no_others)
    kinds = [one.DirectoryRecordType for one in linked(stick / "DICOMDIR")]
    assert kinds == ["PATIENT", "STUDY", "SERIES", "IMAGE"] * 2


def test_a_chinese_name_stands_in_the_index_as_in_the_object(stick, archive, tmp_path, sample):
    ds = pydicom.dcmread(sample("CT_small.dcm"))
    ds.SpecificCharacterSet, ds.PatientName = "GB18030", "Wang^XiaoDong=王^小东"
    ds.save_as(tmp_path / "wang.dcm")
    archive.send([rendition_of(tmp_path / "wang.dcm")], no_others)
    [patient, *_] = linked(stick / "DICOMDIR")
    assert patient.PatientName == "Wang^XiaoDong=王^小东"


def test_a_stick_with_ten_thousand_images_takes_the_next_as_quickly(copies, stick):
    [one] = copies(1)
    records = records_of(one)
    index = Dicomdir("2.25.1")
    for nth in range(10_000):
        leaf = leaf_of(records, replace(one, sop_instance_uid=f"1.2.4.{nth}"), name_of(str(nth), 0))
        index.add(records.chain, leaf)
    (stick / "DICOMDIR").write_bytes(index.encoded())
    archive = another(stick)
    begun = time.process_time()
    archive.send([one], no_others)
    first_s, begun = time.process_time() - begun, time.process_time()
    archive.send([copies(2)[1]], no_others)
    print("first", first_s, "next", time.process_time() - begun)
    assert time.process_time() - begun < 1.5
    assert first_s < 10


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)), max_size=30))
def test_an_index_comes_out_as_it_went_in(added):
    index = Dicomdir("2.25.1")
    expected = {}
    for patient, study, nth in added:
        uid = f"1.2.{nth}"
        expected[uid] = (f"I{nth}",)
        index.add(chain_of(patient, study), Leaf(uid, expected[uid], "0" * 64, leaf_bytes(uid)))
        again = loaded(index.encoded())
        assert again.encoded() == index.encoded() and len(again) == len(expected)
        assert {uid: again.find(uid).file_id for uid in expected} == expected
        assert abs(index.size - len(index.encoded())) < 700


def element(tag: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def item(kind: str, *elements: bytes) -> bytes:
    body = struct.pack("<HH2sHI", 4, 0x1400, b"UL", 4, 0)
    body += struct.pack("<HH2sHH", 4, 0x1410, b"US", 2, 0xFFFF)
    body += struct.pack("<HH2sHI", 4, 0x1420, b"UL", 4, 0)
    body += element(0x00041430, "CS", kind.encode()) + b"".join(elements)
    return ITEM.pack(0xFFFE, 0xE000, len(body)) + body


def chain_of(patient: int, study: int) -> Chain:
    who = item("PATIENT", element(0x00100020, "LO", f"P{patient}".encode()))
    uid = f"1.3.{study}"
    return Chain(
        (who.decode("latin-1"), who),
        (uid, item("STUDY", element(0x0020000D, "UI", uid.encode()))),
        (uid, item("SERIES", element(0x0020000E, "UI", uid.encode()))),
    )


def leaf_bytes(uid: str) -> bytes:
    nth = uid.rpartition(".")[2]
    return item(
        "IMAGE",
        element(0x00041500, "CS", f"I{nth}".encode()),
        element(0x00041511, "UI", uid.encode()),
        element(0x00090010, "LO", b"GATEWAY 1"),
        element(0x00091001, "LO", b"0" * 64),
    )


@pytest.mark.parametrize("bits", [(), ("-F", "32"), ("-F", "16")])
def test_the_label_of_a_fat_stick_is_read_from_its_own_root(tmp_path, program, bits):
    image = tmp_path / "stick.img"
    image.touch()
    os.truncate(image, 48 << 20)
    command = [program("mkfs.vfat"), *bits, "-n", "WARD 7"]
    subprocess.run([*command, str(image)], check=True, capture_output=True)
    assert _from_fat(image) == "WARD 7"
    subprocess.run([program("mlabel"), "-i", str(image), "::NEW"], check=True)
    assert _from_fat(image) == "NEW"
    image.write_bytes(b"no file system")
    assert _from_fat(image) is None and _from_fat(tmp_path / "none") is None
