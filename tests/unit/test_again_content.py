"""content: one digest for one picture, in whatever encoding; another for any other picture."""

import copy
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileDataset, dcmread

from gateway.codec.pool import Codec
from gateway.dicom.malformed import Malformed
from gateway.prepare.as_received import AsReceived
from gateway.prepare.content import content_of
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.renditions import compress, fallback
from spool.model import Content
from tests.fakes import pictures
from tests.fakes.data_sets import BIG, EXPLICIT, IMPLICIT, SAMPLES, Form, Sequence, Value, samples
from tests.fakes.data_sets import encoded as encode
from tests.fakes.rewriting import UIDS

COLOURS = itertools.product(("RGB", "YBR_FULL"), (8, 16), (False,), (0, 1), (1, 2))
GREYS = itertools.product(("MONOCHROME2",), (8, 12, 16), (False, True), (0,), (1, 3))
MATRIX = [*GREYS, ("PALETTE COLOR", 8, False, 0, 1), *COLOURS]
#: Lossless for all that are compressed by it here.
J2K = "1.2.840.10008.1.2.4.90"


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    made = Codec(workers=2, memory_bytes=1 << 30, cpu_s=20, frame_bytes_most=1 << 28)
    yield made
    made.close()


@pytest.fixture
def picture(tmp_path: Path) -> FileDataset:
    return dcmread(pictures.write(a_picture(), tmp_path / "first.dcm"))


def a_picture() -> FileDataset:
    pixels = pictures.picture("RGB", 8, signed=False, frames=1)
    return pictures.data_set(pixels, "RGB", 8)


def known(path: Path, codec: Codec) -> Content:
    found = content_of(pictures.place(path), codec)
    assert found
    return found


def rewritten(made: Callable[..., object], path: Path, *given: object, **named: object) -> None:
    out = bytearray()
    made(pictures.place(path), *given, out=out.extend, **named)
    target = path.with_suffix(".other")
    uid = next((one for one in given if isinstance(one, str)), J2K)
    pictures.part10(target, path, uid, bytes(out))


@pytest.mark.parametrize(("photometric", "bits", "signed", "planar", "frames"), MATRIX)
def test_a_picture_has_one_content_in_every_encoding_that_is_read_here(
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
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"  # ultrasound may not have them all
    # pydicom's writer of RLE knows neither planes nor 16 bits of YBR_FULL
    has_rle = not planar and (photometric, bits) != ("YBR_FULL", 16)
    names = [name for name in pictures.SYNTAXES if name != "rle" or has_rle]
    paths = [pictures.write(made, tmp_path / name, name) for name in names]
    other = pictures.data_set(pixels, photometric, bits, planar=1 - planar)
    other.SOPClassUID = made.SOPClassUID
    paths.append(pictures.write(other, tmp_path / "planes", "explicit"))
    rewritten(compress, paths[0], codec, scratch_dir=tmp_path)
    paths.append(paths[0].with_suffix(".other"))
    assert {known(path, codec) for path in paths} == {known(paths[0], codec)}


def changed(picture: FileDataset, **values: object) -> FileDataset:
    made = copy.deepcopy(picture)
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("values", "differ"),
    [
        ({"PatientName": "Other^One"}, {"identity"}),
        ({"PatientID": "4711"}, {"identity"}),
        ({"PatientBirthDate": "19700101"}, {"identity"}),
        ({"StudyInstanceUID": "1.2.3"}, {"identity"}),
        ({"AccessionNumber": "7"}, {"identity"}),
        ({"WindowCenter": "40"}, {"rest"}),
        ({"SeriesInstanceUID": "1.2.3"}, {"rest"}),
        ({"ImageComments": "left"}, {"rest"}),
        ({"BurnedInAnnotation": "YES"}, {"rest"}),
    ],
)
def test_whose_it_is_and_what_else_it_says_are_told_apart(
    picture: FileDataset,
    values: dict[str, object],
    differ: set[str],
    codec: Codec,
    tmp_path: Path,
) -> None:
    first = known(pictures.write(picture, tmp_path / "1"), codec)
    second = known(pictures.write(changed(picture, **values), tmp_path / "2", "rle"), codec)
    assert {one for one in Content.__slots__ if getattr(first, one) != getattr(second, one)} == (
        differ
    )


def test_one_bit_of_one_pixel_is_another_picture(
    picture: FileDataset, codec: Codec, tmp_path: Path
) -> None:
    first = known(pictures.write(picture, tmp_path / "1"), codec)
    pixels = bytearray(picture.PixelData)
    pixels[-1] ^= 1
    second = known(pictures.write(changed(picture, PixelData=bytes(pixels)), tmp_path / "2"), codec)
    assert first.pixels != second.pixels
    assert (first.identity, first.rest) == (second.identity, second.rest)


def test_the_same_pixels_in_another_colour_model_are_another_picture(
    picture: FileDataset, codec: Codec, tmp_path: Path
) -> None:
    first = known(pictures.write(picture, tmp_path / "1"), codec)
    other = changed(picture, PhotometricInterpretation="YBR_FULL")
    assert known(pictures.write(other, tmp_path / "2"), codec).pixels != first.pixels


