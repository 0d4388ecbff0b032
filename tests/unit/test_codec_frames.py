"""Single frames: JPEG 2000, RLE, byte order and planes, without any child process."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.pixels.encoders.native import _encode_segment

from gateway.codec import cells, codestream, jpeg2000, rle
from gateway.codec.errors import CodestreamMismatch, Undecodable, Unencodable, UnusedBits
from gateway.codec.frames import Geometry


def shades(geometry: Geometry) -> cells.Cells:
    """Every shade that the bits allow, spread over a frame."""
    span = 1 << geometry.bits_stored
    lowest = -span // 2 if geometry.signed else 0
    count = geometry.rows * geometry.columns * geometry.samples
    values = np.arange(count) * (span - 1) // (count - 1) + lowest
    return values.astype(cells.cell_dtype(geometry)).reshape(cells.shape(geometry))


def geometry_of(bits: int, *, signed: bool = False, samples: int = 1, **more: bool) -> Geometry:
    return Geometry(48, 40, samples, 8 if bits == 8 else 16, bits, signed, **more)


def sample(name: str) -> str:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return path


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("transform", [None, False, True])
def test_every_depth_comes_back_equal_and_is_written_with_its_own_precision(
    bits: int, signed: bool, transform: bool | None
) -> None:
    geometry = Geometry(
        48, 40, 1 if transform is None else 3, 8 if bits == 8 else 16, bits, signed,
        colour_transform=bool(transform),
    )  # fmt: skip
    pixels = shades(geometry)
    encoded = jpeg2000.encode(pixels, geometry)
    header = codestream.read_header(encoded)
    assert (header.bits, header.signed) == (bits, signed)
    assert header.colour_transform is bool(transform)
    assert header.reversible
    assert np.array_equal(jpeg2000.decode(encoded, geometry), pixels)


def test_a_dark_frame_keeps_its_precision() -> None:
    geometry = geometry_of(12)
    dark = np.zeros(cells.shape(geometry), "<u2")
    assert codestream.read_header(jpeg2000.encode(dark, geometry)).bits == 12


def test_eight_bits_in_sixteen_come_back_in_sixteen() -> None:
    geometry = Geometry(32, 32, 1, 16, 8, False)
    pixels = shades(geometry)
    decoded = jpeg2000.decode(jpeg2000.encode(pixels, geometry), geometry)
    assert decoded.dtype == np.dtype("<u2")
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize("value", [0x1000, 0xF000])
def test_a_bit_above_bits_stored_is_refused(value: int) -> None:
    geometry = geometry_of(12)
    pixels = shades(geometry)
    pixels[3, 3] = value
    with pytest.raises(UnusedBits):
        jpeg2000.encode(pixels, geometry)


def test_a_sign_that_was_not_extended_is_refused() -> None:
    geometry = geometry_of(12, signed=True)
    pixels = shades(geometry)
    pixels[3, 3] = 0x0FFF  # -1 in 12 bits
    with pytest.raises(UnusedBits):
        jpeg2000.encode(pixels, geometry)


def test_a_frame_too_small_for_the_encoder_is_refused() -> None:
    geometry = Geometry(31, 640, 1, 8, 8, False)
    with pytest.raises(Unencodable):
        jpeg2000.encode(shades(geometry), geometry)


def test_an_encoder_that_changes_one_shade_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = geometry_of(8)
    pixels = shades(geometry)
    encode = jpeg2000.encode_array

    def faulty(array: cells.Cells, **how: object) -> bytes:
        altered = array.copy()
        altered[7, 7] ^= 1
        return bytes(encode(altered, **how))

    monkeypatch.setattr(jpeg2000, "encode_array", faulty)
    with pytest.raises(CodestreamMismatch):
        jpeg2000.encode(pixels, geometry)


@pytest.mark.parametrize(
    "other",
    [
        Geometry(40, 48, 3, 8, 8, False, colour_transform=True),
        Geometry(48, 40, 1, 8, 8, False),
        Geometry(48, 40, 3, 16, 12, False, colour_transform=True),
        Geometry(48, 40, 3, 8, 8, True, colour_transform=True),
        Geometry(48, 40, 3, 8, 8, False, colour_transform=False),
    ],
)
def test_a_codestream_that_disagrees_with_the_data_set_is_not_decoded(other: Geometry) -> None:
    geometry = geometry_of(8, samples=3, colour_transform=True)
    encoded = jpeg2000.encode(shades(geometry), geometry)
    with pytest.raises(Undecodable):
        jpeg2000.decode(encoded, other)


def test_an_irreversible_codestream_is_not_taken_for_a_lossless_one() -> None:
    dataset = dcmread(sample("JPEG2000.dcm"))
    encoded = next(generate_frames(dataset.PixelData, number_of_frames=1))
    with pytest.raises(Undecodable):
        jpeg2000.decode(encoded, Geometry(1024, 256, 1, 16, 16, True))


def test_every_cut_of_a_codestream_is_refused() -> None:
    geometry = Geometry(32, 32, 1, 8, 8, False)
    encoded = jpeg2000.encode(shades(geometry), geometry)
    for end in range(len(encoded)):
        with pytest.raises(Undecodable):
            jpeg2000.decode(encoded[:end], geometry)


@given(st.binary(max_size=200))
def test_the_header_reader_gives_a_header_or_refuses(junk: bytes) -> None:
    for begin in (b"", codestream.SOC_SIZ, codestream.SOC_SIZ + struct.pack(">HH", 41, 0)):
        try:
            codestream.read_header(begin + junk)
        except Undecodable:
            continue


@given(st.data())
def test_the_header_reader_survives_any_changed_byte(data: st.DataObject) -> None:
    geometry = Geometry(32, 32, 1, 8, 8, False)
    encoded = bytearray(jpeg2000.encode(np.zeros((32, 32), "u1"), geometry))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        codestream.read_header(bytes(encoded))
    except Undecodable:
        return


@pytest.mark.parametrize(
    ("name", "geometry"),
    [
        ("SC_rgb_rle.dcm", Geometry(100, 100, 3, 8, 8, False)),
        ("SC_rgb_rle_2frame.dcm", Geometry(100, 100, 3, 8, 8, False)),
        ("SC_rgb_rle_16bit_2frame.dcm", Geometry(100, 100, 3, 16, 16, False)),
        ("MR_small_RLE.dcm", Geometry(64, 64, 1, 16, 16, True)),
    ],
)
def test_rle_frames_decode_as_pydicom_decodes_them(name: str, geometry: Geometry) -> None:
    dataset = dcmread(sample(name))
    frames = int(dataset.get("NumberOfFrames", 1))
    whole = dataset.pixel_array.reshape(frames, *cells.shape(geometry))
    stored = generate_frames(dataset.PixelData, number_of_frames=frames)
    for frame, pixels in zip(stored, whole, strict=True):
        assert np.array_equal(rle.decode(frame, geometry), pixels)


@given(st.binary(min_size=1, max_size=600))
def test_unpacking_gives_back_what_was_packed(plane: bytes) -> None:
    packed = bytes(_encode_segment(plane, columns=len(plane)))
    assert rle.unpack(packed, len(plane)) == plane


@given(st.binary(max_size=300), st.integers(1, 400))
def test_unpacking_junk_ends_with_the_expected_length_or_refuses(junk: bytes, most: int) -> None:
    try:
        assert len(rle.unpack(junk, most)) == most
    except Undecodable:
        return


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        struct.pack("<16I", 2, 64, *[0] * 14),
        struct.pack("<16I", 1, 60, *[0] * 14) + b"\x81\0",
        struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0",
        struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * 9,
    ],
)
def test_an_rle_frame_of_the_wrong_size_is_refused(frame: bytes) -> None:
    with pytest.raises(Undecodable):
        rle.decode(frame, Geometry(32, 32, 1, 8, 8, False))


def test_planes_and_big_endian_words_become_colour_by_pixel_little_endian() -> None:
    pixels = shades(Geometry(4, 6, 3, 16, 16, False))
    stored = pixels.transpose(2, 0, 1).astype(">u2").tobytes()
    geometry = Geometry(4, 6, 3, 16, 16, False, planar=True, swapped=True)
    assert np.array_equal(cells.from_raw(stored, geometry), pixels)


def test_eight_bit_pixels_in_big_endian_words_lose_their_padding_byte() -> None:
    geometry = Geometry(3, 3, 1, 8, 8, False, swapped=True)
    frame = cells.from_raw(bytes([1, 0, 3, 2, 5, 4, 7, 6, 99, 8]), geometry)
    assert frame.tobytes() == bytes(range(9))


@pytest.mark.parametrize("length", [0, 8, 11, 18])
def test_a_raw_frame_of_the_wrong_length_is_refused(length: int) -> None:
    for swapped in (False, True):
        with pytest.raises(Undecodable):
            cells.from_raw(bytes(length), Geometry(3, 3, 1, 8, 8, False, swapped=swapped))


@pytest.mark.parametrize(
    ("tail", "complete"), [(b"", True), (b"\0", True), (b"\xff", True), (b"\0\0", False)]
)
def test_one_byte_of_padding_may_follow_a_codestream(tail: bytes, complete: bool) -> None:
    geometry = Geometry(32, 32, 1, 8, 8, False)
    assert codestream.is_complete(jpeg2000.encode(shades(geometry), geometry) + tail) is complete
