"""A parsed TOML file -> Settings, by the annotations of `gateway.config.model`.

Takes      the tables of the file, and the file's path (relative paths start in its folder)
Gives      Settings, and every Problem of a single value: unknown, missing, wrong type, refused
Defers     what concerns two settings at once: `gateway.config.relations`
Holds      the problems found so far, one a place
"""

import dataclasses
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from gateway.config import rules
from gateway.config.conditions import When, read_when
from gateway.config.model import Settings
from gateway.config.problems import Fault, Problem
from gateway.language import _

_SECRETS = ("password", "passwd", "pwd", "passphrase", "token", "secret", "api_key")
_EMPTY: dict[type, object] = {str: "", Path: Path(), tuple: ()}  # of a key that was refused
_REFUSED = object()


def key_of(field: dataclasses.Field[Any]) -> str | None:
    """Return what `field` is called in the file; None where it does not stand there."""
    key: str | None = field.metadata.get("key", field.name)
    return key


def fields_of(section: Any) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields of a class of the model, or of one of its instances, by key."""
    return {key: one for one in dataclasses.fields(section) if (key := key_of(one))}


def hints_of(section: type) -> dict[str, Any]:
    """Return the annotation of each field of a class of the model, rules included."""
    return get_type_hints(section, include_extras=True)


def section_class(hint: Any) -> type | None:
    """Return the class behind ``Section`` or ``tuple[Section, ...]``, or None for a value."""
    inner = get_args(hint)[0] if get_origin(hint) is tuple else hint
    return inner if dataclasses.is_dataclass(inner) and isinstance(inner, type) else None


class Reader:
    """Reads one file; `problems` grows, and Settings come out even where some were found."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.given: set[str] = set()
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """Every problem so far, those of one block of the file together."""
        return sorted(self._problems.values(), key=lambda one: one.key.partition(".")[0])

    def refuse(self, place: str, fault: Fault) -> None:
        """Note `fault` at `place`, unless that place has one already."""
        text = fault.text
        if fault.nearest:
            text = _("{sentence} Nearest known: {nearest}.")
            text = text.format(sentence=fault.text, nearest=fault.nearest)
        problem = Problem(self.file, place, fault.code, text, fault.nearest)
        self._problems.setdefault(place, problem)

    def settings(self, table: dict[str, Any]) -> Settings:
        """Return what the file says; refused values are replaced by defaults or nothing."""
        read: Settings = self._section(Settings, table, "")
        return dataclasses.replace(read, file=self.file, given=frozenset(self.given))

    def _section(self, cls: type, table: dict[str, Any], at: str) -> Any:
        hints, known = hints_of(cls), fields_of(cls)
        self._refuse_unknown(table.keys() - known.keys(), known, at)
        values = {}
        for key, field in known.items():
            value = self._field(field, hints[field.name], table.get(key), _join(at, key))
            if value is not _REFUSED:
                values[field.name] = value
        return cls(**values)

    def _field(self, field: dataclasses.Field[Any], hint: Any, raw: Any, place: str) -> Any:
        """Return the value, or _REFUSED to leave the default; TOML has no null, None is absent."""
        needed = field.default is dataclasses.MISSING
        if raw is not None:
            self.given.add(place)
            value = self._value(hint, raw, place)
        else:
            value = _REFUSED
            if needed:
                self.refuse(place, Fault("missing", _("This key is missing.")))
        return _empty(hint) if needed and value is _REFUSED else value

    def _value(self, hint: Any, raw: Any, place: str) -> Any:
        origin, args = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._ruled(args[0], args[1:], raw, place)
        if origin in (Union, types.UnionType):  # always `X | None`
            return self._value(args[0], raw, place)
        if origin is Literal:
            return self._judged(raw, rules.choice(raw, args), place)
        if origin is tuple:
            return self._list(args[0], raw, place)
        if hint is When:
            return self._when(raw, place)
        if dataclasses.is_dataclass(hint):
            return self._table(hint, raw, place)
        return self._plain(hint, raw, place)

    def _ruled(self, hint: Any, checks: Iterable[rules.Rule], raw: Any, place: str) -> Any:
        value = self._value(hint, raw, place)
        for check in checks if value is not _REFUSED else ():
            value = self._judged(value, check(value), place)
        return value

    def _judged(self, value: Any, fault: Fault | None, place: str) -> Any:
        if fault is None:
            return value
        self.refuse(place, fault)
        return _REFUSED

    def _list(self, hint: Any, raw: Any, place: str) -> Any:
        if not isinstance(raw, list):
            several = dataclasses.is_dataclass(hint)
            return self._judged(_REFUSED, _not_a_list(place, sections=several), place)
        # Counted from one, as a person counts the blocks of the file.
        values = [self._value(hint, one, f"{place}[{nth}]") for nth, one in enumerate(raw, 1)]
        values = [_empty(hint) if one is _REFUSED else one for one in values]
        return tuple(one for one in values if one is not _REFUSED)

    def _table(self, hint: Any, raw: Any, place: str) -> Any:
        if isinstance(raw, dict):
            return self._section(hint, raw, place)
        return self._judged(_REFUSED, _not_a_table(place), place)

    def _when(self, raw: Any, place: str) -> Any:
        if not isinstance(raw, dict):
            text = _("This is a table: {example}.").format(example='{ modality = "US" }')
            return self._judged(_REFUSED, Fault("wrong-type", text), place)
        when, faults = read_when(raw, place)
        for where, fault in faults:
            self.refuse(where, fault)
        return _REFUSED if faults else when

    def _plain(self, kind: Any, raw: Any, place: str) -> Any:
        fault = _type_fault(kind, raw)
        if fault is None and isinstance(raw, str) and not raw.isprintable():
            text = _("Line breaks, tabs and control characters are not allowed.")
            fault = Fault("control-character", text)
        if fault is None and kind is Path:
            return self._judged(self.file.absolute().parent / raw, rules.not_empty(raw), place)
        return self._judged(raw, fault, place)

    def _refuse_unknown(self, keys: Iterable[str], known: Iterable[str], at: str) -> None:
        for key in sorted(keys):
            self.refuse(_join(at, _shown(key)), _unknown(key, list(known)))


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key


