"""Rewriting: nothing changes but what was named, and nothing is guessed."""

import struct
from pathlib import Path

import pytest

from gateway.dicom.part10 import read_file_meta
from gateway.dicom.rewrite import PixelData, Unrewritable, rewrite
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    syntax_of,
)
from gateway.dicom.unrewritable import REASONS
from gateway.dicom.vr import PIXEL_DATA
from gateway.dicom.walk import Malformed
from tests.fakes.data_sets import (
    BIG,
    ENDLESS,
    EXPLICIT,
    IMPLICIT,
    SAMPLES,
    Sequence,
    Value,
    element,
    encoded,
    item,
    us,
)
from tests.fakes.rewriting import as_read, flat, of_bytes, rewritten

J2K = item() + item(b"\xff\x4fab") + item(tag=0xE0DD)  # offset table, one fragment, delimiter


# ---- the compressed rendition: only what is named differs
def test_a_compressed_rendition_differs_only_in_the_pixels_and_in_what_is_named() -> None:
    path = SAMPLES / "examples_rgb_color.dcm"
    meta = read_file_meta(path)
    received = as_read(path.read_bytes()[meta.dataset_offset :], meta.transfer_syntax_uid)
    data = rewritten(
        path,
        meta.transfer_syntax_uid,
        JPEG_2000_LOSSLESS,
        {0x00280004: ("CS", b"YBR_RCT "), 0x00280006: None, 0x7FE00001: ("OV", bytes(8))},
        PixelData("OB", None, iter((J2K[:8], J2K[8:]))),
        meta.dataset_offset,
    )
    before = dict(flat(received, meta.transfer_syntax_uid))
    after = dict(flat(as_read(data, JPEG_2000_LOSSLESS), JPEG_2000_LOSSLESS))
    named = {(0x00280004,), (0x00280006,), (0x7FE00001,), (PIXEL_DATA,)}
    assert {
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    } <= named
    assert (
        element(0x7FE00001, "OV", bytes(8)) + element(PIXEL_DATA, "OB", J2K, length=ENDLESS)
    ) in data


TWO = Value(0x00080060, "CS", b"US"), Value(0x00100020, "LO", b"ID")
PIXELS = Value(PIXEL_DATA, "OW", bytes(range(16)))


def explicit(tmp_path: Path, data: bytes, **more) -> bytes:
    uid = EXPLICIT_VR_LITTLE_ENDIAN
    return of_bytes(tmp_path, data, uid, uid, **more)


def test_a_new_tag_stands_where_it_belongs(tmp_path: Path) -> None:
    tags = (0x00080001, 0x00080070, 0x00100010, 0x00200010)
    changes = dict.fromkeys(tags, ("LO", b"new "))
    got = explicit(tmp_path, encoded(TWO, EXPLICIT), changes=changes)
    added = tuple(Value(tag, "LO", b"new ") for tag in changes)
    assert got == encoded(tuple(sorted((*TWO, *added), key=lambda one: one.tag)), EXPLICIT)


def test_disorder_is_kept_as_it_came(tmp_path: Path) -> None:
    data = encoded(TWO[::-1], EXPLICIT)
    assert explicit(tmp_path, data) == data


def test_group_lengths_are_counted_again_where_they_stood(tmp_path: Path) -> None:
    wrong = Value(0x00080000, "UL", struct.pack("<I", 999))
    got = explicit(
        tmp_path,
        encoded((wrong, *TWO), EXPLICIT),
        changes={0x00080070: ("LO", b"Maker1")},
    )
    right = Value(0x00080000, "UL", struct.pack("<I", 10 + 14))
    maker = Value(0x00080070, "LO", b"Maker1")
    assert got == encoded((right, TWO[0], maker, TWO[1]), EXPLICIT)


