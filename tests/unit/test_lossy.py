"""An image that loses content says so, is another image, and is still the picture that it was."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from openjpeg.utils import decode
from pydicom import Dataset, FileDataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.sequence import Sequence

from gateway.codec import jpeg2000
from gateway.codec.pool import Codec
from gateway.dicom.syntaxes import JPEG_2000
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.lossy import compress_with_loss, uid_of
from gateway.prepare.renditions import Recipe, compress
from tests.fakes import pictures


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=2 << 30, cpu_s=60, frame_bytes_most=1 << 28)
    yield found
    found.close()


Made = Callable[[Path], tuple[FileDataset, Recipe, Path]]


@pytest.fixture
def made(codec: Codec, tmp_path: Path) -> Made:
    def make(source: Path, ratio: float = 8) -> tuple[FileDataset, Recipe, Path]:
        out = bytearray()
        place = pictures.place(source)
        recipe = compress_with_loss(place, codec, ratio, scratch_dir=tmp_path, out=out.extend)
        path = part10(tmp_path / "lossy.dcm", source, bytes(out))
        return dcmread(path), recipe, path

    return make


def part10(path: Path, source: Path, encoded: bytes) -> Path:
    """Write it as a file that other tools read, its own UID in the file meta."""
    pictures.part10(path, source, JPEG_2000, encoded)
    whole = dcmread(path)
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    whole.save_as(path)
    return path


def picture(
    photometric: str = "RGB", bits: int = 8, *, frames: int = 1, signed: bool = False
) -> FileDataset:
    pixels = pictures.picture(photometric, bits, signed=signed, frames=frames)
    return pictures.data_set(pixels, photometric, bits)


def frames_of(made: FileDataset) -> np.ndarray:
    count = int(made.get("NumberOfFrames", 1))
    return np.stack(
        [decode(one) for one in generate_frames(made.PixelData, number_of_frames=count)]
    )


def test_it_says_what_it_was_made_from_and_how(made: Made, tmp_path: Path) -> None:
    source = pictures.write(picture(), tmp_path / "source.dcm")
    before, (after, recipe, _) = dcmread(source), made(source)
    assert after.SOPInstanceUID == uid_of(before.SOPInstanceUID, 8)
    assert after.SOPClassUID == before.SOPClassUID
    assert after.SeriesInstanceUID == before.SeriesInstanceUID
    assert after.ImageType[0] == "DERIVED"
    assert after.ImageType[1:] == before.ImageType[1:]
    assert after.LossyImageCompression == "01"
    assert after.LossyImageCompressionMethod == "ISO_15444_1"
    assert abs(after.LossyImageCompressionRatio - 8) < 0.5
    [origin] = after.SourceImageSequence
    assert origin.ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert origin.ReferencedSOPClassUID == before.SOPClassUID
    assert origin.PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
    assert after.DerivationCodeSequence[0].CodeValue == "113040"
    assert "ratio" in after.DerivationDescription
    assert after.PhotometricInterpretation == "YBR_ICT"
    assert "likeness_db=" in str(recipe)
    same = {one.tag for one in before} & {one.tag for one in after}
    changed = {0x00080008, 0x00080018, 0x00280004, 0x00282110, 0x7FE00010}
    assert {tag for tag in same - changed if before[tag] != after[tag]} <= {0x00280006}


def test_the_history_that_is_there_stays(made: Made, tmp_path: Path) -> None:
    for syntax in ("implicit", "explicit", "big"):
        whole = picture()
        origin, code = Dataset(), Dataset()
        origin.ReferencedSOPClassUID, origin.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
        origin.is_undefined_length_sequence_item = True
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113076", "DCM", "Segment"
        whole.SourceImageSequence, whole.DerivationCodeSequence = (
            Sequence([origin]),
            Sequence([code]),
        )
        whole["SourceImageSequence"].is_undefined_length = True
        whole.DerivationDescription = "cut"
        after, _, _ = made(pictures.write(whole, tmp_path / "source.dcm", syntax))
        assert [one.ReferencedSOPInstanceUID for one in after.SourceImageSequence] == [
            "1.2.3.4",
            whole.SOPInstanceUID,
        ]
        assert [one.CodeValue for one in after.DerivationCodeSequence] == ["113076", "113040"]
        assert after.DerivationDescription.startswith("cut; JPEG 2000 with loss")


@pytest.mark.parametrize(
    ("photometric", "bits", "frames", "syntax"),
    [
        ("RGB", 8, 1, "explicit"),
        ("RGB", 8, 3, "rle"),
        ("YBR_FULL", 8, 1, "implicit"),
        ("MONOCHROME2", 8, 2, "big"),
        ("MONOCHROME2", 12, 1, "explicit"),
        ("MONOCHROME1", 16, 2, "implicit"),
        ("MONOCHROME2 signed", 12, 1, "explicit"),
        ("MONOCHROME2 signed", 16, 1, "big"),
    ],
)
def test_other_decoders_see_the_same_picture_and_it_is_like_the_source(
    made: Made, tmp_path: Path, photometric: str, bits: int, frames: int, syntax: str
) -> None:
    photometric, _, sign = photometric.partition(" ")
    whole = picture(photometric, bits, frames=frames, signed=bool(sign))
    source = pictures.write(whole, tmp_path / "source.dcm", syntax)
    was = pictures.picture(photometric, bits, signed=bool(sign), frames=frames)
    after, recipe, path = made(source)
    now = frames_of(after)
    by_gdcm = pictures.gdcm_frames(path, tmp_path / "gdcm.dcm")
    # Two versions of a decoder round the irreversible wavelet by one apart.
    assert np.abs(now.reshape(by_gdcm.shape).astype("i4") - by_gdcm).max() <= 1
    pairs = zip(was, now.reshape(was.shape), strict=True)
    likeness = [jpeg2000.likeness_db(one, other) for one, other in pairs]
    assert min(likeness) >= jpeg2000.LIKENESS_LEAST_DB
    assert f"likeness_db={min(likeness):.1f}" in str(recipe)


def test_the_object_is_what_the_standard_asks_for(made: Made) -> None:
    for name in ("MR_small.dcm", "examples_rgb_color.dcm"):
        source = pictures.sample(name)
        _, _, path = made(source)
        assert pictures.complaints(path) <= pictures.complaints(source), name
    assert not pictures.complaints(made(pictures.sample("MR_small.dcm"))[2])


def test_from_a_lossless_codestream_it_is_made_as_from_the_pixels(
    codec: Codec, made: Made, tmp_path: Path
) -> None:
    source = pictures.write(picture(), tmp_path / "source.dcm")
    out = bytearray()
    compress(pictures.place(source), codec, scratch_dir=tmp_path, out=out.extend)
    between = pictures.part10(
        tmp_path / "between.dcm", source, "1.2.840.10008.1.2.4.90", bytes(out)
    )
    once, twice = made(source)[0], made(between)[0]
    assert once.PixelData == twice.PixelData
    assert once.SOPInstanceUID == twice.SOPInstanceUID


def test_the_same_recipe_gives_the_same_uid_and_bytes_and_another_one_does_not(
    made: Made, tmp_path: Path
) -> None:
    source = pictures.write(picture(), tmp_path / "source.dcm")
    first, again, other = made(source)[0], made(source)[0], made(source, 12)[0]
    assert first.PixelData == again.PixelData
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert uid_of("1.2.3", 8) == uid_of("1.2.3", 8.0) != uid_of("1.2.4", 8)
    assert len(uid_of("1.2.3", 8)) <= 64


def refused(codec: Codec, folder: Path, source: Path, ratio: float = 8) -> AsReceived:
    written: list[bytes] = []
    place: DataSetAt = pictures.place(source)
    with pytest.raises(AsReceived) as caught:
        compress_with_loss(place, codec, ratio, scratch_dir=folder, out=written.append)
    assert not written
    return caught.value


@pytest.mark.parametrize(
    ("attributes", "code", "detail"),
    [
        ({"LossyImageCompression": "01"}, "lossy-before", ""),
        ({"LossyImageCompressionRatio": "10"}, "lossy-before", ""),
        ({"LossyImageCompressionMethod": "ISO_10918_1"}, "lossy-before", ""),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2"}, "not-for-lossy", "SOP class"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, "not-for-lossy", "SOP class"),
        (
            {"SharedFunctionalGroupsSequence": Sequence([Dataset()])},
            "not-for-lossy",
            "functional groups",
        ),
    ],
)
def test_what_must_not_lose_content_does_not(
    codec: Codec, tmp_path: Path, attributes: dict[str, object], code: str, detail: str
) -> None:
    whole = picture()
    for keyword, value in attributes.items():
        setattr(whole, keyword, value)
    found = refused(codec, tmp_path, pictures.write(whole, tmp_path / "source.dcm"))
    assert found.code == code
    assert not detail or found.detail == detail


def test_a_picture_with_padding_is_left_alone(codec: Codec, tmp_path: Path) -> None:
    found = refused(codec, tmp_path, pictures.sample("CT_small.dcm"))
    assert (found.code, found.detail) == ("not-for-lossy", "pixel padding")


def test_a_palette_and_what_came_lossy_are_left_alone(codec: Codec, tmp_path: Path) -> None:
    whole = picture("PALETTE COLOR")
    palette = pictures.write(whole, tmp_path / "source.dcm")
    assert refused(codec, tmp_path, palette).detail == "palette"
    assert refused(codec, tmp_path, pictures.sample("JPEG2000.dcm")).code == "lossy-before"


def test_a_picture_that_would_no_longer_be_itself_is_refused(codec: Codec, tmp_path: Path) -> None:
    source = pictures.write(picture(), tmp_path / "source.dcm")
    found = refused(codec, tmp_path, source, ratio=200)
    assert found.code == "too-lossy"
    assert "dB at ratio 200" in found.detail


def test_the_tool_that_judges_sees_faults(tmp_path: Path) -> None:
    whole = dcmread(pictures.sample("MR_small.dcm"))
    del whole.Rows
    whole.save_as(tmp_path / "broken.dcm")
    assert pictures.complaints(tmp_path / "broken.dcm")
