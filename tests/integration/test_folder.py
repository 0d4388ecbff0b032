"""The real program and a stick: sent, read back, and on with it when the stick is back."""

import json
from collections.abc import Callable
from pathlib import Path

import pydicom

from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said
from tests.fakes.objects import several

#: What DICOM knows and a folder does not is left out.
KEYS = {"kind": "folder", "confirm": "query", "confirm_after_s": 0.0}


def on_stick(stick: Path) -> set[str]:
    """Return the UIDs that the index has, and whose files are there."""
    index = pydicom.dcmread(stick / "DICOMDIR")
    records = [one for one in index.DirectoryRecordSequence if "ReferencedFileID" in one]
    assert all(stick.joinpath(*one.ReferencedFileID).is_file() for one in records)
    return {one.ReferencedSOPInstanceUIDInFile for one in records}


def test_images_go_to_a_stick_and_are_confirmed_when_they_were_read_back(
    tmp_path: Path,
    sample: Callable[[str], Path],
    make_gateway: Callable[..., Gateway],
    store: Callable[..., Said],
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    section = archive(1, path=str(stick), **KEYS)
    del section["host"], section["port"], section["ae_title"]
    gateway = make_gateway(destination=[section])
    running = gateway.start()
    pictures = several(sample("CT_small.dcm"), tmp_path, 6)
    assert store(gateway.port, pictures[:3]).code == 0
    running.wait_for("confirm@archive confirmed", count=3)
    uids = [str(pydicom.dcmread(one).SOPInstanceUID) for one in pictures]
    assert on_stick(stick) == set(uids[:3])
    stick.rename(tmp_path / "pulled-out")
    assert store(gateway.port, pictures[3:]).code == 0
    running.wait_for("forward@archive away .*medium-missing")
    said = gateway.status()["destinations"]["archive"]
    assert (said["breaker"], said["last_error"]["code"]) == ("open", "medium-missing")
    assert "Insert the stick" in said["last_error"]["text"]
    assert gateway.verb("echo", "archive").returncode == 69
    (tmp_path / "pulled-out").rename(stick)
    running.wait_for("confirm@archive confirmed", count=6)
    assert on_stick(stick) == set(uids)
    assert gateway.verb("echo", "archive").returncode == 0
    first = json.dumps(gateway.deliveries())
    assert first.count('"confirmed"') == 6


def test_what_vanished_from_the_stick_before_it_was_confirmed_goes_again(
    tmp_path: Path,
    sample: Callable[[str], Path],
    make_gateway: Callable[..., Gateway],
    store: Callable[..., Said],
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    section = archive(1, path=str(stick), **KEYS | {"confirm_after_s": 0.05})
    del section["host"], section["port"], section["ae_title"]
    gateway = make_gateway(destination=[section])
    running = gateway.start("receive", "prepare", "forward")
    assert store(gateway.port, several(sample("CT_small.dcm"), tmp_path, 1)).code == 0
    running.wait_for("forward@archive sent")
    (file,) = stick.glob("DICOM/D*/I*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-7] + b"damaged")
    confirming = gateway.begin("confirm")
    confirming.wait_for("confirm@archive missing")
    running.wait_for("forward@archive sent", count=2)
    confirming.wait_for("confirm@archive confirmed")
    assert file.read_bytes() == whole
