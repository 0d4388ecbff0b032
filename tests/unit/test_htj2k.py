"""High-Throughput JPEG 2000 gives back every pixel, to the decoder that made it and to another."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from imagecodecs import htj2k_decode
from openjpeg.utils import decode
from pydicom import dcmread
from pydicom.encaps import generate_frames

from gateway.codec import codestream, htj2k
from gateway.codec.errors import CodestreamMismatch, NoHtj2k, UnusedBits
from gateway.codec.frames import Geometry
from gateway.codec.pool import Codec
from gateway.dicom.syntaxes import HTJ2K_LOSSLESS, JPEG_2000_LOSSLESS
from gateway.prepare.as_received import AsReceived
from gateway.prepare.content import content_of
from gateway.prepare.proof import prove
from gateway.prepare.renditions import compress, fallback
from tests.fakes import pictures


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=2 << 30, cpu_s=60, frame_bytes_most=1 << 28)
    yield found
    found.close()


def geometry(pixels: np.ndarray, bits: int, *, transform: bool = False) -> Geometry:
    return Geometry(
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples=3 if pixels.ndim == 3 else 1,
        bits_allocated=pixels.dtype.itemsize * 8,
        bits_stored=bits,
        signed=pixels.dtype.kind == "i",
        colour_transform=transform,
    )


def by_openjph(encoded: bytes) -> np.ndarray:
    """Decode with the library that encodes; without a transform it gives planes."""
    found: np.ndarray = htj2k_decode(encoded)
    return np.moveaxis(found, 0, 2) if found.ndim == 3 and found.shape[0] == 3 else found


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("bits", "cell"), [(8, 1), (8, 2), *((bits, 2) for bits in range(9, 17))])
def test_two_decoders_give_back_every_grey_in_every_depth(
    bits: int, cell: int, *, signed: bool
) -> None:
    pixels = pictures.grey(bits, signed=signed, frames=1)[0]
    pixels = np.ascontiguousarray(pixels.astype(f"<{'i' if signed else 'u'}{cell}"))
    encoded = htj2k.encode(pixels, geometry(pixels, bits))
    header = codestream.read_header(encoded)
    assert (header.bits, header.signed, header.reversible) == (bits, signed, True)
    assert np.array_equal(by_openjph(encoded), pixels)
    assert np.array_equal(decode(encoded, j2k_format=0), pixels)


@pytest.mark.parametrize("transform", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_two_decoders_give_back_every_colour(bits: int, *, transform: bool) -> None:
    pixels = np.ascontiguousarray(pictures.colour("RGB", bits, frames=1)[0])
    encoded = htj2k.encode(pixels, geometry(pixels, bits, transform=transform))
    assert codestream.read_header(encoded).colour_transform is transform
    assert np.array_equal(by_openjph(encoded), pixels)
    assert np.array_equal(decode(encoded, j2k_format=0), pixels)


def test_extremes_and_noise_survive() -> None:
    noise = np.random.default_rng(1)
    for bits in (8, 10, 12, 16):
        kind = "u1" if bits == 8 else "<u2"
        for pixels in (
            noise.integers(0, 1 << bits, (40, 33), kind),
            np.zeros((1, 1), kind),
            np.full((5, 3), (1 << bits) - 1, kind),
        ):
            encoded = htj2k.encode(pixels, geometry(pixels, bits))
            assert np.array_equal(decode(encoded, j2k_format=0).reshape(pixels.shape), pixels)


def test_what_lies_above_bits_stored_is_refused() -> None:
    pixels = np.full((32, 32), 1 << 12, "<u2")
    with pytest.raises(UnusedBits):
        htj2k.encode(pixels, geometry(pixels, 12))


def test_a_codestream_that_decodes_to_something_else_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels = pictures.grey(8, signed=False, frames=1)[0]
    real = htj2k._encode
    monkeypatch.setattr(htj2k, "_encode", lambda cells, about: real(cells[::-1].copy(), about))
    with pytest.raises(CodestreamMismatch):
        htj2k.encode(np.ascontiguousarray(pixels), geometry(pixels, 8))


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    pixels = np.zeros((32, 32), "u1")
    with pytest.raises(NoHtj2k):
        htj2k.encode(pixels, geometry(pixels, 8))


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big", "rle"])
@pytest.mark.parametrize(
    ("photometric", "bits"), [("RGB", 8), ("MONOCHROME2", 12), ("PALETTE COLOR", 8)]
)
def test_an_object_in_it_is_proved_equal_and_can_be_brought_back(
    codec: Codec, tmp_path: Path, photometric: str, bits: int, syntax: str
) -> None:
    pixels = pictures.picture(photometric, bits, signed=False, frames=2)
    whole = pictures.data_set(pixels, photometric, bits)
    source = pictures.write(whole, tmp_path / "source.dcm", syntax)
    out = bytearray()
    recipe = compress(
        pictures.place(source),
        codec,
        scratch_dir=tmp_path,
        out=out.extend,
        target_uid=HTJ2K_LOSSLESS,
    )
    assert str(recipe).startswith("codec=imagecodecs/")
    made = pictures.part10(tmp_path / "made.dcm", source, HTJ2K_LOSSLESS, bytes(out))
    prove(pictures.place(source), pictures.place(made), codec)
    assert content_of(pictures.place(source), codec) == content_of(pictures.place(made), codec)
    read = dcmread(made)
    frames = [by_openjph(one) for one in generate_frames(read.PixelData, number_of_frames=2)]
    assert np.array_equal(np.stack(frames), pixels)
    assert read.PhotometricInterpretation == {"RGB": "YBR_RCT"}.get(photometric, photometric)
    back = bytearray()
    fallback(pictures.place(made), "1.2.840.10008.1.2.1", codec, out=back.extend)
    native = pictures.part10(tmp_path / "back.dcm", source, "1.2.840.10008.1.2.1", bytes(back))
    assert np.array_equal(pictures.frames_of(native).reshape(pixels.shape), pixels)


def test_it_is_not_packed_a_second_time(codec: Codec, tmp_path: Path) -> None:
    pixels = pictures.grey(8, signed=False, frames=1)
    source = pictures.write(
        pictures.data_set(pixels, "MONOCHROME2", 8), tmp_path / "source.dcm", "explicit"
    )
    out = bytearray()
    place = pictures.place(source)
    compress(place, codec, scratch_dir=tmp_path, out=out.extend, target_uid=HTJ2K_LOSSLESS)
    made = pictures.part10(tmp_path / "made.dcm", source, HTJ2K_LOSSLESS, bytes(out))
    for target in (HTJ2K_LOSSLESS, JPEG_2000_LOSSLESS):
        with pytest.raises(AsReceived, match="already-compressed"):
            compress(
                pictures.place(made),
                codec,
                scratch_dir=tmp_path,
                out=bytearray().extend,
                target_uid=target,
            )
