"""What an archive gave back is told apart from what was sent, and never by a value."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.confirm import compare as comparing
from gateway.confirm.compare import Compared, Finding, compare
from gateway.dicom.syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LS_LOSSLESS,
)
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.renditions import compress
from tests.fakes.data_sets import BIG, EXPLICIT, IMPLICIT, Form, Sequence, Value, encoded, us
from tests.fakes.objects import fragmented

SIDE = 48
PIXELS = bytes(place % 251 for place in range(SIDE * SIDE))
OTHER_PIXEL = bytes([PIXELS[0] ^ 1]) + PIXELS[1:]
FORMS = {
    EXPLICIT_VR_LITTLE_ENDIAN: EXPLICIT,
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT,
    EXPLICIT_VR_BIG_ENDIAN: BIG,
}
Elements = dict[int, Value | Sequence]


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    one = Codec(workers=1, memory_bytes=1 << 31, cpu_s=60, frame_bytes_most=1 << 28)
    yield one
    one.close()


def text(tag: int, vr: str, value: str) -> Value:
    raw = value.encode("ascii")
    return Value(tag, vr, raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2))


def picture(*changed: Value | Sequence, without: int = 0) -> Elements:
    """Return the elements of a picture, some of them other ones."""
    first: tuple[Value | Sequence, ...] = (
        text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.6.1"),
        text(0x00080018, "UI", "1.2.3.6"),
        text(0x00080060, "CS", "US"),
        text(0x00100010, "PN", "SECRET^NAME"),
        text(0x00100020, "LO", "SECRET-ID"),
        text(0x0020000D, "UI", "1.2.3.4"),
        text(0x0020000E, "UI", "1.2.3.5"),
        us(0x00280002, 1),
        text(0x00280004, "CS", "MONOCHROME2"),
        us(0x00280010, SIDE),
        us(0x00280011, SIDE),
        text(0x00280030, "DS", "0.125\\0.125"),
        us(0x00280100, 8),
        us(0x00280101, 8),
        us(0x00280102, 7),
        us(0x00280103, 0),
    )
    found = {one.tag: one for one in (*first, *changed)}
    found.pop(without, None)
    return found


def placed(
    folder: Path,
    elements: Elements,
    pixels: bytes = PIXELS,
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN,
    *,
    form: Form | None = None,
) -> DataSetAt:
    """Write a data set behind some bytes that are not of it."""
    form = form or FORMS[syntax]
    last = Value(0x7FE00010, "OB" if form.explicit else "OW", pixels)
    whole = {**elements, last.tag: last} if pixels else elements
    return written(folder, encoded(tuple(whole[tag] for tag in sorted(whole)), form), syntax)


def written(folder: Path, data: bytes, syntax: str) -> DataSetAt:
    path = folder / f"{len(list(folder.iterdir()))}"
    path.write_bytes(b"head" + data)
    return DataSetAt(path, 4, len(data), syntax)


def coded(folder: Path, elements: Elements, stream: bytes, syntax: str) -> DataSetAt:
    head = encoded(tuple(elements[tag] for tag in sorted(elements)), EXPLICIT)
    return written(folder, head + fragmented(stream), syntax)


def compressed(folder: Path, place: DataSetAt, codec: Codec) -> DataSetAt:
    data = bytearray()
    compress(place, codec, scratch_dir=folder, out=data.extend)
    return written(folder, bytes(data), JPEG_2000_LOSSLESS)


def held_against(sent: DataSetAt, back: DataSetAt, codec: Codec) -> Compared:
    found = compare(sent, back, comparing._sha256(sent), codec)
    assert "SECRET" not in found.detail + found.coerced
    return found


@pytest.mark.parametrize("syntax", FORMS)
def test_a_picture_that_was_transcoded_is_the_same(
    tmp_path: Path, codec: Codec, syntax: str
) -> None:
    sent = placed(tmp_path, picture())
    back = placed(tmp_path, picture(), syntax=syntax)
    assert held_against(sent, back, codec) == Compared(Finding.SAME)


@pytest.mark.parametrize("turned", [False, True], ids=["sent native", "sent compressed"])
def test_a_picture_compressed_without_loss_is_the_same(
    tmp_path: Path, codec: Codec, *, turned: bool
) -> None:
    native = placed(tmp_path, picture())
    other = compressed(tmp_path, native, codec)
    sent, back = (other, native) if turned else (native, other)
    assert held_against(sent, back, codec) == Compared(Finding.SAME)


@pytest.mark.parametrize("form", ["native", "compressed"])
def test_one_pixel_is_found(tmp_path: Path, codec: Codec, form: str) -> None:
    sent = placed(tmp_path, picture())
    back = placed(tmp_path, picture(), OTHER_PIXEL)
    if form == "compressed":
        back = compressed(tmp_path, back, codec)
    found = held_against(sent, back, codec)
    assert found.finding is Finding.ALTERED
    assert "pixels" in found.detail


def test_pixels_that_are_gone_are_found(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture())
    back = placed(tmp_path, picture(), b"")
    assert held_against(sent, back, codec) == Compared(Finding.ALTERED, "pixels removed")


def test_colours_that_are_only_called_by_another_name_are_altered(
    tmp_path: Path, codec: Codec
) -> None:
    sent = placed(tmp_path, picture())
    back = placed(tmp_path, picture(text(0x00280004, "CS", "MONOCHROME1")))
    assert held_against(sent, back, codec) == Compared(Finding.ALTERED, "colour model")


def test_what_was_compressed_with_loss_is_altered(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture())
    back = coded(tmp_path, picture(), b"\xff\xd8jpeg", JPEG_BASELINE)
    found = held_against(sent, back, codec)
    assert found == Compared(Finding.ALTERED, f"compressed with loss: {JPEG_BASELINE}")


def test_of_what_cannot_be_decoded_nothing_is_said(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture())
    back = coded(tmp_path, picture(), b"\xff\xd8jpeg-ls!", JPEG_LS_LOSSLESS)
    assert held_against(sent, back, codec).finding is Finding.UNSURE


def test_what_cannot_be_decoded_is_compared_as_it_is_coded(tmp_path: Path, codec: Codec) -> None:
    sent = coded(tmp_path, picture(), b"\xff\xd8one!", JPEG_BASELINE)
    name = text(0x00100010, "PN", "SECRET^OTHER")
    same = coded(tmp_path, picture(name), b"\xff\xd8one!", JPEG_BASELINE)
    other = coded(tmp_path, picture(), b"\xff\xd8two!", JPEG_BASELINE)
    assert held_against(sent, same, codec).finding is Finding.SAME
    assert held_against(sent, other, codec).finding is Finding.ALTERED


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.7"),
        (0x00080018, "UI", "1.2.3.7"),
        (0x00100020, "LO", "SECRET-2"),
        (0x0020000D, "UI", "1.2.3.9"),
        (0x0020000E, "UI", "1.2.3.9"),
    ],
)
def test_another_patient_study_series_or_object_is_an_alarm_of_its_own(
    tmp_path: Path, codec: Codec, tag: int, vr: str, value: str
) -> None:
    sent = placed(tmp_path, picture())
    back = placed(tmp_path, picture(text(tag, vr, value)), OTHER_PIXEL)
    assert held_against(sent, back, codec).finding is Finding.ANOTHERS


def test_a_patient_id_that_is_gone_is_an_alarm_too(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture())
    back = placed(tmp_path, picture(without=0x00100020))
    found = held_against(sent, back, codec)
    assert (found.finding, found.detail) == (Finding.ANOTHERS, "removed PatientID")


@pytest.mark.parametrize(
    "changed",
    [
        text(0x00280030, "DS", "0.25\\0.25"),
        text(0x00200062, "CS", "L"),
        text(0x00281053, "DS", "2"),
        Value(0x60003000, "OW", b"\1\0"),
        Sequence(0x00186011, ((us(0x00186018, 7),),), undefined=True),
        text(0x3004000E, "DS", "0.002"),  # Dose Grid Scaling
        text(0x00180088, "DS", "2.0"),  # Spacing Between Slices
        text(0x00101030, "DS", "70"),  # Patient's Weight
        text(0x00080060, "CS", "CT"),
    ],
    ids=lambda one: f"{one.tag:08X}",
)
def test_what_changes_what_is_seen_or_measured_is_altered(
    tmp_path: Path, codec: Codec, changed: Value | Sequence
) -> None:
    sent = placed(tmp_path, picture())
    back = placed(tmp_path, picture(changed))
    assert held_against(sent, back, codec).finding is Finding.ALTERED


def test_what_is_gone_and_no_administration_is_altered(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture(text(0x3004000E, "DS", "0.001")))
    found = held_against(sent, placed(tmp_path, picture()), codec)
    assert (found.finding, found.detail) == (Finding.ALTERED, "removed DoseGridScaling")


MAKER = (text(0x00210010, "LO", "MAKER"), text(0x00211001, "LO", "1.5 "))


@pytest.mark.parametrize(
    ("now", "finding"),
    [
        ((*MAKER, text(0x00211101, "LO", "x"), text(0x00210011, "LO", "ARCHIVE")), Finding.SAME),
        ((MAKER[0], Value(0x00211001, "UN", b"1.5 ")), Finding.SAME),
        ((MAKER[0], text(0x00211001, "LO", "2.5")), Finding.ALTERED),
        ((*MAKER, text(0x00211002, "LO", "x")), Finding.ALTERED),
        ((), Finding.ALTERED),
    ],
    ids=["archive's own", "unknown", "changed", "added to the maker's", "gone"],
)
def test_private_elements_that_we_sent_stay_as_they_were(
    tmp_path: Path, codec: Codec, now: tuple[Value, ...], finding: Finding
) -> None:
    sent = placed(tmp_path, picture(*MAKER))
    back = placed(tmp_path, picture(*now))
    assert held_against(sent, back, codec).finding is finding


def test_an_issuer_may_be_added_and_not_changed(tmp_path: Path, codec: Codec) -> None:
    none, one, other = (
        placed(tmp_path, picture(*issuer))
        for issuer in ((), (text(0x00100021, "LO", "A"),), (text(0x00100021, "LO", "B"),))
    )
    assert held_against(none, one, codec).finding is Finding.SAME
    assert held_against(one, other, codec).finding is Finding.ALTERED


def test_what_was_coerced_is_told_by_keyword(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture(text(0x00081030, "LO", "SECRET")))
    now = picture(
        text(0x00080054, "AE", "SECRET"),
        text(0x00100010, "PN", "SECRET^OTHER"),
        text(0x00091001, "LO", "SECRET"),
    )
    found = held_against(sent, placed(tmp_path, now), codec)
    told = "added RetrieveAETitle, removed StudyDescription, added (0009,1001), changed PatientName"
    assert found.finding is Finding.SAME
    assert set(found.coerced.split(", ")) == set(told.split(", "))


def test_padding_and_empty_elements_say_nothing(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture())
    now = picture(
        Value(0x00100020, "LO", b"SECRET-ID\0"),
        Value(0x00100010, "PN", b"SECRET^NAME   "),
        Value(0x00100030, "DA", b""),
    )
    assert held_against(sent, placed(tmp_path, now), codec) == Compared(Finding.SAME)


def test_more_than_a_line_of_names_is_cut(tmp_path: Path, codec: Codec) -> None:
    sent = placed(tmp_path, picture())
    many = [text(0x00091000 + number, "LO", "SECRET") for number in range(100)]
    found = held_against(sent, placed(tmp_path, picture(*many)), codec)
    assert found.coerced.endswith(" and 60 more")


@pytest.mark.parametrize(
    ("data", "syntax"),
    [
        (b"\x08\0\x16\0UI\xff\xff1.2", EXPLICIT_VR_LITTLE_ENDIAN),
        (b"<html>captive portal</html>", EXPLICIT_VR_LITTLE_ENDIAN),
        (b"", EXPLICIT_VR_LITTLE_ENDIAN),
        (b"\x03\0", DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN),
    ],
    ids=["cut", "html", "empty", "deflated"],
)
def test_what_is_no_data_set_is_never_the_same(
    tmp_path: Path, codec: Codec, data: bytes, syntax: str
) -> None:
    sent = placed(tmp_path, picture())
    found = held_against(sent, written(tmp_path, data, syntax), codec)
    assert found.finding in (Finding.UNSURE, Finding.ANOTHERS)
