"""What `config show` prints is the configuration, and what is not built yet is said."""

import json
import tomllib
from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.model import Settings
from gateway.config.show import show, to_dict
from gateway.config.unbuilt import not_built_yet
from gateway.language import set_language

EVERYTHING = """
[gateway]
name = "us-room-3"
state_dir = "状态 \\"1\\""
[receive]
private_transfer_syntaxes = ["1.2.3", "1.2.4"]
[[listen]]
kind = "dicom"
[[listen]]
kind = "hl7"
port = 2575
[[source]]
name = "US1"
ae_title = "US1"
on_conflict = "keep-first"
[[watch]]
name = "export"
path = "/srv/export"
[[camera]]
name = "scope"
device = "testcard"
[[trigger]]
name = "pedal"
[[destination]]
name = "central"
host = "pacs"
port = 104
ae_title = "CENTRAL"
confirm = "none"
[[destination]]
name = "cloud"
kind = "dicomweb"
url = "https://dicom.example.org/"
default = true
[[route]]
from = ["ae:US1"]
when = { modality = ["US", "ES"], not = { "(0008,1010)" = "测试*" }, StudyID = { absent = true } }
to = ["central"]
[compress]
transfer_syntax = "jpeg2000"
ratio = 10
[retain]
days = 3
[console]
"""


@pytest.fixture(autouse=True)
def english() -> None:
    set_language("en")


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


@pytest.mark.parametrize("text", ["", EVERYTHING])
def test_what_is_shown_loads_again_to_the_same_settings(tmp_path, text):
    settings = loaded(tmp_path, text)
    again = loaded(tmp_path, show(settings))
    assert to_dict(again) == to_dict(settings)
    assert tomllib.loads(show(again)) == tomllib.loads(show(settings))


def test_defaults_are_marked_and_given_values_are_not(tmp_path):
    lines = show(loaded(tmp_path, '[gateway]\nname = "a"\n')).splitlines()
    assert 'name = "a"' in lines
    assert next(one for one in lines if one.startswith("ae_title")).endswith("# default")
    assert "# timezone =" in lines


def test_the_dict_is_json_under_the_keys_of_the_file(tmp_path):
    shown = json.loads(json.dumps(to_dict(loaded(tmp_path, EVERYTHING))))
    assert shown["route"][0]["from"] == ["ae:US1"]
    assert shown["gateway"]["state_dir"] == str(tmp_path / '状态 "1"')
    assert "given" not in shown
    assert "file" not in shown


def test_what_is_configured_but_not_built_is_named(tmp_path):
    notices = not_built_yet(loaded(tmp_path, EVERYTHING))
    assert [(one.key, one.code) for one in notices] == [
        ("listen[2].kind", "listen-not-built"),
        ("camera[1]", "camera-not-built"),
        ("trigger[1]", "trigger-not-built"),
        ("console", "console-not-built"),
    ]
    assert str(notices[1]) == (
        "camera[1]: Cameras are not built yet: nothing is captured. [camera-not-built]"
    )


def test_a_file_that_asks_for_nothing_unbuilt_gets_no_notice(tmp_path):
    text = '[[destination]]\nname="a"\nhost="h"\nport=1\nae_title="A"\nconfirm="none"\n'
    assert not_built_yet(loaded(tmp_path, text)) == []
