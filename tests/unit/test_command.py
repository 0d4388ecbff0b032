"""command: command sets are read to their last byte or `Broken`."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom import command
from gateway.dicom.pdu import Broken
from tests.fakes import upper_layer as ul

VALUES = {
    command.AFFECTED_SOP_CLASS_UID: "1.2.840.10008.1.1",
    command.COMMAND_FIELD: command.C_STORE_RQ | command.RESPONSE,
    command.RESPONDED_MESSAGE_ID: 7,
    command.DATA_SET_TYPE: command.NO_DATA_SET,
    command.STATUS: 0xA700,
    command.ERROR_COMMENT: "No room",
}


def test_a_command_set_reads_back_as_it_was_written() -> None:
    found = command.decode(command.encode(VALUES))
    assert command.number(found, command.STATUS) == 0xA700
    assert command.number(found, command.RESPONDED_MESSAGE_ID) == 7
    assert command.text(found, command.AFFECTED_SOP_CLASS_UID) == "1.2.840.10008.1.1"
    assert command.text(found, command.ERROR_COMMENT) == "No room"


def test_the_group_length_counts_what_follows_it() -> None:
    encoded = command.encode(VALUES)
    assert struct.unpack_from("<HHII", encoded) == (0, 0, 4, len(encoded) - 12)


def test_elements_ascend_and_every_value_is_even() -> None:
    encoded, at, numbers = command.encode(dict(reversed(VALUES.items()))), 0, []
    while at < len(encoded):
        _, number, length = struct.unpack_from("<HHI", encoded, at)
        assert length % 2 == 0
        numbers.append(number)
        at += 8 + length
    assert numbers == sorted(numbers)


def test_a_command_that_others_wrote_is_read() -> None:
    found = command.decode(ul.store_command("1.2.840.10008.5.1.4.1.1.6.1", "1.2.3"))
    assert command.number(found, command.COMMAND_FIELD) == command.C_STORE_RQ
    assert command.text(found, command.AFFECTED_SOP_INSTANCE_UID) == "1.2.3"


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_command_set_or_broken(data: bytes) -> None:
    try:
        found = command.decode(data)
    except Broken:
        return
    assert sum(8 + len(value) for value in found.values()) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\2\0",
        struct.pack("<HHI", 0, 2, 100) + b"1.2",
        struct.pack("<HHI", 0, 2, 0xFFFFFFFF),
        struct.pack("<HHI", 8, 0x16, 0),
    ],
)
def test_a_length_is_not_believed_beyond_the_bytes(data: bytes) -> None:
    with pytest.raises(Broken):
        command.decode(data)


@pytest.mark.parametrize("raw", [b"", b"\1", b"\1\0\0\0"])
def test_a_number_that_is_missing_or_misshapen_is_broken(raw: bytes) -> None:
    with pytest.raises(Broken, match="0000,0110"):
        command.number({command.MESSAGE_ID: raw} if raw else {}, command.MESSAGE_ID)


def test_text_that_is_no_ascii_can_still_be_shown() -> None:
    assert command.text({command.ERROR_COMMENT: b"\xcd\xf5 full "}, command.ERROR_COMMENT) == (
        "\ufffd\ufffd full"
    )
