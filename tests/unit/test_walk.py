"""The walk: sound samples pass, and whatever contradicts itself is Malformed, fast."""

import struct
import time
import tracemalloc
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom.malformed import REASONS
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    syntax_of,
)
from gateway.dicom.walk import Element, Malformed, fragments, walk
from tests.fakes.data_sets import BIG, ENDLESS, IMPLICIT, SAMPLES, element, item, samples

METAS = samples()
#: broken on purpose; the last names JPEG Baseline over a data set in Implicit VR
BROKEN = {
    "MR_truncated.dcm": "past-end",
    "rtplan_truncated.dcm": "past-end",
    "dicomdirtests/DICOMDIR-nooffset": "past-end",
    "SC_rgb_jpeg.dcm": "vr-illegal",
}


def walked(tmp_path: Path, data: bytes, uid: str = EXPLICIT_VR_LITTLE_ENDIAN) -> list[Element]:
    path = tmp_path / "data"
    path.write_bytes(data)
    with Source(path) as source:
        return walk(source, syntax_of(uid))


def refused(tmp_path: Path, data: bytes, uid: str = EXPLICIT_VR_LITTLE_ENDIAN) -> Malformed:
    with pytest.raises(Malformed) as caught:
        walked(tmp_path, data, uid)
    return caught.value


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(METAS.keys() - BROKEN.keys()))
def test_every_sound_sample_is_walked_like_pydicom_reads_it(name: str) -> None:
    meta = METAS[name]
    with Source(SAMPLES / name, meta.dataset_offset) as source:
        found = walk(source, syntax_of(meta.transfer_syntax_uid))
        assert found[-1].end == source.size
    data_set = pydicom.dcmread(SAMPLES / name, force=True)
    assert sorted(one.tag for one in found) == [int(one.tag) for one in data_set]


@pytest.mark.parametrize("name", BROKEN)
def test_a_sample_that_is_broken_is_malformed(name: str) -> None:
    meta = METAS[name]
    with Source(SAMPLES / name, meta.dataset_offset) as source, pytest.raises(Malformed) as caught:
        walk(source, syntax_of(meta.transfer_syntax_uid))
    assert caught.value.code == BROKEN[name]


def test_a_truncated_data_set_is_malformed_at_its_last_element(tmp_path: Path) -> None:
    first, last = element(0x00080060, "CS", b"US"), element(0x00100010, "PN", b"DOE^J ")
    error = refused(tmp_path, (first + last)[:-1])
    assert (error.offset, error.code, error.tag) == (len(first), "past-end", 0x00100010)
    assert str(error) == f"byte {len(first)}: {error.what}"


def test_offsets_and_lengths_are_those_of_the_bytes(tmp_path: Path) -> None:
    data = element(0x00081140, "SQ", item(b"", length=ENDLESS) + item(tag=0xE00D)) + element(
        0x00080060, "CS", b"US"
    )
    assert walked(tmp_path, data) == [
        Element(0x00081140, "SQ", 0, 12, 16, False, 28),
        Element(0x00080060, "CS", 28, 36, 2, False, 38),
    ]


def test_the_length_of_an_undefined_value_excludes_its_delimiter(tmp_path: Path) -> None:
    body = item(element(0x00080060, "CS", b"US"))
    data = element(0x00081140, "SQ", body + item(tag=0xE0DD), length=ENDLESS)
    (found,) = walked(tmp_path, data)
    assert (found.length, found.undefined, found.end) == (len(body), True, len(data))


def test_an_empty_data_set_has_no_elements(tmp_path: Path) -> None:
    assert walked(tmp_path, b"") == []


ENCAPSULATED = item() + item(b"ABCD") + item(b"EF")


