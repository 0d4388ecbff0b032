"""Settings -> what `config show` prints: TOML with the defaults marked, or a dict for JSON.

Takes      accepted Settings
Gives      text that loads again to the same values
Holds      nothing
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.config.conditions import When
from gateway.config.model import Settings
from gateway.config.reader import fields_of

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")  # TOML 1.0, "Keys"
_WIDTH = 56  # the column in which "default" starts, where the value leaves room


def to_dict(settings: Settings) -> dict[str, Any]:
    """Return every setting under its key, as JSON takes it; a setting without a value is None."""
    plain: dict[str, Any] = _plain(settings)
    return plain


def show(settings: Settings) -> str:
    """Return every setting as TOML; what did not stand in the file is marked ``# default``."""
    return "\n".join(_lines(settings)).strip() + "\n"


def as_toml(value: object) -> str:
    """Return one value as TOML writes it; texts are printable here, so JSON's escapes suffice."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(key)} = {as_toml(one)}" for key, one in value.items())
        return f"{{ {inner} }}"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, When):
        return value.table
    if dataclasses.is_dataclass(value):
        return {key: _plain(getattr(value, one.name)) for key, one in fields_of(value).items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _lines(settings: Settings) -> Iterator[str]:
    for key, value in to_dict(settings).items():
        if isinstance(value, dict):
            yield from _section(f"[{key}]", key, value, settings.given)
        elif isinstance(value, list):
            for nth, one in enumerate(value, 1):
                yield from _section(f"[[{key}]]", f"{key}[{nth}]", one, settings.given)
        else:
            yield _line(key, value, default=key not in settings.given)


def _section(head: str, at: str, table: dict[str, Any], given: frozenset[str]) -> Iterator[str]:
    yield f"\n{head}"
    for key, value in table.items():
        yield _line(key, value, default=f"{at}.{key}" not in given)


def _line(key: str, value: Any, *, default: bool) -> str:
    if value is None:
        return f"# {key} ="
    text = f"{key} = {as_toml(value)}"
    return f"{text:<{_WIDTH}}# default" if default else text