def test_group_lengths_inside_items_follow_the_new_form(tmp_path: Path) -> None:
    def nodes(uid_bytes: int) -> tuple[Sequence]:
        length = Value(0x00080000, "UL", struct.pack("<I", uid_bytes))
        text = Value(0x00080119, "UC", b"text")
        return (Sequence(0x00081140, ((length, text),), False),)

    data = encoded(nodes(12), IMPLICIT)
    got = of_bytes(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    assert got == encoded(nodes(16), EXPLICIT)


def test_the_group_length_of_pixels_that_are_still_being_made_is_left_out(tmp_path: Path) -> None:
    lengths = tuple(Value(tag, "UL", bytes(4)) for tag in (0x00100000, 0x7FE00000))
    data = encoded((lengths[0], TWO[1], lengths[1], PIXELS), EXPLICIT)
    got = of_bytes(
        tmp_path,
        data,
        EXPLICIT_VR_LITTLE_ENDIAN,
        JPEG_2000_LOSSLESS,
        pixel_data=PixelData("OB", None, iter((J2K,))),
    )
    right = Value(0x00100000, "UL", struct.pack("<I", 10))
    pixels = element(PIXEL_DATA, "OB", J2K, length=ENDLESS)
    assert got == encoded((right, TWO[1]), EXPLICIT) + pixels


def test_native_pixels_of_a_fallback_replace_the_encapsulated_ones(tmp_path: Path) -> None:
    data = encoded(TWO, EXPLICIT) + element(PIXEL_DATA, "OB", J2K, length=ENDLESS)
    got = of_bytes(
        tmp_path,
        data,
        JPEG_2000_LOSSLESS,
        IMPLICIT_VR_LITTLE_ENDIAN,
        pixel_data=PixelData("OW", 16, iter((PIXELS.value[:7], PIXELS.value[7:]))),
    )
    assert got == encoded((*TWO, PIXELS), IMPLICIT)


@pytest.mark.parametrize("chunks", [(b"1234",), (b"1234", b"5678", b"9")])
def test_pixels_of_another_length_than_announced_are_an_error(
    tmp_path: Path, chunks: tuple[bytes, ...]
) -> None:
    with pytest.raises(ValueError, match="announced with 8 bytes"):
        explicit(tmp_path, b"", pixel_data=PixelData("OW", 8, iter(chunks)))


# ---- what is not guessed
ICON = item(element(PIXEL_DATA, "OB", J2K, length=ENDLESS))
REFUSED = {
    "encapsulated pixels in a native syntax": (
        element(PIXEL_DATA, "OB", J2K, length=ENDLESS),
        JPEG_2000_LOSSLESS,
        EXPLICIT_VR_LITTLE_ENDIAN,
        "still-encapsulated",
    ),
    "encapsulated icon, same form": (
        element(0x00880200, "SQ", ICON),
        JPEG_2000_LOSSLESS,
        EXPLICIT_VR_LITTLE_ENDIAN,
        "still-encapsulated",
    ),
    "encapsulated icon in a native object": (
        element(0x00880200, "SQ", ICON),
        EXPLICIT_VR_LITTLE_ENDIAN,
        IMPLICIT_VR_LITTLE_ENDIAN,
        "still-encapsulated",
    ),
    "native pixels in an encapsulated syntax": (
        element(PIXEL_DATA, "OW", b"abcd"),
        EXPLICIT_VR_LITTLE_ENDIAN,
        JPEG_2000_LOSSLESS,
        "not-encapsulated",
    ),
    "wide pixels in big endian words": (
        encoded((us(0x00280100, 32), PIXELS), BIG),
        EXPLICIT_VR_BIG_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        "word-unknown",
    ),
    "an unknown representation in big endian": (
        element(0x00091001, "ZZ", b"what", BIG),
        EXPLICIT_VR_BIG_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        "word-unknown",
    ),
    "half a word in big endian": (
        element(0x00280010, "US", b"abc", BIG),
        EXPLICIT_VR_BIG_ENDIAN,
        IMPLICIT_VR_LITTLE_ENDIAN,
        "word-cut",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_a_guess_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    data, uid_in, uid_out, code = REFUSED[name]
    (tmp_path / "data").write_bytes(encoded(TWO, BIG if "big" in name else EXPLICIT) + data)
    written: list[bytes] = []
    with Source(tmp_path / "data") as source, pytest.raises(Unrewritable) as caught:
        rewrite(
            source,
            syntax_of(uid_in),
            written.append,
            syntax_of(uid_out),
            changes={},
            pixel_data=None,
        )
    assert (caught.value.code, written) == (code, [])
    assert caught.value.what


def test_pixels_past_four_gigabytes_do_not_fit_a_native_syntax(tmp_path: Path) -> None:
    with pytest.raises(Unrewritable) as caught:
        explicit(tmp_path, b"", pixel_data=PixelData("OW", 1 << 32, iter(())))
    assert caught.value.code == "too-long"


def test_every_reason_is_met_by_a_test() -> None:
    assert {code for *_, code in REFUSED.values()} | {"too-long"} == set(REASONS)


@pytest.mark.parametrize("uid", [EXPLICIT_VR_BIG_ENDIAN, "1.2.840.10008.1.2.1.99"])
def test_big_endian_and_deflated_are_not_written(tmp_path: Path, uid: str) -> None:
    with pytest.raises(ValueError, match="not written"):
        of_bytes(tmp_path, b"", EXPLICIT_VR_LITTLE_ENDIAN, uid)


def test_a_broken_data_set_is_not_rewritten(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        explicit(tmp_path, encoded(TWO, EXPLICIT)[:-1])


def test_an_unknown_representation_in_little_endian_is_copied(tmp_path: Path) -> None:
    data = element(0x00091001, "ZZ", b"what")
    assert explicit(tmp_path, data) == data
    got = of_bytes(tmp_path, data, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    assert got == element(0x00091001, "ZZ", b"what", IMPLICIT)


def test_values_are_copied_in_bounded_pieces(tmp_path: Path) -> None:
    data = element(PIXEL_DATA, "OW", bytes(1 << 20), BIG)
    (tmp_path / "data").write_bytes(data)
    sizes: list[int] = []
    with Source(tmp_path / "data") as source:
        rewrite(
            source,
            syntax_of(EXPLICIT_VR_BIG_ENDIAN),
            lambda piece: sizes.append(len(piece)),
            syntax_of(EXPLICIT_VR_LITTLE_ENDIAN),
            changes={},
            pixel_data=None,
        )
    assert max(sizes) == 65536
    assert sum(sizes) == len(data)
