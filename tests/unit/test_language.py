"""Every sentence a person reads exists in both languages, and the catalogue is up to date."""

import string
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from gateway import language
from gateway.language import _, set_language

ROOT = Path(__file__).parents[2]
LOCALE = ROOT / "gateway" / "locale"
UPDATE = "run gateway/locale/update, translate what is empty, run it again"
VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
SENTENCE = "This key is unknown."
CHINESE = "未知的键。"

translated = [name for name in language.LANGUAGES if name != "en"]


def sentences() -> set[str]:
    found = extract_from_dir(ROOT / "gateway", [("**.py", "python")])
    return {message for _file, _line, message, _comments, _context in found}


def po(name: str) -> Catalog:
    with (LOCALE / name / "LC_MESSAGES" / "gateway.po").open("rb") as file:
        return read_po(file, locale=name)


def by_sentence(catalogue: Catalog) -> dict[str, str]:
    return {one.id: one.string for one in catalogue if one.id}


def placeholders(text: str) -> list[str]:
    return sorted(name for _text, name, _spec, _conv in string.Formatter().parse(text) if name)


def test_a_catalogue_lies_there_for_each_language():
    assert sorted(one.name for one in LOCALE.iterdir() if one.is_dir()) == translated


@pytest.mark.parametrize("name", translated)
def test_no_sentence_is_missing_in_the_catalogue(name):
    assert sentences() - by_sentence(po(name)).keys() == set(), UPDATE


@pytest.mark.parametrize("name", translated)
def test_no_sentence_of_the_catalogue_is_obsolete(name):
    catalogue = po(name)
    assert by_sentence(catalogue).keys() - sentences() == set(), UPDATE
    assert not catalogue.obsolete, UPDATE


@pytest.mark.parametrize("name", translated)
def test_no_sentence_is_untranslated_or_guessed(name):
    empty = [one.id for one in po(name) if one.id and (not one.string or one.fuzzy)]
    assert empty == [], UPDATE


@pytest.mark.parametrize("name", translated)
def test_placeholders_are_the_same_in_both_languages(name):
    differing = {
        sentence: text
        for sentence, text in by_sentence(po(name)).items()
        if text and placeholders(sentence) != placeholders(text)
    }
    assert differing == {}


@pytest.mark.parametrize("name", translated)
def test_the_compiled_catalogue_holds_what_the_source_holds(name):
    with (LOCALE / name / "LC_MESSAGES" / "gateway.mo").open("rb") as file:
        compiled = by_sentence(read_mo(file))
    assert compiled == {one: text for one, text in by_sentence(po(name)).items() if text}, UPDATE


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({}, SENTENCE),
        ({"LANG": "zh_CN.UTF-8"}, CHINESE),
        ({"LANG": "zh"}, CHINESE),
        ({"LANG": "C.UTF-8"}, SENTENCE),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, SENTENCE),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, CHINESE),
        ({"LANG": "en_GB.UTF-8", "LANGUAGE": "zh_CN:en"}, CHINESE),
        ({"LANG": "zh_CN.UTF-8", "LANGUAGE": "en:zh_CN"}, SENTENCE),
        ({"LANGUAGE": "de:zh_CN"}, CHINESE),
        ({"LANG": "de_DE.UTF-8"}, SENTENCE),
    ],
)
def test_without_a_configured_language_the_environment_decides(monkeypatch, environment, text):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    set_language(None)
    assert _(SENTENCE) == text


def test_the_configured_language_overrules_the_environment(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "en")
    set_language("zh_CN")
    assert _(SENTENCE) == CHINESE
    monkeypatch.setenv("LANGUAGE", "zh_CN")
    set_language("en")
    assert _(SENTENCE) == SENTENCE


def test_a_language_that_nobody_translated_is_english():
    set_language("fr")
    assert _(SENTENCE) == SENTENCE


def test_a_sentence_that_nobody_translated_stays_as_it_is():
    set_language("zh_CN")
    unknown = "No such sentence."
    assert _(unknown) == unknown


def test_no_text_is_no_text_in_every_language():
    set_language("zh_CN")
    nothing = ""
    assert _(nothing) == ""
