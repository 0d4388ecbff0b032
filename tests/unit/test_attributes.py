"""Single header values, with and without a VR in the bytes."""

import struct
from pathlib import Path

import pytest

from gateway.dicom.attributes import TEXT_BYTES_MOST, Attributes
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    syntax_of,
)
from gateway.dicom.walk import Malformed, walk
from tests.fakes.data_sets import BIG, EXPLICIT, IMPLICIT, Form, Value, encoded

FORMS = {
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT,
    EXPLICIT_VR_LITTLE_ENDIAN: EXPLICIT,
    EXPLICIT_VR_BIG_ENDIAN: BIG,
}
NODES = (
    Value(0x00080008, "CS", b"ORIGINAL\\PRIMARY "),
    Value(0x00080018, "UI", b"1.2.3\0"),
    Value(0x00080050, "SH", b""),
    Value(0x00186016, "UL", struct.pack("<I", 70_000)),
    Value(0x00186020, "SL", struct.pack("<i", -70_000)),
    Value(0x00189219, "SS", struct.pack("<h", -3)),
    Value(0x00200013, "IS", b"12\\13 "),
    Value(0x00280008, "IS", b"many"),
    Value(0x00280010, "US", struct.pack("<HH", 480, 9)),
    Value(0x00280011, "US", b"\1"),
    Value(0x00280106, "US", struct.pack("<H", 5)),
)


@pytest.fixture(params=FORMS, ids=lambda uid: syntax_of(uid).name)
def attributes(request: pytest.FixtureRequest, tmp_path: Path):
    path = tmp_path / "data"
    path.write_bytes(encoded(NODES, FORMS[request.param]))
    with Source(path) as source:
        yield Attributes(source, syntax_of(request.param))


def test_a_text_is_its_first_value_without_padding(attributes: Attributes) -> None:
    assert attributes.text(0x00080008) == "ORIGINAL"
    assert attributes.text(0x00080018) == "1.2.3"


def test_what_is_absent_or_empty_is_no_text_and_no_number(attributes: Attributes) -> None:
    assert (attributes.text(0x00080050), attributes.text(0x00080060)) == ("", "")
    assert (attributes.number(0x00080050), attributes.number(0x00080060)) == (None, None)
    assert (attributes.has(0x00080050), attributes.has(0x00080060)) == (True, False)


@pytest.mark.parametrize(
    ("tag", "number"),
    [
        (0x00186016, 70_000),
        (0x00186020, -70_000),
        (0x00189219, -3),
        (0x00200013, 12),
        (0x00280010, 480),
        (0x00280106, 5),
    ],
)
def test_numbers_are_read_by_their_representation(
    attributes: Attributes, tag: int, number: int
) -> None:
    assert attributes.number(tag) == number


def test_what_is_no_number_is_none_and_no_error(attributes: Attributes) -> None:
    assert attributes.number(0x00280008) is None
    assert attributes.number(0x00280011) is None
    assert attributes.number(0x00080018) is None


def one(tmp_path: Path, data: bytes) -> Attributes:
    (tmp_path / "data").write_bytes(data)
    return Attributes(Source(tmp_path / "data"), syntax_of(EXPLICIT_VR_LITTLE_ENDIAN))


def test_a_known_tag_written_as_un_is_read_by_the_dictionary(tmp_path: Path) -> None:
    nodes = (Value(0x00280010, "UN", struct.pack("<H", 480)),)
    assert one(tmp_path, encoded(nodes, Form(True, "<"))).number(0x00280010) == 480


def test_a_text_without_end_is_read_up_to_a_bound(tmp_path: Path) -> None:
    data = encoded((Value(0x00080119, "UC", b"A" * (1 << 20)),), EXPLICIT)
    assert len(one(tmp_path, data).text(0x00080119)) == TEXT_BYTES_MOST


def test_elements_that_were_walked_before_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(encoded(NODES, EXPLICIT))
    syntax = syntax_of(EXPLICIT_VR_LITTLE_ENDIAN)
    with Source(tmp_path / "data") as source:
        elements = walk(source, syntax)
        assert Attributes(source, syntax, elements[1:2]).elements == {0x00080018: elements[1]}


def test_bytes_that_contradict_themselves_have_no_values(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        one(tmp_path, encoded(NODES, EXPLICIT)[:-1])
