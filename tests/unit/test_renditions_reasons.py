"""What goes as it came, and why; offset tables; and proofs that fail when they must."""

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, FileDataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, RLELossless

from gateway.codec.errors import REPORTED, CodecClosed, CodecDied, CodestreamMismatch
from gateway.codec.frames import FrameAt, Geometry, Target
from gateway.codec.pool import Codec
from gateway.dicom.malformed import Malformed
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
)
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSetAt, open_data_set
from gateway.prepare.encapsulation import items, offset_tables
from gateway.prepare.proof import prove
from gateway.prepare.renditions import compress, fallback
from gateway.reasons import AS_RECEIVED, REASONS
from tests.fakes import pictures


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    made = Codec(workers=1, memory_bytes=1 << 30, cpu_s=20, frame_bytes_most=1 << 22)
    yield made
    made.close()


def reason(source: Path | DataSetAt, codec: Codec, scratch_dir: Path) -> str:
    """Why this one is not compressed; and that nothing was written."""
    place = pictures.place(source) if isinstance(source, Path) else source
    written: list[bytes] = []
    with pytest.raises(AsReceived) as caught:
        compress(place, codec, scratch_dir=scratch_dir, out=written.append)
    assert written == []
    assert caught.value.code in AS_RECEIVED
    assert not list(scratch_dir.glob("tmp*"))
    return caught.value.code


def grey12(tmp_path: Path, change: Callable[[FileDataset], object]) -> Path:
    made = pictures.data_set(pictures.grey(12, signed=False, frames=1), "MONOCHROME2", 12)
    change(made)
    return pictures.write(made, tmp_path / "grey.dcm")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("JPEG2000.dcm", "already-compressed"),
        ("examples_jpeg2k.dcm", "already-compressed"),
        ("examples_ybr_color.dcm", "already-compressed"),
        ("MR_small_jpeg_ls_lossless.dcm", "already-compressed"),
        ("test-SR.dcm", "no-pixel-data"),
        ("liver_1frame.dcm", "one-bit"),
        ("rtdose.dcm", "bits-allocated"),
        ("SC_rgb_rle_32bit.dcm", "bits-allocated"),
        ("SC_ybr_full_422_uncompressed.dcm", "sub-sampled"),
        ("MR_small_padded.dcm", "pixel-length"),
        ("SC_rgb_small_odd.dcm", "unencodable"),
        ("image_dfl.dcm", "deflated"),
    ],
)
def test_a_sample_that_is_not_ours_to_compress_goes_as_it_came(
    name: str, code: str, codec: Codec, tmp_path: Path
) -> None:
    assert reason(pictures.sample(name), codec, tmp_path) == code


def _put(tag: int, vr: str, value: object) -> Callable[[FileDataset], object]:
    return lambda made: made.add_new(tag, vr, value)


def _cells(change: Callable[[np.ndarray], object]) -> Callable[[FileDataset], object]:
    def put(made: FileDataset) -> None:
        cells = np.frombuffer(made.PixelData, "<u2").copy()
        change(cells)
        made.PixelData = cells.tobytes()

    return put


def _overlay_elsewhere(made: FileDataset) -> None:
    made.add_new(0x60000010, "US", 128)
    made.add_new(0x60000100, "US", 1)
    made.add_new(0x60000102, "US", 0)
    made.add_new(0x60003000, "OW", bytes(2048))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_put(0x00280102, "US", 15), "high-bit"),
        (_put(0x00280101, "US", 7), "bits-stored"),
        (_put(0x00280101, "US", 17), "bits-stored"),
        (_put(0x00280100, "US", 12), "bits-allocated"),
        (_put(0x00280004, "CS", "YBR_RCT"), "photometric"),
        (_put(0x00280004, "CS", "RGB"), "photometric"),
        (_put(0x00280004, "CS", "CMYK"), "photometric"),
        (_put(0x00280002, "US", 3), "photometric"),
        (_put(0x00280010, "US", 0), "attributes"),
        (_put(0x00280103, "US", 2), "attributes"),
        (_put(0x00280008, "IS", "0"), "attributes"),
        (_put(0x00280008, "IS", "2"), "pixel-length"),
        (_put(0x60000102, "US", 12), "overlay-in-pixel-cell"),
        (_put(0x60000010, "US", 128), "overlay-in-pixel-cell"),
        (_put(0x601E0100, "US", 16), "overlay-in-pixel-cell"),
        (_cells(lambda cells: cells.__setitem__(5, 0x1001)), "unused-bits"),
    ],
)
def test_an_image_that_is_not_understood_to_the_last_bit_goes_as_it_came(
    change: Callable[[FileDataset], object], code: str, codec: Codec, tmp_path: Path
) -> None:
    assert reason(grey12(tmp_path, change), codec, tmp_path) == code


