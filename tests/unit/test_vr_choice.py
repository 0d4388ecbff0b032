"""The VR that Implicit VR does not name."""

from pathlib import Path

import pytest

from gateway.dicom.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from gateway.dicom.vr import PIXEL_DATA
from tests.fakes.data_sets import (
    IMPLICIT,
    Sequence,
    Value,
    element,
    encoded,
    us,
)
from tests.fakes.rewriting import as_read, of_bytes

PIXELS = Value(PIXEL_DATA, "OW", bytes(range(16)))


def implicit_to_explicit(tmp_path: Path, *nodes: Value | Sequence) -> list[tuple[int, str]]:
    data = encoded(nodes, IMPLICIT)
    got = of_bytes(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    return [(int(one.tag), one.VR) for one in as_read(got, EXPLICIT_VR_LITTLE_ENDIAN)]


@pytest.mark.parametrize(("representation", "vr"), [(0, "US"), (1, "SS")])
def test_pixel_values_are_signed_as_the_pixels_are(
    tmp_path: Path, representation: int, vr: str
) -> None:
    nodes = (us(0x00280103, representation), us(0x00280106, 7), us(0x00281101, 8))
    assert implicit_to_explicit(tmp_path, *nodes)[1:] == [(0x00280106, vr), (0x00281101, vr)]


@pytest.mark.parametrize(("bits", "vr"), [(1, "OB"), (8, "OB"), (12, "OW"), (16, "OW"), (32, "OW")])
def test_pixels_are_words_above_eight_bits(tmp_path: Path, bits: int, vr: str) -> None:
    found = implicit_to_explicit(tmp_path, us(0x00280100, bits), PIXELS)
    assert found[-1] == (PIXEL_DATA, vr)


def test_an_item_takes_what_it_does_not_say_from_around_it(tmp_path: Path) -> None:
    inner = ((us(0x00280106, 1),), (us(0x00280103, 0), us(0x00280106, 1)))
    nodes = (us(0x00280103, 1), Sequence(0x00880200, inner, True))
    data = encoded(nodes, IMPLICIT)
    got = of_bytes(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    icons = as_read(got, EXPLICIT_VR_LITTLE_ENDIAN).IconImageSequence
    assert [icon[0x00280106].VR for icon in icons] == ["SS", "US"]


@pytest.mark.parametrize(("bits", "vr"), [(8, "OB"), (16, "OW")])
def test_waveforms_are_bytes_or_words_as_their_bits_say(tmp_path: Path, bits: int, vr: str) -> None:
    nodes = (us(0x54001004, bits), Value(0x54001010, "OW", b"wave"))
    assert implicit_to_explicit(tmp_path, *nodes)[-1] == (0x54001010, vr)


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x00090010, b"LO"),  # private creator, PS3.5 7.8.1
        (0x00091001, b"UN"),
        (0x0008FFF1, b"UN"),
        (0x60023000, b"OW"),
        (0x60020010, b"US"),
        (0x00283006, b"OW"),
        (0x00080000, b"UL"),
    ],
)
def test_the_dictionary_gives_the_representation_or_un(tmp_path: Path, tag: int, vr: bytes) -> None:
    data = element(tag, "", b"abcd", IMPLICIT)
    got = of_bytes(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    assert got[4:6] == vr


@pytest.mark.parametrize(("size", "vr"), [(65534, b"LT"), (65536, b"UN")])
def test_a_value_too_long_for_its_representation_goes_as_un(
    tmp_path: Path, size: int, vr: bytes
) -> None:
    data = element(0x00104000, "", b"x" * size, IMPLICIT)
    got = of_bytes(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    assert got[4:6] == vr
    assert of_bytes(tmp_path, got, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN) == data


def test_the_tag_of_a_sequence_over_something_else_goes_as_un(tmp_path: Path) -> None:
    data = element(0x00081140, "", b"no items", IMPLICIT)
    got = of_bytes(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN)
    assert got == element(0x00081140, "UN", b"no items")
