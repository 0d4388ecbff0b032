"""The demo's proof fails on whatever could go wrong with an image."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from openjpeg.utils import encode_array
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from gateway.demo.compare import prove
from gateway.demo.peers import Stored
from gateway.demo.pictures import Picture, read_picture
from gateway.demo.pixels import pixels

RGB = "examples_rgb_color.dcm"


@pytest.fixture
def picture(sample: Callable[[str], Path]) -> Picture:
    return read_picture("rgb", sample(RGB))


def compressed(path: Path, *, off_by: int = 0) -> Dataset:
    """Return the picture in JPEG 2000, its first sample off by `off_by`."""
    dataset = dcmread(path)
    plain = pixels(dataset)[0].copy()
    plain[0, 0, 0] += off_by
    dataset.PixelData = encapsulate([encode_array(plain, photometric_interpretation=1)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.PhotometricInterpretation = "YBR_RCT"
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return dataset


def stored(dataset: Dataset, path: Path) -> Stored:
    dataset.save_as(path, enforce_file_format=True)
    return Stored((path,), 1)


def test_the_same_file_is_identical_and_proved(picture: Picture) -> None:
    evidence = prove(picture, Stored((picture.path,), 1))
    assert evidence.proved
    assert evidence.identical
    assert evidence.ratio == 1


def test_a_lossless_copy_is_proved_and_not_identical(picture: Picture, tmp_path: Path) -> None:
    evidence = prove(picture, stored(compressed(picture.path), tmp_path / "a.dcm"))
    assert evidence.proved
    assert not evidence.identical
    assert evidence.ratio > 2


def test_one_sample_off_by_one_is_not_proved(picture: Picture, tmp_path: Path) -> None:
    evidence = prove(picture, stored(compressed(picture.path, off_by=1), tmp_path / "a.dcm"))
    assert not evidence.pixels_equal
    assert evidence.differing == ()
    assert not evidence.proved


def test_one_coded_byte_that_differs_under_the_same_syntax_is_not_proved(
    sample: Callable[[str], Path], tmp_path: Path
) -> None:
    picture = read_picture("jpeg", sample("examples_ybr_color.dcm"))
    altered = bytearray(picture.path.read_bytes())
    altered[-1000] ^= 1
    copy = tmp_path / "a.dcm"
    copy.write_bytes(altered)
    evidence = prove(picture, Stored((copy,), 1))
    assert not evidence.pixels_equal


def test_pixels_that_cannot_be_decoded_are_not_proved_and_say_why(
    picture: Picture, tmp_path: Path
) -> None:
    broken = compressed(picture.path)
    broken.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(60)])
    evidence = prove(picture, stored(broken, tmp_path / "a.dcm"))
    assert not evidence.proved
    assert evidence.differing


def test_a_changed_element_is_named_with_its_place(
    sample: Callable[[str], Path], tmp_path: Path
) -> None:
    picture = read_picture("palette", sample("examples_palette.dcm"))
    altered = dcmread(picture.path)
    altered.PatientID = "another"
    altered.SequenceOfUltrasoundRegions[0].RegionFlags = 1
    evidence = prove(picture, stored(altered, tmp_path / "a.dcm"))
    assert evidence.pixels_equal
    assert evidence.differing == ("(0010,0020)", "(0018,6011)[0](0018,6016)")
    assert not evidence.proved


def test_a_lost_and_an_added_element_are_named(picture: Picture, tmp_path: Path) -> None:
    altered = dcmread(picture.path)
    del altered.StudyID
    altered.ImageComments = "new"
    evidence = prove(picture, stored(altered, tmp_path / "a.dcm"))
    assert evidence.differing == ("(0020,0010)", "(0020,4000)")


def test_colours_that_are_called_by_a_wrong_name_are_not_proved(
    picture: Picture, tmp_path: Path
) -> None:
    altered = compressed(picture.path)
    altered.PhotometricInterpretation = "YBR_FULL"
    evidence = prove(picture, stored(altered, tmp_path / "a.dcm"))
    assert evidence.pixels_equal
    assert evidence.differing == ("(0028,0004)",)


def test_what_the_peers_are_known_to_drop_is_not_held_against_the_gateway(
    picture: Picture, tmp_path: Path
) -> None:
    shorter = dcmread(picture.path)
    del shorter[0xFFFCFFFC]
    copy = stored(shorter, tmp_path / "a.dcm")
    assert prove(picture, copy).differing == ("(FFFC,FFFC)",)
    assert prove(picture, copy, frozenset({0xFFFCFFFC})).proved


def test_an_object_that_never_came_is_not_proved(picture: Picture) -> None:
    evidence = prove(picture, None)
    assert not evidence.proved
    assert evidence.ratio == 0


def test_a_repeat_must_be_byte_equal_to_the_first(picture: Picture, tmp_path: Path) -> None:
    other = stored(compressed(picture.path), tmp_path / "a.dcm").copies[0]
    assert prove(picture, Stored((picture.path, picture.path), 2)).proved
    assert not prove(picture, Stored((picture.path, other), 2)).proved


def test_pixels_of_every_kind_have_one_shape(sample: Callable[[str], Path]) -> None:
    for name, shape, kind in (
        (RGB, (1, 240, 320, 3), np.uint8),
        ("examples_palette.dcm", (1, 350, 800, 1), np.uint8),
        ("examples_jpeg2k.dcm", (1, 480, 640, 3), np.uint8),
        ("ExplVR_BigEnd.dcm", (1, 60, 80, 3), np.uint8),
        ("MR_small_RLE.dcm", (1, 64, 64, 1), np.int16),
    ):
        plain = pixels(dcmread(sample(name)))
        assert plain.shape == shape, name
        assert plain.dtype == np.dtype(kind), name
