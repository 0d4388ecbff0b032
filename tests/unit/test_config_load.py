"""The configuration is taken whole, or refused with all its errors at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import relations
from gateway.config.load import config_file, load
from gateway.config.model import Destination, Listen, Settings, Watch
from gateway.config.problems import ConfigError, Problem
from gateway.config.reader import Reader
from gateway.language import set_language

DESIGN = """
config_version = 1

[gateway]
name = "us-room-3"
ae_title = "EDGE"
state_dir = "/var/lib/gateway"
language = "zh_CN"
timezone = "Asia/Shanghai"

[[listen]]
kind = "dicom"
address = "0.0.0.0"
port = 11112

[receive]
callers = "any"
max_associations_per_address = 8

[[source]]
name = "US1"
ae_title = "US1"
priority = "normal"
on_conflict = "hold"

[[watch]]
name = "export"
path = "/srv/export"

[[camera]]
name = "scope"
device = "usb-0000:00:14.0-2"
object = "endoscopic"

[[trigger]]
name = "pedal"
kind = "hid"
does = "still"

[[destination]]
name = "central"
kind = "dicom"
host = "pacs.example.org"
port = 11112
ae_title = "CENTRAL"
calling_ae_title = "EDGE3"
confirm = "commitment"

[[destination]]
name = "cloud"
kind = "dicomweb"
url = "https://dicom.example.org/dicom-web"

[[route]]
from = ["ae:US1", "camera:scope", "folder:export"]
to = ["central"]

[compress]
transfer_syntax = "jpeg2000-lossless"

[retain]
days = 30
trash_days = 30

