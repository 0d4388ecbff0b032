"""Every code tells what happened and what to do next."""

import re
from pathlib import Path

import pytest

from gateway import reasons
from gateway.codec.errors import CodecError
from gateway.language import set_language
from gateway.reasons import REASONS, explain

ROOT = Path(__file__).parents[2]
TABLES = [
    reasons.HELD,
    reasons.DELIVERY,
    reasons.TLS,
    reasons.CALLER,
    reasons.CONFIRM,
    reasons.WEB,
    reasons.LOGIN,
    reasons.MEDIUM,
    reasons.ON_MEDIUM,
    reasons.AS_RECEIVED,
    reasons.INCIDENT,
    reasons.FILE,
    reasons.VERB,
]


@pytest.fixture(autouse=True)
def english() -> None:
    set_language("en")


def test_no_code_stands_in_two_tables():
    assert sum(map(len, TABLES)) == len(REASONS)


@pytest.mark.parametrize("code", REASONS)
def test_each_code_is_a_stable_word_with_two_sentences(code):
    assert code == code.lower().replace("_", "-").replace(" ", "-")
    assert all(text.endswith(".") and text[0].isupper() for text in REASONS[code])


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_a_code_is_explained_in_either_language(language):
    set_language(language)
    texts = {code: explain(code) for code in REASONS}
    assert all(text[-1] in ".。" for text in texts.values())


def test_technical_values_stand_in_brackets_behind_what_happened():
    assert explain("status", status="A700", comment="").startswith(
        "The archive has refused the image with a status. (A700) Look up"
    )
    set_language("zh_CN")
    assert explain("codec-died", detail="signal 9").endswith("（signal 9）按接收时的原样转发。")


def test_a_code_of_another_version_is_shown_as_it_is():
    assert explain("from-the-future") == "from-the-future"
    assert explain("from-the-future", detail="x") == "from-the-future (x)"


def test_no_code_is_no_text():
    assert explain("") == ""


RAISED = re.compile(
    r"\b(?:AsReceived|AssociationFailed|BadFile|TlsFault|Defer|Hold|NotDicom)"
    r"\(\s*\"([a-z0-9-]+)\""
)


def test_every_code_that_the_program_raises_is_explained():
    sources = [*(ROOT / "gateway").rglob("*.py"), *(ROOT / "queue").rglob("*.py")]
    raised = {code for one in sources for code in RAISED.findall(one.read_text(encoding="utf-8"))}
    assert raised - REASONS.keys() == set()


def test_every_code_of_the_codec_is_explained():
    assert {one.code for one in CodecError.__subclasses__()} | {CodecError.code} <= REASONS.keys()