def test_what_is_not_decoded_here_counts_as_it_is_coded(
    codec: Codec, tmp_path: Path, sample: Callable[[str], Path]
) -> None:
    path = sample("SC_rgb_jpeg_dcmtk.dcm")
    made = dcmread(path)
    first = known(path, codec)
    made.PatientName = "Other^One"
    made.save_as(tmp_path / "2")
    second = known(tmp_path / "2", codec)
    assert (first.pixels, first.rest) == (second.pixels, second.rest)
    stream = bytearray(made.PixelData)
    stream[-20] ^= 1
    made.PixelData = bytes(stream)
    made["PixelData"].is_undefined_length = True
    made.save_as(tmp_path / "3")
    assert known(tmp_path / "3", codec).pixels != first.pixels


def test_a_frame_that_cannot_be_decoded_counts_as_it_is_coded(
    picture: FileDataset, codec: Codec, tmp_path: Path
) -> None:
    path = pictures.write(picture, tmp_path / "1", "rle")
    whole = known(path, codec)
    broken = bytearray(path.read_bytes())
    broken[-4000:-3000] = bytes(1000)
    path.write_bytes(broken)
    found = known(path, codec)
    assert found.pixels != whole.pixels
    assert (found.identity, found.rest) == (whole.identity, whole.rest)


def test_an_object_without_pixels_has_a_content(
    codec: Codec, sample: Callable[[str], Path]
) -> None:
    found = known(sample("reportsi.dcm"), codec)
    assert found.pixels == ""
    assert found.rest != found.identity


def test_nothing_is_said_of_what_is_deflated_or_unsound(
    codec: Codec, tmp_path: Path, sample: Callable[[str], Path]
) -> None:
    assert content_of(pictures.place(sample("image_dfl.dcm")), codec) is None
    (tmp_path / "cut").write_bytes(sample("CT_small.dcm").read_bytes()[:-1])
    assert content_of(pictures.place(tmp_path / "cut"), codec) is None


@pytest.mark.parametrize("name", samples())
def test_every_public_sample_says_the_same_in_another_encoding(
    name: str, codec: Codec, tmp_path: Path
) -> None:
    meta, path = samples()[name], SAMPLES / name
    place = DataSetAt(path, meta.dataset_offset, meta.dataset_bytes, meta.transfer_syntax_uid)
    first = content_of(place, codec)
    for uid in (UIDS[EXPLICIT], UIDS[IMPLICIT]):
        out = bytearray()
        try:
            fallback(place, uid, codec, out=out.extend)
        except (AsReceived, Malformed):
            continue  # there is none
        (tmp_path / "other").write_bytes(out)
        assert content_of(DataSetAt(tmp_path / "other", 0, len(out), uid), codec) == first


TEXTS = st.sampled_from([(0x00080060, "CS"), (0x00204000, "LT"), (0x00321060, "LO")])
NUMBERS = st.sampled_from([(0x00280002, "US"), (0x00186011, "US"), (0x00209161, "UL")])


@st.composite
def plain(draw: st.DrawFn) -> Value:
    tag, vr = draw(st.one_of(TEXTS, NUMBERS))
    return Value(tag, vr, draw(st.binary(min_size=4, max_size=4)))


def nested(inner: st.SearchStrategy[Value | Sequence]) -> st.SearchStrategy[Sequence]:
    items = st.lists(st.lists(inner, max_size=3, unique_by=lambda one: one.tag), max_size=3)
    tags = st.sampled_from([0x00081140, 0x00082112, 0x0040A730])
    frozen = items.map(lambda found: tuple(tuple(sorted(one, key=by_tag)) for one in found))
    return st.builds(Sequence, tags, frozen, st.just(False))


def by_tag(one: Value | Sequence) -> int:
    return one.tag


NODES = st.recursive(plain(), nested, max_leaves=8)


def undefined(node: Value | Sequence) -> Value | Sequence:
    if isinstance(node, Value):
        return node
    items = tuple(tuple(map(undefined, item)) for item in node.items)
    return Sequence(node.tag, items, undefined=True)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NODES, min_size=1, max_size=5, unique_by=by_tag))
def test_any_data_set_has_one_content_in_every_form(
    codec: Codec, tmp_path: Path, nodes: list[Value | Sequence]
) -> None:
    whole = tuple(sorted(nodes, key=by_tag))

    def content(form: Form, given: tuple[Value | Sequence, ...]) -> Content | None:
        path = tmp_path / "one"
        path.write_bytes(encode(given, form))
        return content_of(DataSetAt(path, 0, path.stat().st_size, UIDS[form]), codec)

    first = content(EXPLICIT, whole)
    assert first
    for form in (EXPLICIT, IMPLICIT, BIG):
        assert content(form, whole) == first
        assert content(form, tuple(map(undefined, whole))) == first


def test_group_lengths_and_the_trailing_padding_say_nothing(
    picture: FileDataset, codec: Codec, tmp_path: Path
) -> None:
    first = known(pictures.write(picture, tmp_path / "1"), codec)
    padded = copy.deepcopy(picture)
    padded.add_new(0xFFFCFFFC, "OB", bytes(64))
    padded.add_new(0x00100000, "UL", 1)
    assert known(pictures.write(padded, tmp_path / "2"), codec) == first


def test_a_private_sequence_says_the_same_whether_or_not_its_vr_came_along(
    picture: FileDataset, codec: Codec, tmp_path: Path
) -> None:
    inner = Dataset()
    inner.CodeValue = "T-1"
    block = picture.private_block(0x0031, "GATEWAY TEST", create=True)
    block.add_new(0x01, "SQ", [inner, inner])
    explicit = pictures.write(picture, tmp_path / "1", "explicit")
    assert known(explicit, codec) == known(
        pictures.write(picture, tmp_path / "2", "implicit"), codec
    )
