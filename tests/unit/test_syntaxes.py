"""Transfer syntaxes: the table against pydicom's dictionary of PS3.6."""

import pytest
from pydicom.uid import UID, UID_dictionary

from gateway.dicom.syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    SYNTAXES,
    syntax_of,
)

PAPYRUS = "1.2.840.10008.1.20"  # pydicom takes it for explicit; its name says otherwise
KNOWN = [uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"]


@pytest.mark.parametrize("uid", KNOWN)
def test_every_transfer_syntax_of_the_dictionary_is_known(uid: str) -> None:
    assert SYNTAXES[uid].uid == uid


@pytest.mark.parametrize("uid", [uid for uid in KNOWN if uid != PAPYRUS])
def test_the_form_of_a_syntax_is_the_one_pydicom_reads(uid: str) -> None:
    syntax, theirs = syntax_of(uid), UID(uid)
    assert syntax.explicit is not theirs.is_implicit_VR
    assert syntax.little is theirs.is_little_endian
    assert syntax.encapsulated is theirs.is_encapsulated


def test_only_three_syntaxes_deflate_the_data_set_itself() -> None:
    deflated = {uid for uid, syntax in SYNTAXES.items() if syntax.deflated}
    jpip = {"1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
    assert deflated == {DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN} | jpip


def test_newer_syntaxes_than_the_dictionary_are_known() -> None:
    assert syntax_of("1.2.840.10008.1.2.4.110").name == "JPEG XL Lossless"


def test_a_private_syntax_is_walked_as_explicit_and_its_pixels_are_left_alone() -> None:
    syntax = syntax_of("1.3.6.1.4.1.5962.300.1")
    assert (syntax.explicit, syntax.little, syntax.encapsulated) == (True, True, True)
    assert not syntax.deflated


def test_the_named_constants_are_in_the_table() -> None:
    assert not syntax_of(IMPLICIT_VR_LITTLE_ENDIAN).explicit
    assert not syntax_of(EXPLICIT_VR_BIG_ENDIAN).little
    assert syntax_of(JPEG_2000_LOSSLESS).encapsulated