def test_an_overlay_with_data_of_its_own_is_no_obstacle(codec: Codec, tmp_path: Path) -> None:
    out = bytearray()
    place = pictures.place(grey12(tmp_path, _overlay_elsewhere))
    assert compress(place, codec, scratch_dir=tmp_path, out=out.extend).frames == 1


def test_float_pixels_go_as_they_came(codec: Codec, tmp_path: Path) -> None:
    def make_float(made: FileDataset) -> None:
        del made.PixelData
        made.add_new(0x7FE00008, "OF", bytes(4 * 128 * 128))

    assert reason(grey12(tmp_path, make_float), codec, tmp_path) == "float-pixels"


def test_an_unknown_transfer_syntax_goes_as_it_came(codec: Codec, tmp_path: Path) -> None:
    known = pictures.place(pictures.sample("examples_jpeg2k.dcm"))
    private = DataSetAt(known.path, known.dataset_offset, known.dataset_bytes, "1.2.3.4")
    assert reason(private, codec, tmp_path) == "unknown-syntax"


def test_a_frame_over_the_pixel_budget_goes_as_it_came(codec: Codec, tmp_path: Path) -> None:
    pixels = np.zeros((1, 2048, 2049), "u1")
    source = pictures.write(pictures.data_set(pixels, "MONOCHROME2", 8), tmp_path / "large.dcm")
    assert reason(source, codec, tmp_path) == "over-budget"
    (tmp_path / "large.dcm").unlink()


def test_signed_colours_go_as_they_came(codec: Codec, tmp_path: Path) -> None:
    pixels = pictures.colour("RGB", 8, frames=1).view("i1")
    source = pictures.write(pictures.data_set(pixels, "RGB", 8), tmp_path / "signed.dcm")
    assert reason(source, codec, tmp_path) == "signed-colour"


def test_odd_frames_in_big_endian_words_go_as_they_came(codec: Codec, tmp_path: Path) -> None:
    made = pictures.data_set(pictures.palette(frames=2)[:, :41, :33], "PALETTE COLOR", 8)
    made["PixelData"].VR = "OW"
    source = pictures.write(made, tmp_path / "odd.dcm", "big")
    assert reason(source, codec, tmp_path) == "odd-frames"


def test_sixteen_bit_bytes_in_big_endian_go_as_they_came(codec: Codec, tmp_path: Path) -> None:
    made = pictures.data_set(pictures.grey(12, signed=False, frames=1), "MONOCHROME2", 12)
    made["PixelData"].VR = "OB"
    source = pictures.write(made, tmp_path / "ob.dcm", "big")
    assert reason(source, codec, tmp_path) == "pixel-vr"


def test_ultrasound_in_rle_and_ybr_full_stays_legal_as_it_came(
    codec: Codec, tmp_path: Path
) -> None:
    made = pictures.data_set(pictures.colour("YBR_FULL", 8, frames=1), "YBR_FULL", 8)
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.6.1"
    source = pictures.write(made, tmp_path / "us.dcm", "rle")
    assert reason(source, codec, tmp_path) == "colour-of-class"


def rle_fragments(tmp_path: Path, fragments: list[bytes], offsets: list[int]) -> Path:
    """An RLE file of three frames with these fragments and this Basic Offset Table."""
    made = dcmread(rle(tmp_path))
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    pieces = (table, *fragments)
    made.PixelData = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(piece)) + piece for piece in pieces
    )
    made["PixelData"].is_undefined_length = True
    path = tmp_path / "fragments.dcm"
    dcmwrite(path, made, enforce_file_format=True)
    return path


def rle(tmp_path: Path) -> Path:
    pixels = pictures.grey(8, signed=False, frames=3)
    made = pictures.data_set(pixels, "MONOCHROME2", 8)
    return pictures.write(made, tmp_path / "rle.dcm", "rle")


