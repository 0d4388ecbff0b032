"""Every depth, sign, colour model, plane order and encoding of a real picture, there and back.

Judges: our bytes against the source element by element; the pixels by pydicom and by GDCM;
the file by dcmftest and, wherever it accepted the source, by dciodvfy.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import DataElement, Dataset, dcmread

from gateway.codec.pool import Codec
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    syntax_of,
)
from gateway.dicom.walk import walk
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.proof import prove
from gateway.prepare.renditions import Recipe, compress, fallback
from tests.fakes import pictures

#: What may differ between a source and its rendition, and nothing else
CHANGED = {0x00280004, 0x00280006, 0x7FE00001, 0x7FE00002, 0x7FE00010}

MONOCHROME = itertools.product(
    ("MONOCHROME1", "MONOCHROME2"), (8, 9, 10, 12, 15, 16), (False, True), (0,)
)
COLOUR = itertools.product(("RGB", "YBR_FULL"), (8, 10, 12, 16), (False,), (0, 1))
MATRIX = [*MONOCHROME, ("PALETTE COLOR", 8, False, 0), *COLOUR]
PIXEL_ATTRIBUTE = re.compile("Photometric|Planar|Bits|High ?Bit|Samples|Pixel ?Rep")
#: Ultrasound may not be YBR_FULL in JPEG 2000: by number of frames, a class that may
SECONDARY_CAPTURE = {1: "1.2.840.10008.5.1.4.1.1.7", 3: "1.2.840.10008.5.1.4.1.1.7.4"}


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    made = Codec(workers=2, memory_bytes=1 << 30, cpu_s=20, frame_bytes_most=1 << 28)
    yield made
    made.close()


def compressed(source: Path, codec: Codec, out: Path) -> Recipe:
    """Compress a Part 10 file to another."""
    encoded = bytearray()
    recipe = compress(pictures.place(source), codec, scratch_dir=source.parent, out=encoded.extend)
    pictures.part10(out, source, recipe.transfer_syntax_uid, bytes(encoded))
    return recipe


def fallen_back(source: DataSetAt, target_uid: str, codec: Codec, out: Path) -> None:
    encoded = bytearray()
    fallback(source, target_uid, codec, out=encoded.extend)
    pictures.part10(out, Path(source.path), target_uid, bytes(encoded))


def values(path: Path) -> dict[int, object]:
    """Every element but the changed ones, as pydicom reads it, sequences included."""
    dataset = dcmread(path)
    return {tag: value for tag, value in _values(dataset).items() if tag not in CHANGED}


def _values(dataset: Dataset) -> dict[int, object]:
    """Group lengths are counted anew; Implicit VR names no VR of a private element."""
    little = dataset.original_encoding[1] is not False
    return {
        int(element.tag): _value(element, little=little)
        for element in dataset
        if element.tag.element != 0
    }


def _value(element: DataElement, *, little: bool) -> object:
    if element.VR == "SQ":
        return [_values(item) for item in element.value]
    if element.VR == "OW" and not little:
        return pictures.swapped(element.value)
    private_text = element.tag.is_private and isinstance(element.value, str)
    return element.value.encode() if private_text else element.value


def element_bytes(place: DataSetAt) -> dict[int, bytes]:
    """Every element but the changed ones, as it stands in the file."""
    with Source(place.path, place.dataset_offset, place.dataset_bytes) as source:
        return {
            each.tag: source.read(each.start, each.end - each.start)
            for each in walk(source, syntax_of(place.transfer_syntax_uid))
            if each.tag not in CHANGED
        }


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(("photometric", "bits", "signed", "planar"), MATRIX)
def test_a_picture_of_every_kind_survives_compression_and_the_way_back(
    photometric: str,
    bits: int,
    signed: bool,
    planar: int,
    frames: int,
    codec: Codec,
    tmp_path: Path,
) -> None:
    pixels = pictures.picture(photometric, bits, signed=signed, frames=frames)
    made = pictures.data_set(pixels, photometric, bits, planar=planar)
    if photometric == "YBR_FULL":
        made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = SECONDARY_CAPTURE[frames]
    for syntax in encodings(photometric, bits, planar):
        source = pictures.write(made, tmp_path / f"{syntax}.dcm", syntax)
        out = tmp_path / f"{syntax}.j2k.dcm"
        recipe = compressed(source, codec, out)
        assert recipe.frames == frames
        judge(source, out, pixels, photometric)
        prove(pictures.place(source), pictures.place(out), codec)
        if syntax == "explicit":
            assert element_bytes(pictures.place(out)) == element_bytes(pictures.place(source))
    judge_fallbacks(tmp_path / "explicit.dcm", out, pixels, photometric, codec)


def encodings(photometric: str, bits: int, planar: int) -> list[str]:
    """RLE has its own order of planes, and pydicom's encoder no deep YBR_FULL."""
    rle = planar == 0 and not (photometric == "YBR_FULL" and bits > 8)
    return ["implicit", "explicit", "big", *(["rle"] if rle else [])]


