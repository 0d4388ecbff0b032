"""The pages on the configuration list every key with its default, and every code."""

import dataclasses
import re
from pathlib import Path
from typing import get_origin

import pytest

from gateway.config.load import load
from gateway.config.model import Settings
from gateway.config.reader import fields_of, hints_of, section_class
from gateway.config.show import as_toml

ROOT = Path(__file__).parents[2]
PAGES = {"configuration.md": ("needed", "none"), "configuration.zh_CN.md": ("必填", "无")}


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def default_of(field: dataclasses.Field, needed: str, none: str) -> str:
    if field.default is dataclasses.MISSING:
        return needed
    return none if field.default is None else f"`{as_toml(field.default)}`"


@pytest.mark.parametrize("name", PAGES)
def test_each_section_lists_its_keys_and_defaults_in_the_order_of_the_model(name):
    text = page(name)
    for section, hint in hints_of(Settings).items():
        cls = section_class(hint)
        if cls is None:
            continue
        heading = f"[[{section}]]" if get_origin(hint) is tuple else f"[{section}]"
        block = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        documented = re.findall(r"^\| `(\w+)` \| (.*?) \|", block, re.M)
        assert documented == [
            (key, default_of(field, *PAGES[name])) for key, field in fields_of(cls).items()
        ]


@pytest.mark.parametrize("name", PAGES)
def test_every_code_of_a_problem_or_notice_stands_on_the_page_and_no_other(name):
    sources = [one.read_text(encoding="utf-8") for one in (ROOT / "gateway/config").glob("*.py")]
    made = re.findall(r"(?:Fault|Notice)\(\s*\"([a-z0-9-]+)\"", "".join(sources))
    made += re.findall(r"Problem\(file, \"\", \"([a-z0-9-]+)\"", "".join(sources))
    documented = re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \|$", page(name), re.M)
    assert sorted(documented) == sorted(set(made))


@pytest.mark.parametrize("name", PAGES)
def test_the_example_on_the_page_is_accepted(name, tmp_path):
    file = tmp_path / "gateway.toml"
    [example] = re.findall(r"^```toml\n(.*?)^```$", page(name), re.M | re.S)
    file.write_text(example, encoding="utf-8")
    assert load(file).destination[0].ae_title == "PACS"
