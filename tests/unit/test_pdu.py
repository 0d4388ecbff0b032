"""pdu: what a peer sends is understood or `Broken`, and no length is believed beyond the bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom import pdu
from gateway.dicom.pdu import Acceptance, Answer, Broken, Proposal, Request, Role
from tests.fakes import upper_layer as ul

US = "1.2.840.10008.5.1.4.1.1.6.1"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"

uids = st.from_regex(r"[0-9][0-9.]{0,63}", fullmatch=True)
titles = st.binary(min_size=16, max_size=16)
proposals = st.lists(
    st.builds(Proposal, st.integers(0, 255), uids, st.lists(uids, max_size=5).map(tuple)),
    max_size=8,
).map(tuple)


def body_of(contexts: list[ul.Context]) -> bytes:
    """Return the body of a request made by hand."""
    return ul.request(contexts, calling=b"US1", called=b"EDGE")[6:]


roles = st.lists(st.builds(Role, uids, st.booleans(), st.booleans()), max_size=4).map(tuple)


@given(called=titles, calling=titles, asked=proposals, most=st.integers(0, 2**32 - 1), named=roles)
def test_a_request_reads_back_as_it_was_written(
    called: bytes, calling: bytes, asked: tuple[Proposal, ...], most: int, named: tuple[Role, ...]
) -> None:
    request = Request(called, calling, asked, most, pdu.IMPLEMENTATION_VERSION_NAME, named)
    assert pdu.decode_request(pdu.encode_request(request)) == request


@given(
    answers=st.lists(
        st.builds(Answer, st.integers(0, 255), st.integers(0, 255), uids), max_size=8
    ).map(tuple),
    most=st.integers(0, 2**32 - 1),
    named=roles,
)
def test_an_acceptance_reads_back_and_repeats_the_titles_of_the_request(
    answers: tuple[Answer, ...], most: int, named: tuple[Role, ...]
) -> None:
    request = body_of([(US, [EXPLICIT])])
    encoded = pdu.encode_acceptance(request, Acceptance(answers, most, named))
    assert pdu.decode_acceptance(encoded) == Acceptance(answers, most, named)
    assert encoded[4:36] == request[4:36]


def test_a_request_that_others_wrote_is_read(request: pytest.FixtureRequest) -> None:
    found = pdu.decode_request(body_of([(US, [EXPLICIT, IMPLICIT]), ("1.2.840.10008.1.1", [])]))
    assert (found.called_ae, found.calling_ae) == (b"EDGE".ljust(16), b"US1".ljust(16))
    assert found.proposals == (
        Proposal(1, US, (EXPLICIT, IMPLICIT)),
        Proposal(3, "1.2.840.10008.1.1", ()),
    )


def test_a_request_with_128_contexts_of_40_syntaxes_fits() -> None:
    syntaxes = [f"1.2.840.10008.1.2.4.{number}" for number in range(40)]
    body = body_of([(US, syntaxes)] * 128)
    assert len(pdu.decode_request(body).proposals) == 128
    assert len(body) < pdu.REQUEST_BYTES_MOST


@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_request_or_broken(data: bytes) -> None:
    for decode in (pdu.decode_request, pdu.decode_acceptance):
        for body in (data, bytes(2) + data, b"\0\1" + bytes(66) + data):
            try:
                decode(body)
            except Broken as fault:
                assert fault.what


@given(place=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 10_000))
def test_a_request_with_one_byte_changed_or_cut_is_read_or_broken(
    place: int, value: int, cut: int
) -> None:
    body = bytearray(body_of([(US, [EXPLICIT]), (US, [IMPLICIT])]))
    body[place % len(body)] = value
    for one in (bytes(body), bytes(body[: cut % len(body)])):
        try:
            pdu.decode_request(one)
        except Broken as fault:
            assert fault.reason == pdu.INVALID_VALUE


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "too short"),
        (bytes(68), "version"),
        (b"\0\1" + bytes(66) + b"\x20\0\xff\xff", "longer than what holds it"),
        (b"\0\1" + bytes(66) + b"\x20\0", "cut short"),
        (b"\0\1" + bytes(66) + ul.item(0x20, b"\1\0\0"), "too short"),
        (b"\0\1" + bytes(66) + ul.item(0x20, b"\1\0\0\0"), "abstract syntax"),
        (
            b"\0\1" + bytes(66) + ul.item(0x20, b"\1\0\0\0" + ul.item(0x30, b"1." * 33)),
            "1 to 64 digits",
        ),
        (
            b"\0\1" + bytes(66) + ul.item(0x20, b"\1\0\0\0" + ul.item(0x30, b"1.2\n3")),
            "1 to 64 digits",
        ),
    ],
)
def test_what_breaks_the_protocol_says_how(body: bytes, what: str) -> None:
    with pytest.raises(Broken, match=what):
        pdu.decode_request(body)


def test_items_that_nobody_knows_are_passed_over() -> None:
    body = body_of([(US, [EXPLICIT])]) + ul.item(0x77, b"from a later standard")
    assert len(pdu.decode_request(body).proposals) == 1


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"US1".ljust(16), "US1"),
        (b"US1\0\0".ljust(16), "US1"),
        (b" " * 16, ""),
        (b"\xcd\xf5ROOM".ljust(16), r"\xcd\xf5ROOM"),
        (b"A\nB".ljust(16), "A\nB"),  # the log escapes it
    ],
)
def test_an_odd_ae_title_can_be_shown(raw: bytes, shown: str) -> None:
    assert pdu.ae_text(raw) == shown


@pytest.mark.parametrize("title", ["EDGE", "", "X" * 30, "王"])
def test_an_ae_title_has_16_bytes(title: str) -> None:
    assert len(pdu.ae_bytes(title)) == 16


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("1", True),
        ("1.2.840.10008.1.2", True),
        ("1.02.3", True),
        ("1" * 64, True),
        ("1" * 65, False),
        ("", False),
        ("1.2.a", False),
        ("1.2\n", False),
        ("../../etc", False),
        ("\u0661.2", False),
    ],
)
def test_a_uid_has_1_to_64_digits_and_dots(text: str, is_one: bool) -> None:
    assert pdu.is_uid(text) is is_one


def test_a_rejection_says_result_source_and_reason() -> None:
    assert pdu.encode_rejection(pdu.LOCAL_LIMIT_EXCEEDED) == struct.pack("4B", 0, 2, 3, 2)


def test_a_role_selection_of_pynetdicom_is_read() -> None:
    from pynetdicom.pdu_items import SCP_SCU_RoleSelectionSubItem

    item = SCP_SCU_RoleSelectionSubItem()
    item.sop_class_uid, item.scu_role, item.scp_role = US, 0, 1  # type: ignore[assignment]
    own = ul.item(0x50, item.encode())
    body = body_of([(US, [EXPLICIT])])
    assert pdu.decode_request(body + own).roles == (Role(US, scu=False, scp=True),)


@pytest.mark.parametrize("part", [b"", b"\0", b"\0\x05" + US.encode() + b"\0\1", b"\0\1x\0\1"])
def test_a_role_selection_that_is_none_is_broken(part: bytes) -> None:
    own = ul.item(0x50, ul.item(0x54, part))
    with pytest.raises(Broken):
        pdu.decode_request(body_of([(US, [EXPLICIT])]) + own)


def test_a_refused_context_may_name_no_transfer_syntax() -> None:
    refused = ul.item(0x21, bytes([1, 0, 3, 0]) + ul.item(0x40, b""))
    body = body_of([(US, [EXPLICIT])])[:68] + refused
    assert pdu.decode_acceptance(body).answers == (Answer(1, 3, ""),)