def _shown(key: str) -> str:
    """Return `key` as it may stand in a message: TOML allows any character in quoted keys."""
    return key if key.isprintable() else ascii(key)


def _empty(hint: Any) -> Any:
    """Return the nothing that stands for a refused value, so that the rest can be checked."""
    origin, args = get_origin(hint), get_args(hint)
    return _empty(args[0]) if origin is Annotated else _EMPTY.get(origin or hint, _REFUSED)


def _type_fault(kind: type, raw: Any) -> Fault | None:
    accepted: dict[type, tuple[type, ...]] = {float: (int, float), Path: (str,)}
    if isinstance(raw, accepted.get(kind, (kind,))) and isinstance(raw, bool) is (kind is bool):
        return None
    wanted = {
        str: _("The value must be text in quotes."),
        Path: _("The value must be a path in quotes."),
        int: _("The value must be a whole number, without quotes."),
        float: _("The value must be a number, without quotes."),
        bool: _("The value must be true or false, without quotes."),
    }
    return Fault("wrong-type", wanted[kind])


def _not_a_list(place: str, *, sections: bool) -> Fault:
    text = _("The value must be a list in brackets: [ ... ].")
    if sections:
        text = _("There may be several: write [[{name}]], with two brackets on each side.")
    return Fault("wrong-type", text.format(name=place))


def _not_a_table(place: str) -> Fault:
    name, is_one_of_several, _nth = place.partition("[")
    if is_one_of_several:
        return _not_a_list(name, sections=True)
    text = _("This is a section: write [{name}], with one bracket on each side.")
    return Fault("wrong-type", text.format(name=name))


def _unknown(key: str, known: list[str]) -> Fault:
    if any(key.lower().endswith(word) for word in _SECRETS):
        text = _("No secret may stand in this file: put it into a file of its own.")
        return Fault("secret-in-file", text, rules.nearest(f"{key}_file", known, likeness=0.6))
    meant = rules.nearest(key, known, likeness=0.6) or _elsewhere(key) or rules.nearest(key, known)
    return Fault("unknown-key", _("This key is unknown."), meant)


def _elsewhere(key: str) -> str:
    """Return where `key` would be known: it may stand under the wrong heading."""
    for section, hint in hints_of(Settings).items():
        cls = section_class(hint)
        if cls is not None and key in fields_of(cls):
            return f"{section}.{key}"
    return ""