[console]
address = "127.0.0.1"
port = 8080
"""

WEB = '[[destination]]\nname = "c"\nkind = "dicomweb"\nurl = "https://c"\n'
CENTRAL = '[[destination]]\nname = "a"\nhost = "h"\nport = 104\nae_title = "A"\n'


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
def refused(accepted: Callable[[str], Settings]) -> Callable[[str], dict[str, Problem]]:
    """Return the problems of a text by their keys; a key with two problems fails the test."""

    def problems(text: str) -> dict[str, Problem]:
        with pytest.raises(ConfigError) as caught:
            accepted(text)
        by_key = {one.key: one for one in caught.value.problems}
        assert len(by_key) == len(caught.value.problems)
        return by_key

    return problems


def codes(problems: dict[str, Problem]) -> dict[str, str]:
    return {key: one.code for key, one in problems.items()}


def test_every_key_of_the_design_is_known(accepted):
    settings = accepted(DESIGN)
    assert [one.name for one in settings.destination] == ["central", "cloud"]
    assert settings.route[0].from_ == ("ae:US1", "camera:scope", "folder:export")
    assert settings.destination[0].calling_ae_title == "EDGE3"
    assert settings.retain.days == 30


def test_an_empty_file_gives_the_defaults_and_one_dicom_door(accepted):
    settings = accepted("")
    assert settings.listen == (Listen(),)
    assert f"{settings.listen[0].address}:{settings.listen[0].port}" == "0.0.0.0:11112"
    assert settings.destination == ()
    assert settings.given == frozenset()


def test_what_stood_in_the_file_is_told_from_defaults(accepted):
    given = accepted(CENTRAL + "[console]\n").given
    assert {"destination", "destination[1].port", "console"} <= given
    assert "destination[1].confirm" not in given


def test_all_errors_come_at_once(refused):
    text = """
        config_version = true
        port = 3
        [gatway]
        [gateway]
        ae_title = "a\\\\b"
        timezone = "Asia/Shangai"
        [receive]
        idle_s = nan
        callers = "an"
        [[destination]]
        name = "a b"
        host = "x"
        prot = 11112
        ae_title = "A"
        [[destination]]
        name = "c"
        kind = "dicomweb"
        [[destination]]
        name = "c"
        port = true
        host = "h"
        ae_title = "A"
        [[route]]
        to = ["central"]
        from = ["folder:x", "ae:"]
        [[trigger]]
    """
    assert codes(refused(text)) == {
        "config_version": "bad-choice",
        "port": "unknown-key",
        "gatway": "unknown-key",
        "gateway.ae_title": "bad-ae-title",
        "gateway.timezone": "bad-timezone",
        "receive.idle_s": "out-of-range",
        "receive.callers": "bad-choice",
        "destination[1].name": "bad-name",
        "destination[1].prot": "unknown-key",
        "destination[1].port": "missing",
        "destination[2].url": "missing",
        "destination[3].name": "duplicate",
        "destination[3].port": "wrong-type",
        "route[1].to[1]": "unknown-reference",
        "route[1].from[1]": "unknown-reference",
        "route[1].from[2]": "bad-door",
        "trigger[1].name": "missing",
    }


def test_an_unknown_key_names_file_key_and_the_nearest_known_one(refused, tmp_path):
    problem = refused('[gateway]\nae_titel = "A"\n')["gateway.ae_titel"]
    assert problem.nearest == "ae_title"
    assert str(problem) == (
        f"{tmp_path}/gateway.toml: gateway.ae_titel: "
        "This key is unknown. Nearest known: ae_title. [unknown-key]"
    )


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("[gatway]", "gatway", "gateway"),
        ("[gateway]\nport = 1", "gateway.port", "listen.port"),
        ("[forward]\ngive_up_day = 1", "forward.give_up_day", "give_up_days"),
        ("[log]\nzzz = 1", "log.zzz", "level"),
    ],
)
def test_the_nearest_key_may_stand_under_another_heading(refused, text, key, nearest):
    assert refused(text)[key].nearest == nearest


def test_a_key_that_would_forge_a_line_is_shown_escaped(refused):
    assert list(refused('"a\\nb\\u001b" = 1')) == ["'a\\nb\\x1b'"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[gateway]\nname = 3", "wrong-type"),
        ('[gateway]\nname = ""', "bad-name"),
        ('[gateway]\nname = "a b"', "bad-name"),
        ('[gateway]\nname = "a\\u0007"', "control-character"),
        ('[gateway]\nstate_dir = ""', "empty"),
        ('[gateway]\nstate_dir = "/a\\u0000"', "control-character"),
        ('[gateway]\nlanguage = "zh"', "bad-choice"),
        ('[gateway]\nae_title = "SEVENTEEN_LETTERS"', "bad-ae-title"),
        ('[gateway]\nae_title = "超声"', "bad-ae-title"),
        ('[gateway]\nae_title = " A"', "bad-ae-title"),
        ('[gateway]\ntimezone = "../../etc/passwd"', "bad-timezone"),
        ("config_version = 2", "bad-choice"),
        ("config_version = 1.0", "bad-choice"),
        ("[[listen]]\nport = -1", "out-of-range"),
        ("[[listen]]\nport = 65536", "out-of-range"),
        ('[[listen]]\nport = "104"', "wrong-type"),
        ("[[listen]]\nport = 104.0", "wrong-type"),
        ("[receive]\nidle_s = true", "wrong-type"),
        ("[receive]\nidle_s = inf", "out-of-range"),
        ("[receive]\nidle_s = 1979-05-27", "wrong-type"),
        ('[receive]\nprivate_transfer_syntaxes = "1.2"', "wrong-type"),
        ("[compress]\nratio = 0.5", "out-of-range"),
        ('[compress]\ntransfer_syntax = "jpeg2000"', "missing"),
        ("[room]\nreserve_bytes = 10\nwarn_bytes = 9", "out-of-range"),
        ("[destination]", "wrong-type"),
        ('destination = ["a"]', "wrong-type"),
        ("gateway = 1", "wrong-type"),
        ("[[gateway]]", "wrong-type"),
        ('[[source]]\nname = "a"', "missing"),
        ('[[source]]\nname = "a"\naddress = "10.0.0.0/8"', "bad-address"),
        ('[[camera]]\nname = "a"\ndevice = ""', "empty"),
        ('[[watch]]\nname = "a"\npath = "/srv/taken"', "reserved-folder"),
        ('[[watch]]\nname = "a"\npath = "/var/lib/gateway/in"', "nested-folders"),
        ('[[watch]]\nname = "a"\npath = "/var"', "nested-folders"),
        (CENTRAL + "retry_first_s = 5\nretry_most_s = 4", "out-of-range"),
        (CENTRAL + 'fallback = "a"', "circular"),
        (CENTRAL + 'fallback = "nobody"', "unknown-reference"),
        (CENTRAL + "associations = 0", "out-of-range"),
        (
            '[[destination]]\nname = "a"\nkind = "folder"\npath = "/p"\nassociations = 2',
            "out-of-range",
        ),
        (WEB + 'confirm = "commitment"', "bad-choice"),
        (CENTRAL + "[[route]]\nto = []", "missing"),
        (CENTRAL + '[[route]]\nto = ["a"]\ntransfer_syntax = "jpeg2000"', "missing"),
    ],
)
def test_one_wrong_value_is_one_problem_with_a_stable_code(refused, text, code):
    assert list(codes(refused(text)).values()) == [code]


@pytest.mark.parametrize("uid", ["1", "1.", ".1", "1.02", "1.2a", "1." + "2" * 63, "1.2\n"])
def test_a_uid_that_is_none_is_refused(refused, uid):
    written = uid.replace("\n", "\\n")
    problems = refused(f'[receive]\nprivate_transfer_syntaxes = ["1.2.3", "{written}"]')
    assert list(problems) == ["receive.private_transfer_syntaxes[2]"]


@pytest.mark.parametrize("key", ["password", "token", "client_secret", "API_KEY"])
def test_a_secret_is_refused_without_being_shown(refused, key):
    problem = refused(f'{CENTRAL}{key} = "geheim"\n')[f"destination[1].{key}"]
    assert problem.code == "secret-in-file"
    assert "geheim" not in str(problem)


def test_a_secret_inside_an_address_is_refused_without_being_shown(refused):
    text = '[[destination]]\nname = "a"\nkind = "dicomweb"\nurl = "https://me:geheim@h/x"\n'
    problem = refused(text)["destination[1].url"]
    assert problem.code == "secret-in-file"
    assert "geheim" not in str(problem)


@pytest.mark.parametrize("url", ["h/x", "ftp://h/x", "https://", "https://h:x/", "http://[::1/"])
def test_an_address_that_is_none_is_refused(refused, url):
    text = f'[[destination]]\nname = "a"\nkind = "dicomweb"\nurl = "{url}"\n'
    assert codes(refused(text)) == {"destination[1].url": "bad-url"}


def test_a_secret_points_to_the_key_that_takes_a_file(refused):
    assert refused(CENTRAL + 'token = "x"')["destination[1].token"].nearest == "token_file"


@pytest.mark.parametrize("section", ["source", "watch", "camera", "trigger", "destination"])
def test_names_are_unique_in_their_section(refused, section):
    blocks = [
        f'[[{section}]]\nname = "a"\n{rest}'
        for rest in {
            "source": ['ae_title = "A"\n', 'ae_title = "B"\n'],
            "watch": ['path = "/srv/a"\n', 'path = "/srv/b"\n'],
            "camera": ['device = "x"\n', 'device = "y"\n'],
            "trigger": ["", ""],
            "destination": ['kind = "folder"\npath = "/a"\n', 'kind = "folder"\npath = "/b"\n'],
        }[section]
    ]
    assert codes(refused("".join(blocks))) == {f"{section}[2].name": "duplicate"}


def test_two_doors_on_one_port_are_refused_but_not_on_free_ones(refused, accepted):
    door = "[[listen]]\nport = {}\n"
    assert codes(refused(door.format(104) * 2)) == {"listen[2]": "duplicate"}
    assert len(accepted(door.format(0) * 2).listen) == 2


def test_dicom_tls_needs_its_certificate_and_key(refused):
    problems = refused('[[listen]]\nkind = "dicom-tls"\nport = 2762\n')
    assert codes(problems) == {"listen[1].certificate": "missing", "listen[1].key": "missing"}


@pytest.mark.parametrize(
    ("one", "other"), [("/srv/a", "/srv/a"), ("/srv/a", "/srv/a/b"), ("/srv/a/../b/c", "/srv/b")]
)
def test_no_two_watches_nest(refused, one, other):
    text = "".join(
        f'[[watch]]\nname = "{name}"\npath = "{path}"\n'
        for name, path in (("one", one), ("other", other))
    )
    assert codes(refused(text)) == {"watch[2].path": "nested-folders"}


def test_a_folder_destination_in_a_watched_folder_would_come_in_again(refused):
    text = """
        [[watch]]
        name = "in"
        path = "/srv/in"
        [[destination]]
        name = "out"
        kind = "folder"
        path = "/srv/in/out"
    """
    assert codes(refused(text)) == {"watch[1].path": "nested-folders"}


def test_relative_paths_start_in_the_folder_of_the_file(accepted, tmp_path):
    settings = accepted('[gateway]\nstate_dir = "state"\n[[watch]]\nname = "a"\npath = "in"\n')
    assert settings.gateway.state_dir == tmp_path / "state"
    assert settings.watch == (Watch(name="a", path=tmp_path / "in"),)


def test_fallbacks_may_be_a_chain_and_no_circle(accepted, refused):
    def named(name, fallback):
        more = f'fallback = "{fallback}"\n' if fallback else ""
        return CENTRAL.replace('name = "a"', f'name = "{name}"') + more

    chain = named("a", "b") + named("b", "c") + named("c", "")
    assert accepted(chain).destination[0].fallback == "b"
    into_a_circle = named("a", "b") + named("b", "c") + named("c", "b")
    assert codes(refused(into_a_circle)) == {
        "destination[2].fallback": "circular",
        "destination[3].fallback": "circular",
    }


def test_a_refused_value_causes_no_second_complaint(refused):
    wrong_kind = '[[destination]]\nname = "a"\nkind = "dicomwep"\nurl = "https://h/"\n'
    assert codes(refused(wrong_kind)) == {"destination[1].kind": "bad-choice"}
    wrong_wait = CENTRAL + "retry_first_s = 1000\nretry_most_s = 0\n"
    assert codes(refused(wrong_wait)) == {"destination[1].retry_most_s": "out-of-range"}


def test_whole_numbers_are_taken_for_seconds(accepted):
    assert accepted(CENTRAL + "connect_s = 3\n").destination[0].connect_s == 3


def test_a_byte_order_mark_of_an_editor_is_no_error(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('[gateway]\nname = "超声-3"\n', encoding="utf-8-sig")
    assert load(file).gateway.name == "超声-3"


def test_a_file_in_the_encoding_of_chinese_windows_is_named_as_such(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('[gateway]\nname = "超声"\n', encoding="gbk")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert [one.code for one in caught.value.problems] == ["not-utf-8"]


@pytest.mark.parametrize(
    ("text", "line"), [("[gateway]\nname = \n", 2), ('a = "', None), ("[a]\n[a]\n", 2)]
)
def test_toml_that_is_none_names_file_and_line(refused, tmp_path, text, line):
    problem = refused(text)[""]
    assert (problem.code, problem.line) == ("toml-syntax", line)
    place = f"{tmp_path}/gateway.toml:{line}: " if line else f"{tmp_path}/gateway.toml: "
    assert str(problem).startswith(place)


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "a = " + "9" * 5_000])
def test_toml_that_overwhelms_the_parser_is_refused(refused, text):
    assert refused(text)[""].code == "toml-syntax"


@pytest.mark.parametrize("path", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / path)
    assert [(one.code, one.file) for one in caught.value.problems] == [
        ("unreadable", tmp_path / path)
    ]


def test_the_file_is_the_one_given_else_of_the_environment_else_in_etc(monkeypatch):
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    assert config_file(None) == Path("/etc/gateway/gateway.toml")
    monkeypatch.setenv("GATEWAY_CONFIG", "/b.toml")
    assert config_file(None) == Path("/b.toml")
    assert config_file("/c.toml") == Path("/c.toml")


def test_problems_are_in_the_language_of_the_reader(refused):
    set_language("zh_CN")
    problem = refused("[log]\nleve = 1")["log.leve"]
    assert problem.text == "未知的键。最接近的已知写法：level。"


def test_settings_cannot_be_changed(accepted):
    with pytest.raises(AttributeError):
        accepted(CENTRAL).destination[0].port = 1


plain = st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
keys = st.sampled_from(
    ["gateway", "destination", "watch", "route", "name", "kind", "to", "from", "path", "port", "x"]
)
trees = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
)


@given(st.dictionaries(keys, trees, max_size=6))
def test_no_tree_of_values_escapes_as_another_error(table):
    reader = Reader(Path("/x/gateway.toml"))
    settings = reader.settings(table)
    for place, fault in relations.broken(settings, {one.key for one in reader.problems}):
        reader.refuse(place, fault)
    assert all(one.code and one.text and str(one).isprintable() for one in reader.problems)
    if not reader.problems:
        assert all(isinstance(one, Destination) for one in settings.destination)
