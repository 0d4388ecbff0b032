"""From one form to the other: any data set, and every public sample, is the same afterwards."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary

from gateway.dicom.part10 import read_file_meta
from gateway.dicom.rewrite import Unrewritable
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    syntax_of,
)
from gateway.dicom.walk import Malformed, walk
from tests.fakes.data_sets import (
    EXPLICIT,
    IMPLICIT,
    SAMPLES,
    Form,
    Sequence,
    Value,
    encoded,
    samples,
    us,
)
from tests.fakes.rewriting import UIDS, as_read, flat, of_bytes, rewritten

TEXT_VRS = ["CS", "LO", "PN", "UI", "UT", "DS", "IS", "DA", "TM", "UC", "UR"]
PLAIN_VRS = [*TEXT_VRS, "US", "SS", "UL", "SL", "UV", "FL", "FD", "AT", "OB", "OW", "OF", "OD"]
TAGS = {
    vr: [tag for tag, entry in DicomDictionary.items() if entry[0] == vr and tag > 0x00080008][:40]
    for vr in (*PLAIN_VRS, "SQ")
}


def word_of(vr: str) -> int:
    return {"FD": 8, "OD": 8, "UV": 8, "AT": 4, "UL": 4, "SL": 4, "FL": 4, "OF": 4}.get(vr, 2)


@st.composite
def values(draw: st.DrawFn) -> Value:
    vr = draw(st.sampled_from(PLAIN_VRS))
    words = draw(st.integers(0, 3))
    size = words * word_of(vr)
    return Value(draw(st.sampled_from(TAGS[vr])), vr, draw(st.binary(min_size=size, max_size=size)))


@st.composite
def privates(draw: st.DrawFn) -> Value:
    tag = 0x00090000 + draw(st.integers(0x1000, 0x10FF))
    return Value(tag, "UN", draw(st.binary(max_size=3)) * 2)


def data_sets(deeper: st.SearchStrategy) -> st.SearchStrategy:
    nodes = st.lists(st.one_of(values(), privates(), deeper), max_size=5)
    return nodes.map(lambda found: tuple({one.tag: one for one in found}.values())).map(
        lambda found: tuple(sorted(found, key=lambda one: one.tag))
    )


def sequences(inner: st.SearchStrategy) -> st.SearchStrategy:
    items = st.lists(data_sets(inner), max_size=3).map(tuple)
    public = st.builds(Sequence, st.sampled_from(TAGS["SQ"]), items, st.booleans())
    private = st.builds(Sequence, st.just(0x00091101), items, st.just(True), st.just(True))
    return st.one_of(public, private)


NESTED = data_sets(st.recursive(values(), sequences, max_leaves=12))


@given(nodes=NESTED, form_in=st.sampled_from(list(UIDS)), form_out=st.sampled_from(list(UIDS)[:2]))
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_data_set_in_any_form_becomes_the_same_data_set_in_the_other(
    tmp_path_factory: pytest.TempPathFactory,
    nodes: tuple[Value | Sequence, ...],
    form_in: Form,
    form_out: Form,
) -> None:
    path = tmp_path_factory.getbasetemp() / "nested"
    path.write_bytes(encoded(nodes, form_in))
    assert rewritten(path, UIDS[form_in], UIDS[form_out]) == encoded(nodes, form_out)


# ---- real objects, as pydicom reads them before and after
METAS = samples()
#: lengths that contradict themselves: see the tests of the walk
BROKEN = {
    "MR_truncated.dcm",
    "rtplan_truncated.dcm",
    "dicomdirtests/DICOMDIR-nooffset",
    "SC_rgb_jpeg.dcm",
}
WIDE = {"rtdose_expb.dcm", "rtdose_expb_1frame.dcm"}  # 32-bit pixels in big endian OW
WRONG_GROUP_LENGTH = {"693_J2KI.dcm"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(METAS.keys() - BROKEN - WIDE))
@pytest.mark.parametrize("uid_out", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])
def test_pydicom_reads_every_sample_alike_before_and_after(name: str, uid_out: str) -> None:
    meta, path = METAS[name], SAMPLES / name
    uid_in = meta.transfer_syntax_uid
    uid_out = uid_in if syntax_of(uid_in).encapsulated else uid_out
    received = path.read_bytes()[meta.dataset_offset :]
    data = rewritten(path, uid_in, uid_out, offset=meta.dataset_offset)
    if uid_in == uid_out and name not in WRONG_GROUP_LENGTH:
        assert data == received
    before, after = as_read(received, uid_in), as_read(data, uid_out)
    assert list(flat(after, uid_out)) == list(flat(before, uid_in))


@pytest.mark.parametrize("name", sorted(WIDE))
def test_samples_with_wide_pixels_in_big_endian_words_are_refused(name: str) -> None:
    offset = METAS[name].dataset_offset
    with pytest.raises(Unrewritable) as caught:
        rewritten(SAMPLES / name, EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, offset=offset)
    assert caught.value.code == "word-unknown"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["MR_small_bigendian.dcm", "MR_small_implicit.dcm", "ExplVR_BigEnd.dcm", "rtplan.dcm"]
)
def test_dcmtk_converts_to_the_same_values(
    tmp_path: Path, program: Callable[[str], str], name: str
) -> None:
    meta = read_file_meta(SAMPLES / name)
    data = rewritten(
        SAMPLES / name,
        meta.transfer_syntax_uid,
        EXPLICIT_VR_LITTLE_ENDIAN,
        offset=meta.dataset_offset,
    )
    theirs = tmp_path / "theirs"
    subprocess.run([program("dcmconv"), "+te", SAMPLES / name, theirs], check=True, timeout=60)
    ours = as_read(data, EXPLICIT_VR_LITTLE_ENDIAN)
    expected = dict(flat(pydicom.dcmread(theirs), EXPLICIT_VR_LITTLE_ENDIAN))
    assert dict(flat(ours, EXPLICIT_VR_LITTLE_ENDIAN)) == expected


def test_sixteen_bit_pixels_are_turned_and_equal_the_little_endian_ones() -> None:
    images = []
    for name in ("MR_small_bigendian.dcm", "MR_small.dcm"):
        meta = read_file_meta(SAMPLES / name)
        data = rewritten(
            SAMPLES / name,
            meta.transfer_syntax_uid,
            EXPLICIT_VR_LITTLE_ENDIAN,
            offset=meta.dataset_offset,
        )
        images.append(as_read(data, EXPLICIT_VR_LITTLE_ENDIAN).PixelData)
    assert images[0] == images[1]


# ---- its bounds
def deep(levels: int) -> tuple[Value | Sequence, ...]:
    nodes: tuple[Value | Sequence, ...] = (us(0x00280010, 480),)
    for _ in range(levels):
        nodes = (Sequence(0x00081140, (nodes,), False),)
    return nodes


def test_the_deepest_nesting_that_is_walked_can_be_rewritten(tmp_path: Path) -> None:
    data = encoded(deep(64), EXPLICIT)
    got = of_bytes(tmp_path, data, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    assert got == encoded(deep(64), IMPLICIT)


def test_many_elements_deep_inside_are_rewritten_in_one_pass(tmp_path: Path) -> None:
    crowd = tuple(Value(0x00091000 + n, "UN", b"") for n in range(30_000))
    (sequence,) = deep(60)
    data = encoded((sequence, *crowd), EXPLICIT)
    begun = time.process_time()
    got = of_bytes(tmp_path, data, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    assert time.process_time() - begun < 3
    assert got == encoded((sequence, *crowd), IMPLICIT)


SOUND = encoded(
    (
        us(0x00280010, 480),
        Sequence(0x00081140, ((Value(0x00080060, "CS", b"US"),), ()), True),
        Sequence(0x00091101, ((Value(0x00080060, "CS", b"US"),),), True, True),
        Value(0x00100010, "PN", b"DOE^J "),
        Value(0x7FE00010, "OW", bytes(8)),
    ),
    EXPLICIT,
)


@given(
    flips=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=4),
    form_in=st.sampled_from(list(UIDS)),
    form_out=st.sampled_from(list(UIDS)[:2]),
)
@settings(max_examples=500, deadline=None)
def test_damaged_bytes_become_a_sound_data_set_or_are_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory,
    flips: list[tuple[int, int]],
    form_in: Form,
    form_out: Form,
) -> None:
    data = bytearray(SOUND)
    for at, value in flips:
        data[at] = value
    path = tmp_path_factory.getbasetemp() / "damaged-rewritten"
    path.write_bytes(data)
    try:
        got = rewritten(path, UIDS[form_in], UIDS[form_out])
    except (Malformed, Unrewritable):
        return
    path.write_bytes(got)
    with Source(path) as source:
        assert walk(source, syntax_of(UIDS[form_out]))