def test_fragments_that_the_offset_table_explains_are_joined(codec: Codec, tmp_path: Path) -> None:
    frames = list(generate_frames(dcmread(rle(tmp_path)).PixelData, number_of_frames=3))
    cut = [frames[0][:100], frames[0][100:], *frames[1:]]
    second = 16 + len(frames[0])
    source = rle_fragments(tmp_path, cut, [0, second, second + 8 + len(frames[1])])
    out = bytearray()
    compress(pictures.place(source), codec, scratch_dir=tmp_path, out=out.extend)
    made = pictures.part10(tmp_path / "out.dcm", source, JPEG_2000_LOSSLESS, bytes(out))
    expected = pictures.grey(8, signed=False, frames=3)
    assert np.array_equal(pictures.frames_of(made), expected)


@pytest.mark.parametrize("offsets", [[], [0, 4, 8], [0, 10], [8, 16, 24]])
def test_fragments_that_nothing_explains_go_as_they_came(
    offsets: list[int], codec: Codec, tmp_path: Path
) -> None:
    frames = list(generate_frames(dcmread(rle(tmp_path)).PixelData, number_of_frames=3))
    cut = [frames[0][:100], frames[0][100:], *frames[1:]]
    source = rle_fragments(tmp_path, cut, offsets)
    assert reason(source, codec, tmp_path) == "fragments"


def test_a_broken_rle_frame_goes_as_it_came(codec: Codec, tmp_path: Path) -> None:
    frames = list(generate_frames(dcmread(rle(tmp_path)).PixelData, number_of_frames=3))
    frames[1] = frames[1][:-400]
    assert reason(rle_fragments(tmp_path, frames, []), codec, tmp_path) == "undecodable"


def test_an_icon_in_another_compression_goes_as_it_came(codec: Codec, tmp_path: Path) -> None:
    made = dcmread(rle(tmp_path))
    icon = Dataset()
    icon.PixelData = encapsulate([b"\0" * 64])
    icon["PixelData"].VR = "OB"
    icon["PixelData"].is_undefined_length = True
    made.IconImageSequence = Sequence([icon])
    dcmwrite(tmp_path / "icon.dcm", made, enforce_file_format=True)
    assert reason(tmp_path / "icon.dcm", codec, tmp_path) == "encapsulated-icon"


def test_a_data_set_that_contradicts_itself_is_malformed(codec: Codec, tmp_path: Path) -> None:
    whole = pictures.place(pictures.sample("CT_small.dcm"))
    cut = DataSetAt(
        whole.path, whole.dataset_offset, whole.dataset_bytes - 10, whole.transfer_syntax_uid
    )
    with pytest.raises(Malformed):
        compress(cut, codec, scratch_dir=tmp_path, out=bytearray().extend)


class Failing(Codec):
    """A codec whose children do something wrong with the second frame."""

    error: Exception

    def encode(
        self, frames: Iterable[FrameAt], geometry: Geometry, target: Target | None = None
    ) -> Iterator[bytes]:
        yield next(super().encode(frames, geometry, target))
        raise self.error


@pytest.mark.parametrize(
    "error", [CodecDied("SIGSEGV"), CodestreamMismatch("differs")], ids=lambda error: error.code
)
def test_a_codec_that_fails_in_the_middle_leaves_nothing_written(
    error: CodecDied | CodestreamMismatch, tmp_path: Path
) -> None:
    codec = Failing(workers=1, memory_bytes=1 << 30, cpu_s=20, frame_bytes_most=1 << 28)
    codec.error = error
    assert reason(pictures.sample("CT_small.dcm"), codec, tmp_path) == error.code
    codec.close()


def test_a_closed_codec_says_nothing_about_the_object(tmp_path: Path) -> None:
    codec = Codec(workers=1, memory_bytes=1 << 30, cpu_s=20, frame_bytes_most=1 << 28)
    codec.close()
    place = pictures.place(pictures.sample("CT_small.dcm"))
    with pytest.raises(CodecClosed):
        compress(place, codec, scratch_dir=tmp_path, out=bytearray().extend)


def test_each_code_of_the_codec_is_a_reason_that_a_person_can_read() -> None:
    assert {*REPORTED, CodecDied.code} <= set(REASONS)