def test_fragments_come_with_their_offset_table_first(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(element(0x7FE00010, "OB", ENCAPSULATED + item(tag=0xE0DD), length=ENDLESS))
    with Source(path) as source:
        (pixels,) = walk(source, syntax_of(JPEG_2000_LOSSLESS))
        found = fragments(source, pixels)
        assert [source.read(*one) for one in found] == [b"", b"ABCD", b"EF"]


def test_native_pixels_have_no_fragments(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(element(0x7FE00010, "OW", ENCAPSULATED))
    with Source(path) as source:
        (pixels,) = walk(source, syntax_of(EXPLICIT_VR_LITTLE_ENDIAN))
        assert fragments(source, pixels) == []


def test_a_un_of_undefined_length_holds_implicit_vr_also_in_big_endian(tmp_path: Path) -> None:
    body = item(element(0x00080060, "CS", b"US", IMPLICIT)) + item(tag=0xE0DD)
    data = element(0x00091001, "UN", body, BIG, ENDLESS) + element(0x00100020, "LO", b"ID", BIG)
    assert [one.vr for one in walked(tmp_path, data, EXPLICIT_VR_BIG_ENDIAN)] == ["UN", "LO"]


def test_implicit_sequences_of_defined_length_are_checked_inside(tmp_path: Path) -> None:
    body = item(element(0x00080060, "CS", b"US", IMPLICIT, length=200))
    error = refused(tmp_path, element(0x00081140, "SQ", body, IMPLICIT), IMPLICIT_VR_LITTLE_ENDIAN)
    assert (error.code, error.tag) == ("past-end", 0x00080060)


def test_pixels_that_look_like_an_item_are_pixels(tmp_path: Path) -> None:
    data = element(0x7FE00010, "OW", item(b"", length=77), IMPLICIT)
    assert len(walked(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN)) == 1


def test_unknown_representations_are_accepted_in_either_form(tmp_path: Path) -> None:
    short = element(0x00091001, "ZZ", b"what")
    long = struct.pack("<HH2s2xI", 9, 0x1002, b"ZY", 4) + b"what"
    assert [(one.vr, one.length) for one in walked(tmp_path, short + long)] == [
        ("ZZ", 4),
        ("ZY", 4),
    ]


def test_elements_out_of_order_are_accepted(tmp_path: Path) -> None:
    data = element(0x00100020, "LO", b"ID") + element(0x00080060, "CS", b"US")
    assert [one.tag for one in walked(tmp_path, data)] == [0x00100020, 0x00080060]


ONE = element(0x00080060, "CS", b"US")
NESTED = element(0x00081140, "SQ", b"", length=ENDLESS) + item(length=ENDLESS)
BAD = {
    "header of seven bytes": (ONE + ONE[:7], "header-cut"),
    "header of a long form cut": (ONE + element(0x00091001, "OB", b"")[:10], "header-cut"),
    "value past the end": (element(0x00091001, "UN", b"few", length=0xFFFFFFF0), "past-end"),
    "item past its sequence": (element(0x00081140, "SQ", item(length=9)), "past-end"),
    "sequence past its item": (
        element(0x00081140, "SQ", item(element(0x00081140, "SQ", b"", length=40))),
        "past-end",
    ),
    "fragment past the end": (
        element(0x7FE00010, "OB", item(length=0x7FFFFFF0), length=ENDLESS),
        "past-end",
    ),
    "fragment of undefined length": (
        element(0x7FE00010, "OB", item(length=ENDLESS) + item(tag=0xE0DD), length=ENDLESS),
        "past-end",
    ),
    "fragments without an end": (
        element(0x7FE00010, "OB", ENCAPSULATED, length=ENDLESS),
        "no-delimiter",
    ),
    "item without an end": (NESTED, "no-delimiter"),
    "VR of small letters": (element(0x00091001, "us", b"ab"), "vr-illegal"),
    "text of undefined length": (
        element(0x00091001, "UT", b"", length=ENDLESS),
        "undefined-length",
    ),
    "delimiter with a length": (NESTED + item(b"abcd", tag=0xE00D), "delimiter-length"),
    "element in place of an item": (element(0x00081140, "SQ", ONE + b"  "), "item-expected"),
    "sequence delimiter in a defined length": (
        element(0x00081140, "SQ", item() + item(tag=0xE0DD)),
        "item-expected",
    ),
    "delimiter at the top": (ONE + item(tag=0xE00D), "item-misplaced"),
    "item at the top": (ONE + item(b""), "item-misplaced"),
    "command in the data": (element(0x00000002, "UI", b"1.2.3 "), "command-element"),
    "the same tag twice": (ONE + ONE, "tag-twice"),
    "2,000 sequences deep": (NESTED * 2000, "too-deep"),
    "200,000 items": (element(0x00081140, "SQ", item() * 200_000), "too-many-items"),
    "200,000 fragments": (
        element(0x7FE00010, "OB", item() * 200_000 + item(tag=0xE0DD), length=ENDLESS),
        "too-many-items",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_contradicts_itself_is_malformed(tmp_path: Path, name: str) -> None:
    data, code = BAD[name]
    error = refused(tmp_path, data)
    assert error.code == code
    assert str(error.offset) in str(error)


def test_every_reason_is_met_by_a_test() -> None:
    assert {code for _, code in BAD.values()} | {"too-many-elements"} == set(REASONS)


def test_padding_with_zeros_behind_the_last_element_is_malformed(tmp_path: Path) -> None:
    data = element(0x00080060, "CS", b"US", IMPLICIT) + bytes(64)
    assert refused(tmp_path, data, IMPLICIT_VR_LITTLE_ENDIAN).code == "command-element"


def depth(levels: int) -> bytes:
    return NESTED * levels + (item(tag=0xE00D) + item(tag=0xE0DD)) * levels


def test_sixty_four_sequences_deep_is_the_last_that_is_walked(tmp_path: Path) -> None:
    assert len(walked(tmp_path, depth(64))) == 1
    assert refused(tmp_path, depth(65)).code == "too-deep"


def crowd(count: int) -> bytes:
    return b"".join(
        element(0x00090010 + n // 0xF000 * 0x20000 + n % 0xF000, "UN", b"") for n in range(count)
    )


def test_a_hundred_thousand_elements_take_a_second_and_one_more_is_refused(tmp_path: Path) -> None:
    data = crowd(100_001)
    begun = time.process_time()
    assert len(walked(tmp_path, data[:-12])) == 100_000
    assert time.process_time() - begun < 1.5
    assert refused(tmp_path, data).code == "too-many-elements"


def test_memory_does_not_grow_with_what_is_nested_or_with_the_values(tmp_path: Path) -> None:
    path = tmp_path / "data"
    body = item(element(0x00080060, "CS", b"US")) * 40_000
    path.write_bytes(element(0x00081140, "SQ", body) + element(0x7FE00010, "OW", bytes(1 << 25)))
    with Source(path) as source:
        tracemalloc.start()
        walk(source, syntax_of(EXPLICIT_VR_LITTLE_ENDIAN))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20


SOUND = (
    ONE
    + element(0x00081140, "SQ", item(ONE + depth(2)) + item())
    + element(0x00091001, "UN", item(b"\x08\0\x60\0\2\0\0\0US") + item(tag=0xE0DD), length=ENDLESS)
    + element(0x00100010, "PN", b"DOE^J ")
    + element(0x7FE00010, "OB", ENCAPSULATED + item(tag=0xE0DD), length=ENDLESS)
)


@given(
    flips=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=4),
    end=st.integers(0, len(SOUND)),
    uid=st.sampled_from(
        (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
    ),
)
def test_damaged_bytes_are_walked_to_the_last_one_or_malformed(
    tmp_path_factory: pytest.TempPathFactory,
    flips: list[tuple[int, int]],
    end: int,
    uid: str,
) -> None:
    data = bytearray(SOUND)
    for at, value in flips:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[:end])
    with Source(path) as source:
        try:
            found = walk(source, syntax_of(uid))
        except Malformed as error:
            assert 0 <= error.offset <= end
        else:
            assert sum(one.end - one.start for one in found) == end


def test_a_sound_data_set_cut_anywhere_but_between_elements_is_malformed(tmp_path: Path) -> None:
    ends = {0, *(one.end for one in walked(tmp_path, SOUND))}
    for end in set(range(len(SOUND))) - ends:
        assert refused(tmp_path, SOUND[:end]).code in ("past-end", "header-cut", "no-delimiter")


def test_a_deflated_data_set_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inflated"):
        walked(tmp_path, b"", "1.2.840.10008.1.2.1.99")
