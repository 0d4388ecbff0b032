"""`route test` tells a person where a file would go and why; its exit code says the same."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli import main
from tests.fakes.data_sets import EXPLICIT, encoded
from tests.fakes.objects import small
from tests.fakes.part10 import part10_file
from tests.fakes.routed import text
from tests.fakes.spools import SOP_CLASS

CONFIGURATION = """
[gateway]
state_dir = "state"
language = "en"
[[destination]]
name = "a"
host = "127.0.0.1"
port = 1
ae_title = "A"
[[destination]]
name = "b"
host = "127.0.0.1"
port = 1
ae_title = "B"
transfer_syntax = "jpeg2000"
ratio = 10
[[route]]
from = ["ae:US1"]
when = { modality = "US", PatientName = "王*" }
to = ["a"]
[[route]]
when = { modality = "US", not = { station = "LAB" } }
to = ["a", "b"]
stop = true
[[route]]
to = ["b"]
"""

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIGURATION, encoding="utf-8")

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["--config", str(config), "route", "test", *arguments])
        except SystemExit as left:
            code = int(str(left.code))
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def image(folder: Path, modality: bytes, name: str = "李四", station: bytes = b"ROOM") -> str:
    uid = "1.2.826.0.1.3680043.8.498.7"
    head = (
        text(0x00080005, "CS", b"GB18030"),
        text(0x00080060, "CS", modality),
        text(0x00081010, "SH", station),
        text(0x00100010, "PN", name.encode("gb18030")),
    )
    # The name stands before the identifier that every small image has.
    data = encoded(head, EXPLICIT) + small(uid)
    path = folder / "image.dcm"
    path.write_bytes(part10_file(SOP_CLASS, uid, data))
    return str(path)


def test_it_says_which_rule_matched_and_which_nearly_did(say: Say, tmp_path: Path) -> None:
    code, out, _ = say(image(tmp_path, b"US"), "--from", "ae:US1")
    assert code == 0
    assert "route[1] nearly matches: one condition fails → a" in out
    assert "- PatientName: expected 王*, found 李四" in out
    assert "route[2] matches, and stops the search → a, b" in out
    assert "+ not: station = LAB" in out
    assert "route[3] is not reached" in out
    assert "jpeg2000, ratio 10  destination[2]" in out


def test_for_a_program_it_says_the_same(say: Say, tmp_path: Path) -> None:
    code, out, _ = say(image(tmp_path, b"US"), "--json")
    found = json.loads(out)
    assert code == 0
    assert [one["result"] for one in found["routes"]] == ["not-matched", "matched", "not-reached"]
    assert [(one["name"], one["said_by"]) for one in found["destinations"]] == [
        ("a", "compress"),
        ("b", "destination[2]"),
    ]
    [door, modality, name] = found["routes"][0]["conditions"]
    assert (door["result"], modality["result"], name["result"]) == ("not-met", "met", "not-met")
    assert name["found"] == ["李四"]


def test_what_would_be_held_is_69_with_the_reason(say: Say, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIGURATION.replace('[[route]]\nto = ["b"]\n', ""), encoding="utf-8")
    code, out, _ = say(image(tmp_path, b"CT"))
    assert code == 69
    assert "It would be held: No route matches this image." in out


def test_where_it_cannot_be_packed_so_it_says_why(say: Say, tmp_path: Path) -> None:
    path = Path(image(tmp_path, b"US"))
    lossy = encoded((text(0x00282110, "CS", b"01"),), EXPLICIT)
    whole = path.read_bytes()
    at = whole.index(b"\xe0\x7f\x10\0")
    path.write_bytes(whole[:at] + lossy + whole[at:])
    _, out, _ = say(str(path))
    assert "as received: The image has lost content before" in out


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("nowhere.dcm",), 66, "no-such-path"),
        (("gateway.toml",), 65, "no-data-set"),
        (("gateway.toml", "--from", "ae"), 64, "bad-door"),
        (("gateway.toml", "--from", "US1"), 64, "bad-door"),
        (("gateway.toml", "--address", "10.0.0.0/8"), 64, "bad-door"),
        ((), 64, "usage"),
    ],
)
def test_what_it_cannot_do_it_says_with_its_code(
    say: Say, tmp_path: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    given = [str(tmp_path / one) if "." in one[-5:] else one for one in arguments]
    found, _, errors = say(*given)
    assert found == code
    assert word in errors


def test_a_hostile_value_reaches_no_terminal(say: Say, tmp_path: Path) -> None:
    code, out, _ = say(image(tmp_path, b"US\x1b[31m\nFORGED"), "--from", "ae:US1")
    assert code == 0
    assert "\x1b" not in out
    assert "\nFORGED" not in out


def test_what_would_be_held_for_its_structure_goes_nowhere(say: Say, tmp_path: Path) -> None:
    path = Path(image(tmp_path, b"US"))
    path.write_bytes(path.read_bytes()[:-20])
    code, out, _ = say(str(path), "--json")
    found = json.loads(out)
    assert (code, found["destinations"]) == (69, [])
    assert found["held"]["code"] == "structure"