@given(st.lists(st.integers(1, 9999), min_size=1, max_size=40))
def test_both_offset_tables_name_the_item_of_every_frame(lengths: list[int]) -> None:
    basic, none = offset_tables(lengths)
    empty, extended = offset_tables(lengths, offset_most=-1)
    offsets = struct.unpack(f"<{len(lengths)}I", basic)
    assert set(none.values()) == {None}
    assert empty == b""
    for element, expected in zip(
        extended.values(), (offsets, [length + length % 2 for length in lengths]), strict=True
    ):
        assert element is not None
        assert element[0] == "OV"
        assert struct.unpack(f"<{len(lengths)}Q", element[1]) == tuple(expected)


def test_the_last_offset_that_fits_stays_in_the_basic_table() -> None:
    lengths = [100, 100]
    assert offset_tables(lengths, offset_most=108)[0] != b""
    assert offset_tables(lengths, offset_most=107)[0] == b""


def test_frames_written_with_an_extended_offset_table_are_found_again(
    codec: Codec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gateway.prepare.renditions.offset_tables",
        lambda lengths: offset_tables(lengths, offset_most=-1),
    )
    pixels = pictures.grey(12, signed=False, frames=4)
    source = pictures.write(pictures.data_set(pixels, "MONOCHROME2", 12), tmp_path / "in.dcm")
    out = bytearray()
    compress(pictures.place(source), codec, scratch_dir=tmp_path, out=out.extend)
    made = pictures.part10(tmp_path / "out.dcm", source, JPEG_2000_LOSSLESS, bytes(out))
    header = dcmread(made)
    offsets = struct.unpack("<4Q", header.ExtendedOffsetTable)
    lengths = struct.unpack("<4Q", header.ExtendedOffsetTableLengths)
    for at, length in zip(offsets, lengths, strict=True):
        item = header.PixelData[8 + at : 8 + at + 8 + length]
        assert item[:8] == struct.pack("<HHI", 0xFFFE, 0xE000, length)
        assert item[8:12] == b"\xff\x4f\xff\x51"
    prove(pictures.place(source), pictures.place(made), codec)
    pictures.run("dcmftest", str(made))


def test_an_offset_table_of_other_fragments_goes_with_them(codec: Codec, tmp_path: Path) -> None:
    made = dcmread(rle(tmp_path))
    made.ExtendedOffsetTable = bytes(24)
    made.ExtendedOffsetTableLengths = bytes(24)
    dcmwrite(tmp_path / "tables.dcm", made, enforce_file_format=True)
    place = pictures.place(tmp_path / "tables.dcm")
    for write in (
        lambda out: compress(place, codec, scratch_dir=tmp_path, out=out),
        lambda out: fallback(place, EXPLICIT_VR_LITTLE_ENDIAN, codec, out=out),
    ):
        out = bytearray()
        recipe = write(out.extend)
        made_of = tmp_path / "out.dcm"
        pictures.part10(made_of, tmp_path / "tables.dcm", recipe.transfer_syntax_uid, bytes(out))
        assert "ExtendedOffsetTable" not in dcmread(made_of)
        assert "ExtendedOffsetTableLengths" not in dcmread(made_of)


def test_an_odd_codestream_gets_one_byte_of_padding(tmp_path: Path) -> None:
    with (tmp_path / "codestreams").open("w+b") as file:
        file.write(b"abcde")
        file.seek(0)
        value = b"".join(items(b"", file, [3, 2]))
    item = struct.Struct("<HHI")
    assert value == b"".join(
        (
            item.pack(0xFFFE, 0xE000, 0),
            item.pack(0xFFFE, 0xE000, 4) + b"abc\0",
            item.pack(0xFFFE, 0xE000, 2) + b"de",
            item.pack(0xFFFE, 0xE0DD, 0),
        )
    )


