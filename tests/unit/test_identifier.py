"""identifier: what we ask is what others read; what others say is read, or Malformed."""

from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom import commitment, identifier
from gateway.dicom.commitment import BadReport, Report
from gateway.dicom.malformed import Malformed

UID, CLASS = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.2"
uids = st.from_regex(r"[1-9][0-9]{0,9}(\.[1-9][0-9]{0,9}){1,4}", fullmatch=True)
references = st.lists(st.tuples(uids, uids), min_size=1, max_size=6)


def dataset_of(data: bytes, *, explicit: bool) -> pydicom.Dataset:
    return pydicom.filereader.read_dataset(BytesIO(data), not explicit, True)


def bytes_of(dataset: pydicom.Dataset, *, explicit: bool) -> bytes:
    with BytesIO() as buffer:
        pydicom.dcmwrite(buffer, dataset, implicit_vr=not explicit, little_endian=True)
        return buffer.getvalue()


def report(
    uid: str,
    done: list[tuple[str, str]],
    failed: list[tuple[str, str, int]],
    *,
    undefined: bool = False,
) -> pydicom.Dataset:
    found = pydicom.Dataset()
    found.TransactionUID, found.RetrieveAETitle = uid, "ELSEWHERE"
    found.ReferencedSOPSequence = [_item(*pair, undefined=undefined) for pair in done]
    found.FailedSOPSequence = [_item(*one[:2], undefined=undefined) for one in failed]
    for item, one in zip(found.FailedSOPSequence, failed, strict=True):
        item.FailureReason = one[2]
    for keyword in ("ReferencedSOPSequence", "FailedSOPSequence"):
        found[keyword].is_undefined_length = undefined
    return found


def _item(sop_class_uid: str, sop_instance_uid: str, *, undefined: bool) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    item.is_undefined_length_sequence_item = undefined
    return item


@given(uid=uids, asked=references, explicit=st.booleans())
def test_others_read_our_commitment_request(
    uid: str, asked: list[tuple[str, str]], *, explicit: bool
) -> None:
    found = dataset_of(commitment.request(uid, asked, explicit=explicit), explicit=explicit)
    assert str(found.TransactionUID) == uid
    items = found.ReferencedSOPSequence
    pairs = [(one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID) for one in items]
    assert pairs == asked


@pytest.mark.parametrize("count", [0, commitment.REFERENCES_MOST + 1])
def test_a_transaction_has_a_bounded_number_of_objects(count: int) -> None:
    with pytest.raises(ValueError, match="objects in one transaction"):
        commitment.request(UID, [(CLASS, UID)] * count, explicit=True)


@pytest.mark.parametrize("explicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
@given(uid=uids, pairs=references, reason=st.integers(0, 0xFFFF))
def test_we_read_the_reports_of_others(
    uid: str, pairs: list[tuple[str, str]], reason: int, *, explicit: bool, undefined: bool
) -> None:
    done, failed = pairs[1:], [(*pairs[0], reason)]
    data = bytes_of(report(uid, done, failed, undefined=undefined), explicit=explicit)
    lost = pairs[0][1]
    expected = Report(uid, tuple(one for one in done if one[1] != lost), tuple(failed))
    assert commitment.report_of(data, explicit=explicit) == expected


def test_what_is_reported_as_kept_and_as_failed_counts_as_failed() -> None:
    data = bytes_of(report("2.25.1", [(CLASS, UID)], [(CLASS, UID, 0x0112)]), explicit=True)
    assert commitment.report_of(data, explicit=True) == Report("2.25.1", (), ((CLASS, UID, 0x112),))


def test_a_failure_without_a_reason_is_a_processing_failure() -> None:
    made = report("2.25.1", [], [(CLASS, UID, 1)])
    del made.FailedSOPSequence[0].FailureReason
    found = commitment.report_of(bytes_of(made, explicit=False), explicit=False)
    assert found.failed == ((CLASS, UID, 0x0110),)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes_of(report("", [(CLASS, UID)], []), explicit=True),
        bytes_of(report("2.25.1", [(CLASS, "")], []), explicit=True),
        bytes_of(report("2.25.1", [], []), explicit=True),
    ],
)
def test_what_names_no_transaction_or_no_object_is_no_report(data: bytes) -> None:
    with pytest.raises(BadReport):
        commitment.report_of(data, explicit=True)


@given(
    explicit=st.booleans(),
    undefined=st.booleans(),
    place=st.integers(0, 10_000),
    value=st.integers(0, 255),
    cut=st.integers(0, 10_000),
)
def test_a_report_with_one_byte_changed_or_cut_is_read_or_refused(
    place: int, value: int, cut: int, *, explicit: bool, undefined: bool
) -> None:
    whole = report(
        "2.25.1", [(CLASS, "1.2.3")] * 2, [(CLASS, "1.2.4", 0x0112)], undefined=undefined
    )
    changed = bytearray(bytes_of(whole, explicit=explicit))
    changed[place % len(changed)] = value
    for data in (bytes(changed), bytes(changed[: cut % len(changed)])):
        try:
            found = commitment.report_of(data, explicit=explicit)
        except BadReport as fault:
            assert "1.2." not in str(fault), "nothing of what came is told"
        else:
            assert found.done or found.failed


@given(data=st.binary(max_size=300), explicit=st.booleans())
def test_any_bytes_are_values_or_malformed(data: bytes, *, explicit: bool) -> None:
    try:
        found = identifier.decode(data, explicit=explicit)
    except Malformed as fault:
        assert fault.what
    else:
        assert sum(len(one) for one in found.values() if isinstance(one, bytes)) <= len(data)


def test_sequences_in_sequences_have_a_bound() -> None:
    opens = b"\x08\0\x99\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    with pytest.raises(Malformed) as fault:
        identifier.decode(opens * 10_000, explicit=False)
    assert fault.value.code == "too-deep"


def test_a_strangers_element_is_passed_over_in_either_encoding() -> None:
    made = report("2.25.1", [(CLASS, UID)], [])
    made.add_new(0x00091010, "LO", "PRIVATE")
    made.add_new(0x00400260, "SQ", [_item(CLASS, UID, undefined=False)])
    for explicit in (True, False):
        found = commitment.report_of(bytes_of(made, explicit=explicit), explicit=explicit)
        assert found == Report("2.25.1", ((CLASS, UID),), ())