def judge(source: Path, out: Path, pixels: pictures.Array, photometric: str) -> None:
    assert np.array_equal(pictures.frames_of(source), pixels)
    assert np.array_equal(pictures.frames_of(out), pixels)
    assert np.array_equal(pictures.gdcm_frames(out, out.with_suffix(".raw.dcm")), pixels)
    pictures.run("dcmftest", str(out))
    judge_by_rule(source, out)
    assert values(out) == values(source)
    header = dcmread(out)
    assert header.PhotometricInterpretation == {"RGB": "YBR_RCT"}.get(photometric, photometric)
    assert header.get("PlanarConfiguration", 0) == 0
    assert header.file_meta.TransferSyntaxUID == JPEG_2000_LOSSLESS


def judge_by_rule(source: Path, out: Path) -> None:
    """dciodvfy finds nothing new, where it had nothing to say against the pixels that came."""
    before = pictures.complaints(source)
    if not any(PIXEL_ATTRIBUTE.search(line) for line in before):
        assert pictures.complaints(out) <= before


def judge_fallbacks(
    original: Path, source: Path, pixels: pictures.Array, photometric: str, codec: Codec
) -> None:
    for uid in (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
        out = source.with_suffix(f".{uid}.dcm")
        fallen_back(pictures.place(source), uid, codec, out)
        prove(pictures.place(source), pictures.place(out), codec)
        assert np.array_equal(pictures.frames_of(out), pixels)
        assert dcmread(out).PhotometricInterpretation == photometric
        judge_by_rule(original, out)
        assert values(out) == values(source)


@pytest.mark.parametrize("signed", [False, True])
def test_eight_bits_in_sixteen_bit_cells_survive(
    signed: bool, codec: Codec, tmp_path: Path
) -> None:
    pixels = pictures.grey(8, signed=signed, frames=2).astype("i2" if signed else "u2")
    source = pictures.write(pictures.data_set(pixels, "MONOCHROME2", 8), tmp_path / "in.dcm")
    compressed(source, codec, tmp_path / "out.dcm")
    judge(source, tmp_path / "out.dcm", pixels, "MONOCHROME2")


@pytest.mark.parametrize(
    "name",
    [
        "ExplVR_BigEnd.dcm",
        "MR_small.dcm",
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "CT_small.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_rgb_jpeg_dcmd.dcm",
        "examples_palette.dcm",
        "examples_rgb_color.dcm",
    ],
)
def test_a_picture_from_a_real_box_survives_as_it_is(
    name: str, codec: Codec, tmp_path: Path
) -> None:
    source = pictures.sample(name)
    compressed(source, codec, tmp_path / "out.dcm")
    photometric = dcmread(source).PhotometricInterpretation
    judge(source, tmp_path / "out.dcm", pictures.frames_of(source), photometric)
    prove(pictures.place(source), pictures.place(tmp_path / "out.dcm"), codec)


def test_eight_bit_pixels_in_big_endian_words_are_read_as_words(
    codec: Codec, tmp_path: Path
) -> None:
    pixels = pictures.palette(frames=1)[:, :41, :33]
    made = pictures.data_set(pixels, "PALETTE COLOR", 8)
    made["PixelData"].VR = "OW"
    source = pictures.write(made, tmp_path / "in.dcm", "big")
    compressed(source, codec, tmp_path / "out.dcm")
    assert np.array_equal(pictures.frames_of(tmp_path / "out.dcm"), pixels)
    assert np.array_equal(pictures.gdcm_frames(source, tmp_path / "raw.dcm"), pixels)
    fallen_back(pictures.place(source), EXPLICIT_VR_LITTLE_ENDIAN, codec, tmp_path / "native.dcm")
    prove(pictures.place(source), pictures.place(tmp_path / "native.dcm"), codec)
    assert np.array_equal(pictures.frames_of(tmp_path / "native.dcm"), pixels)


def test_the_transform_makes_a_real_ultrasound_picture_much_smaller(
    codec: Codec, tmp_path: Path
) -> None:
    pixels = pictures.frames_of(pictures.sample("examples_jpeg2k.dcm"))
    made = pictures.data_set(pixels, "RGB", 8)
    source = pictures.write(made, tmp_path / "in.dcm")
    recipe = compressed(source, codec, tmp_path / "out.dcm")
    assert recipe.raw_bytes / recipe.coded_bytes > 6
    assert str(recipe.coded_bytes) in str(recipe)
