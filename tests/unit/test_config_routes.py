"""A condition is understood whole, or the file is refused with every place that is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import keywords
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.config.problems import ConfigError, Problem
from gateway.config.routing import doubtful
from gateway.language import set_language

BASE = """
[[watch]]
name = "export"
path = "/srv/export"
[[destination]]
name = "a"
host = "h"
port = 1
ae_title = "A"
[[destination]]
name = "b"
kind = "dicomweb"
url = "https://b.example.org"
"""
ROUTE = BASE + '[[route]]\nto = ["a"]\n'

Refused = Callable[[str], dict[str, Problem]]


@pytest.fixture(autouse=True)
def english() -> None:
    set_language("en")


@pytest.fixture
def accepted(tmp_path: Path) -> Callable[[str], Settings]:
    def write_and_load(text: str) -> Settings:
        file = tmp_path / "gateway.toml"
        file.write_text(text, encoding="utf-8")
        return load(file)

    return write_and_load


@pytest.fixture
def refused(accepted: Callable[[str], Settings]) -> Refused:
    def problems(text: str) -> dict[str, Problem]:
        with pytest.raises(ConfigError) as caught:
            accepted(text)
        return {one.key: one for one in caught.value.problems}

    return problems


def codes(problems: dict[str, Problem]) -> dict[str, str]:
    return {key: one.code for key, one in problems.items()}


@pytest.mark.parametrize(
    "when",
    [
        'modality = "US"',
        'modality = ["US", "ES"], station = "ROOM?-*"',
        'door = "folder:*", sop_class = "UltrasoundImageStorage"',
        'ae = "US1", address = ["10.0.0.0/8", "192.168.1.20", "2001:db8::/32"]',
        'sop_class = ["1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77.*"]',
        '"(0008,0080)" = "*医院", "(0019,1001)" = "private"',
        "NumberOfFrames = [1, 30]",
        "StudyID = { absent = true }, AccessionNumber = { absent = false }",
        '"RequestAttributesSequence.ScheduledProcedureStepID" = "A*"',
        'not = { modality = "SR" }, any = [{ ae = "A" }, { ae = "B", station = "C" }]',
        'all = [{ modality = "US" }, { not = [{ StudyID = "1" }, { StudyID = "2" }] }]',
        'CountryOfResidence = "中国"',
    ],
)
def test_a_condition_is_accepted(accepted: Callable[[str], Settings], when: str) -> None:
    [route] = accepted(f"{ROUTE}when = {{ {when} }}").route
    assert route.when
    assert route.when.tree.parts


@pytest.mark.parametrize(
    ("when", "place", "code"),
    [
        ('modalty = "US"', "modalty", "unknown-attribute"),
        ('StudyDescripton = "x"', "StudyDescripton", "unknown-attribute"),
        ('"Modality.StationName" = "x"', "Modality.StationName", "unknown-attribute"),
        ('address = "10.0.0.5/8"', "address", "bad-network"),
        ('address = "10.0.0.*"', "address", "bad-network"),
        ('sop_class = "UltrasoundStorage"', "sop_class", "unknown-sop-class"),
        ("modality = []", "modality", "never-matches"),
        ('modality = ""', "modality", "never-matches"),
        ("modality = true", "modality", "wrong-type"),
        ("modality = 1.5", "modality", "wrong-type"),
        ('station = "a name of more than 16"', "station", "never-matches"),
        ('PixelData = "x"', "PixelData", "never-matches"),
        ('modality = { absent = "yes" }', "modality", "bad-condition"),
        ("any = []", "any", "bad-condition"),
        ('any = { modality = "US" }', "any", "bad-condition"),
        ("not = {}", "not", "bad-condition"),
        ('not = "US"', "not", "bad-condition"),
        ('any = [{ modalty = "US" }]', "any[1].modalty", "unknown-attribute"),
        ('modality = "US", all = [{ Modality = "CT" }]', "all[1].Modality", "never-matches"),
        (
            'StudyID = "1", all = [{ StudyID = { absent = true } }]',
            "all[1].StudyID",
            "never-matches",
        ),
    ],
)
def test_a_condition_is_refused_at_its_place(
    refused: Refused, when: str, place: str, code: str
) -> None:
    assert codes(refused(f"{ROUTE}when = {{ {when} }}")) == {f"route[1].when.{place}": code}


@pytest.mark.parametrize(
    ("doors", "when"),
    [
        ('["folder:export"]', 'ae = "US1"'),
        ('["ae:US1"]', 'ae = "US2"'),
        ('["folder"]', 'door = "ae:US1"'),
        ('["import"]', 'ae = "*"'),
    ],
)
def test_a_condition_that_no_image_of_these_doors_can_meet_is_refused(
    refused: Refused, doors: str, when: str
) -> None:
    found = refused(f"{ROUTE}from = {doors}\nwhen = {{ {when} }}")
    assert list(codes(found).values()) == ["never-matches"]


@pytest.mark.parametrize(
    ("doors", "when"),
    [
        ('["ae:US1", "folder:export"]', 'ae = "US1"'),
        ('["ae"]', 'ae = "US1"'),
        ('["folder"]', 'door = "folder:export"'),
        ('["ae:US1"]', 'ae = "US*"'),
        ('["import"]', "ae = { absent = true }"),
    ],
)
def test_a_condition_that_one_of_the_doors_can_meet_is_accepted(
    accepted: Callable[[str], Settings], doors: str, when: str
) -> None:
    assert accepted(f"{ROUTE}from = {doors}\nwhen = {{ {when} }}").route


def test_the_nearest_known_word_is_named(refused: Refused) -> None:
    found = refused(f'{ROUTE}when = {{ modalty = "US", address = "10.0.0.5/8" }}')
    assert found["route[1].when.modalty"].nearest == "modality"
    assert found["route[1].when.address"].nearest == "10.0.0.0/8"
    found = refused(f'{ROUTE}when = {{ StudyDescripton = "x" }}')
    assert found["route[1].when.StudyDescripton"].nearest == "StudyDescription"


def test_all_faults_of_all_routes_are_told_at_once(refused: Refused) -> None:
    text = ROUTE + 'when = { modalty = "US", address = "x" }\n[[route]]\nto = ["c"]\nfrom = ["x"]\n'
    assert codes(refused(text)) == {
        "route[1].when.modalty": "unknown-attribute",
        "route[1].when.address": "bad-network",
        "route[2].to[1]": "unknown-reference",
        "route[2].from[1]": "bad-door",
    }


@pytest.mark.parametrize("section", ["[compress]", '[[route]]\nto = ["a"]'])
def test_a_ratio_stands_beside_the_syntax_that_it_belongs_to(
    refused: Refused, section: str
) -> None:
    place = "compress" if section == "[compress]" else "route[1]"
    assert codes(refused(f"{BASE}{section}\nratio = 10")) == {f"{place}.ratio": "useless"}
    text = f'{BASE}{section}\ntransfer_syntax = "jpeg2000"'
    assert codes(refused(text)) == {f"{place}.ratio": "missing"}


def test_what_is_hardly_meant_is_said(accepted: Callable[[str], Settings]) -> None:
    text = BASE + (
        '[[route]]\nto = ["a"]\ntransfer_syntax = "none"\nstop = true\n'
        '[[route]]\nto = ["a", "b"]\ntransfer_syntax = "jpeg2000-lossless"\n'
    )
    assert [(one.key, one.code) for one in doubtful(accepted(text))] == [
        ("route[2]", "route-unreached"),
        ("route[2].transfer_syntax", "routes-disagree"),
    ]


def test_a_codec_that_is_not_installed_is_said_and_no_more(
    accepted: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = accepted(BASE + '[compress]\ntransfer_syntax = "htj2k-lossless"\n')
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert [one.code for one in doubtful(settings)] == ["htj2k-missing"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert doubtful(settings) == []


def test_the_short_tables_say_what_the_dictionary_says() -> None:
    from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
    from pydicom.uid import UID

    for keyword, one in keywords.ATTRIBUTES.items():
        assert one.tag == tag_for_keyword(keyword), keyword
        assert one.vr in dictionary_VR(one.tag), keyword
        assert one.is_single == (dictionary_VM(one.tag) == "1"), keyword
    for keyword, uid in keywords.SOP_CLASSES.items():
        assert UID(uid).keyword == keyword