@pytest.mark.parametrize(
    "name", ["examples_jpeg2k.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_rle_2frame.dcm"]
)
def test_what_came_compressed_falls_back_to_equal_pixels(
    name: str, codec: Codec, tmp_path: Path
) -> None:
    source = pictures.sample(name)
    for uid in (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
        out = bytearray()
        recipe = fallback(pictures.place(source), uid, codec, out=out.extend)
        made = pictures.part10(tmp_path / "out.dcm", source, uid, bytes(out))
        assert recipe.raw_bytes == pictures.frames_of(source).nbytes
        assert np.array_equal(pictures.frames_of(made), pictures.frames_of(source))
        assert np.array_equal(
            pictures.gdcm_frames(source, tmp_path / "gdcm.dcm"), pictures.frames_of(made)
        )
        prove(pictures.place(source), pictures.place(made), codec)


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtdose.dcm", "liver_expb_1frame.dcm"])
def test_native_objects_of_every_kind_are_put_in_implicit_vr(
    name: str, codec: Codec, tmp_path: Path
) -> None:
    source = pictures.sample(name)
    out = bytearray()
    fallback(pictures.place(source), IMPLICIT_VR_LITTLE_ENDIAN, codec, out=out.extend)
    made = pictures.part10(tmp_path / "out.dcm", source, IMPLICIT_VR_LITTLE_ENDIAN, bytes(out))
    prove(pictures.place(source), pictures.place(made), codec)
    if "PixelData" in dcmread(source):
        assert np.array_equal(dcmread(source).pixel_array, dcmread(made).pixel_array)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("JPEG2000.dcm", "no-fallback"),
        ("examples_ybr_color.dcm", "no-fallback"),
        ("image_dfl.dcm", "deflated"),
        ("J2K_pixelrep_mismatch.dcm", "undecodable"),
        ("GDCMJ2K_TextGBR.dcm", "undecodable"),
        ("rtdose_expb.dcm", "rewrite"),
    ],
)
def test_what_cannot_be_decoded_for_certain_has_no_fallback(
    name: str, code: str, codec: Codec
) -> None:
    place = pictures.place(pictures.sample(name))
    with pytest.raises(AsReceived) as caught:
        fallback(place, EXPLICIT_VR_LITTLE_ENDIAN, codec, out=bytearray().extend)
    assert caught.value.code == code


def test_big_endian_is_no_fallback(codec: Codec) -> None:
    place = pictures.place(pictures.sample("CT_small.dcm"))
    with pytest.raises(ValueError, match="no fallback"):
        fallback(place, EXPLICIT_VR_BIG_ENDIAN, codec, out=bytearray().extend)


@pytest.mark.parametrize("syntax", ["explicit", "big", "rle"])
def test_one_altered_pixel_fails_the_proof(syntax: str, codec: Codec, tmp_path: Path) -> None:
    pixels = pictures.grey(12, signed=False, frames=3)
    made = pictures.data_set(pixels, "MONOCHROME2", 12)
    source = pictures.write(made, tmp_path / "in.dcm", syntax)
    pixels[2, 64, 64] ^= 1
    pictures.put_pixels(made, pixels, planar=0)
    other = pictures.write(made, tmp_path / "other.dcm")
    with pytest.raises(AsReceived) as caught:
        prove(pictures.place(source), pictures.place(other), codec)
    assert caught.value.code == "pixels-differ"


@pytest.mark.parametrize("bits", [12, 16])
def test_another_shape_or_depth_fails_the_proof(bits: int, codec: Codec, tmp_path: Path) -> None:
    source = rle(tmp_path)
    pixels = pictures.grey(bits, signed=False, frames=3)
    made = pictures.data_set(pixels, "MONOCHROME2", bits)
    other = pictures.write(made, tmp_path / "other.dcm")
    with pytest.raises(AsReceived, match="pixels-differ"):
        prove(pictures.place(source), pictures.place(other), codec)


def test_a_data_set_closes_its_file_whatever_happens(tmp_path: Path) -> None:
    seen: list[Source] = []
    with pytest.raises(AsReceived, match="codec-died"):  # noqa: SIM117
        with open_data_set(pictures.place(pictures.sample("CT_small.dcm"))) as data_set:
            seen.append(data_set.source)
            raise CodecDied("killed")
    with pytest.raises(OSError, match="descriptor"):
        seen[0].read(0, 30000)


def test_the_samples_have_the_syntaxes_they_are_meant_for() -> None:
    assert dcmread(pictures.sample("SC_rgb_rle_2frame.dcm")).file_meta.TransferSyntaxUID == (
        RLELossless
    )
    assert dcmread(pictures.sample("examples_jpeg2k.dcm")).file_meta.TransferSyntaxUID == (
        JPEG2000Lossless
    )
