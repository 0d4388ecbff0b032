"""Text is read by its character set; what legacy software writes is read as what it may be."""

import pytest

from gateway.dicom.charsets import CODECS, decoded


@pytest.mark.parametrize(
    ("terms", "codec", "text"),
    [
        (["ISO_IR 100"], "latin-1", "Buc^Jérôme"),
        (["ISO_IR 101"], "iso8859-2", "Wałęsa^Lech"),
        (["ISO_IR 144"], "iso8859-5", "Люкceмбypг"),
        (["ISO_IR 126"], "iso8859-7", "Διονυσιος"),
        (["ISO_IR 13"], "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (["ISO_IR 166"], "iso8859-11", "นามสกุล"),
        (["ISO_IR 192"], "utf-8", "王^小东"),
        (["GB18030"], "gb18030", "王^小东"),
        (["GBK"], "gbk", "王^小东"),
    ],
)
def test_a_value_is_read_as_declared(terms: list[str], codec: str, text: str) -> None:
    assert decoded(text.encode(codec), terms).texts[0] == text


@pytest.mark.parametrize(
    ("value", "terms", "text"),
    [
        # PS3.5 annexes H, I, K
        (
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (b"\x1b$(D\x22\x42\x1b(B", ["", "ISO 2022 IR 159"], "¡"),
        (
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            ["", "ISO 2022 IR 149"],
            "Hong^Gildong=洪^吉洞",
        ),
        (
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab\r\n",
            ["", "ISO 2022 IR 58"],
            "Zhang^XiaoDong=张^小东\r\n",
        ),
    ],
)
def test_escape_sequences_are_obeyed_and_are_no_part_of_the_text(
    value: bytes, terms: list[str], text: str
) -> None:
    assert decoded(value, terms).texts == (text,)


@pytest.mark.parametrize("terms", [[], [""], ["ISO_IR 6"], ["ISO_IR 100"]])
def test_chinese_bytes_under_a_latin_name_are_read_as_both(terms: list[str]) -> None:
    found = decoded("张三丰".encode("gbk"), terms)
    assert "张三丰" in found.texts
    assert found.how == "guess"


def test_utf_8_without_a_character_set_is_read_as_such() -> None:
    assert "张三丰" in decoded("张三丰".encode(), []).texts


@pytest.mark.parametrize("terms", [["ISO_IR 192"], ["GB18030"], [], ["NO SUCH SET"]])
def test_what_no_character_set_reads_is_given_by_its_bytes(terms: list[str]) -> None:
    found = decoded(b"A\xff\xffB", terms)
    assert (found.texts, found.how) == (("AÿÿB",), "bytes")


def test_plain_ascii_is_never_a_guess() -> None:
    for term in CODECS:
        assert decoded(b"ABC^def", [term]).how == ""
