"""The real program sends each image where the rules say, and as what: made once, proved, told."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imagecodecs import htj2k_decode
from openjpeg.utils import decode
from pydicom import dcmread
from pydicom.encaps import generate_frames

from gateway.dicom.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    HTJ2K_LOSSLESS,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
)
from gateway.prepare.lossy import uid_of
from tests.fakes import pictures
from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said, Storescp
from tests.fakes.objects import under_new_uid
from tests.fakes.scripted_archive import ScriptedArchive, Took


@pytest.fixture
def colour(sample: Callable[[str], Path], tmp_path: Path) -> Path:
    return under_new_uid(sample("examples_rgb_color.dcm"), tmp_path / "colour.dcm")


@pytest.fixture
def grey(sample: Callable[[str], Path], tmp_path: Path) -> Path:
    return under_new_uid(sample("MR_small.dcm"), tmp_path / "grey.dcm")


def sent(gateway: Gateway, store: Callable[..., Said], files: list[Path], number: int) -> None:
    """Send files, and return when so many deliveries were made."""
    running = gateway.start()
    said = store(gateway.port, files, "-xe")
    assert len(said.acknowledged) == len(files), said.text
    running.wait_for("sent instance=", number)
    gateway.settle(running)
    running.ask_to_end()
    assert running.wait(30) == 0


def uid_in(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def as_file(took: Took, folder: Path, like: Path) -> Path:
    """Write what an archive took as a file that other tools read."""
    path = folder / f"{took.transfer_syntax_uid}.dcm"
    pictures.part10(path, like, took.transfer_syntax_uid, took.data)
    whole = dcmread(path)
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    whole.save_as(path)
    return path


def test_four_destinations_in_four_syntaxes_and_each_rendition_is_made_once(
    make_gateway: Callable[..., Gateway],
    make_storescp: Callable[..., Storescp],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    colour: Path,
    tmp_path: Path,
) -> None:
    lossless = make_storescp("+xa")
    native, fast, small, again = (make_archive() for _ in range(4))
    gateway = make_gateway(
        destination=[
            archive(native.port, "native", transfer_syntax="none"),
            archive(lossless.port, "lossless"),
            archive(fast.port, "fast", transfer_syntax="htj2k-lossless"),
            archive(small.port, "small", transfer_syntax="jpeg2000", ratio=10),
            archive(again.port, "again", transfer_syntax="jpeg2000", ratio=10),
        ]
    )
    sent(gateway, store, [colour], 5)
    [instance] = gateway.queue()
    roles = [one["role"] for one in instance["renditions"]]
    assert sorted(roles) == ["compressed", "htj2k", "lossy", "received"]
    uid, pixels = uid_in(colour), dcmread(colour).pixel_array

    [here] = native.took
    assert (here.sop_instance_uid, here.transfer_syntax_uid) == (uid, EXPLICIT_VR_LITTLE_ENDIAN)
    [there] = lossless.files()
    assert dcmread(there).file_meta.TransferSyntaxUID == JPEG_2000_LOSSLESS
    np.testing.assert_array_equal(pictures.frames_of(there)[0], pixels)
    [ht] = fast.took
    assert (ht.sop_instance_uid, ht.transfer_syntax_uid) == (uid, HTJ2K_LOSSLESS)
    read = dcmread(as_file(ht, tmp_path, colour))
    [frame] = generate_frames(read.PixelData, number_of_frames=1)
    np.testing.assert_array_equal(htj2k_decode(frame), pixels)
    [one], [other] = small.took, again.took
    assert one.data == other.data
    assert (one.sop_instance_uid, one.transfer_syntax_uid) == (uid_of(uid, 10), JPEG_2000)


def test_a_lossy_object_is_valid_and_two_decoders_read_it(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    grey: Path,
    tmp_path: Path,
) -> None:
    small = make_archive()
    settings = archive(small.port, transfer_syntax="jpeg2000", ratio=6)
    sent(make_gateway(destination=[settings]), store, [grey], 1)
    [took] = small.took
    path = as_file(took, tmp_path, grey)
    assert pictures.complaints(path) == pictures.complaints(grey) == set()
    made = dcmread(path)
    assert made.SOPInstanceUID == uid_of(uid_in(grey), 6)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == uid_in(grey)
    [frame] = generate_frames(made.PixelData, number_of_frames=1)
    by_gdcm = pictures.gdcm_frames(path, tmp_path / "gdcm.dcm")[0]
    assert np.abs(decode(frame).astype("i4") - by_gdcm).max() <= 1


def test_an_archive_that_takes_no_lossy_images_gets_the_image_whole_or_not_at_all(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    grey: Path,
) -> None:
    """What falls back shows the source's pixels under the source's UID, never a mixture."""
    plain = make_archive([EXPLICIT_VR_LITTLE_ENDIAN])
    settings = archive(plain.port, transfer_syntax="jpeg2000", ratio=6)
    sent(make_gateway(destination=[settings]), store, [grey], 1)
    [took] = plain.took
    assert took.sop_instance_uid == uid_in(grey)
    assert dcmread(grey).PixelData in took.data


def test_rules_part_what_came_and_the_rest_is_held_until_there_is_a_way(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    colour: Path,
    grey: Path,
) -> None:
    first, second = make_archive(), make_archive()
    destinations = [archive(first.port, "first"), archive(second.port, "second")]
    routes: list[dict[str, Any]] = [
        {"from": ["ae:US1"], "when": {"modality": "US"}, "to": ["first"], "stop": True}
    ]
    gateway = make_gateway(destination=destinations, route=routes)
    running = gateway.start()
    assert len(store(gateway.port, [colour, grey], "-xe").acknowledged) == 2
    running.wait_for("sent instance=")
    running.wait_for("prepare held .*no-route")
    running.ask_to_end()
    assert running.wait(30) == 0
    assert [one.sop_instance_uid for one in first.took] == [uid_in(colour)]
    [held] = gateway.queue("held")
    assert (held["sop_instance_uid"], held["reason"]["code"]) == (uid_in(grey), "no-route")
    asked = gateway.verb("route", "test", str(grey), "--from", "ae:US1")
    assert asked.returncode == 69
    assert "nearly matches" in asked.stdout
    assert "expected US, found MR" in asked.stdout

    gateway.config.write_text(gateway.config.read_text().replace('"US"', '["US", "MR"]'))
    assert gateway.verb("route", "test", str(grey), "--from", "ae:US1").returncode == 0
    assert gateway.verb("queue", "retry", "--reason", "no-route").returncode == 0
    running = gateway.start()
    running.wait_for("sent instance=")
    assert {one.sop_instance_uid for one in first.took} == {uid_in(colour), uid_in(grey)}
    assert not second.took


def test_no_value_of_a_patient_reaches_the_log(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    colour: Path,
) -> None:
    """A rule on a name is judged, and what was found is shown by `route test` alone."""
    made = dcmread(colour)
    made.PatientName, made.PatientID = "SECRET^NAME", "SECRET-ID"
    made.save_as(colour)
    to = make_archive()
    routes = [{"when": {"PatientName": "OTHER*"}, "to": ["archive"]}]
    gateway = make_gateway(destination=[archive(to.port)], route=routes)
    running = gateway.start()
    assert store(gateway.port, [colour], "-xe").acknowledged
    running.wait_for("prepare held")
    assert "SECRET" not in gateway.log.read_text()
    assert "SECRET" not in str(gateway.queue())
    assert "SECRET^NAME" in gateway.verb("route", "test", str(colour)).stdout
    assert "SECRET" not in gateway.log.read_text()
