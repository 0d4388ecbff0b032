"""rules: does a condition hold of an instance, and if not, what of it fails?

Takes      a condition of the settings and the `Facts` of an instance
Gives      `Truth`, by Kleene's rules where something cannot be read; and for a person, each
           condition with what was found there
Holds      nothing

How values are compared: ``*`` stands for any characters, ``?`` for one. Titles, doors and UIDs are
compared to the letter, everything else without regard to upper and lower case. Of several values
one suffices. A missing or empty attribute matches ``{ absent = true }`` and nothing else.
"""

import enum
import ipaddress
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.config.conditions import Group, Subject, Test
from gateway.config.wildcards import matches
from gateway.dicom.charsets import How
from gateway.prepare.facts import Facts, Found

_NUMERIC = frozenset(("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "US or SS", "UV"))


class Truth(enum.IntEnum):
    """Ordered, so that `all` is the least and `any` the greatest."""

    NO = 0
    UNCLEAR = 1  #: it depends on what cannot be read
    YES = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """One condition, and what became of it."""

    place: str  #: in the file
    asked: str  #: the subject, or any, not
    expected: tuple[str, ...]
    truth: Truth
    #: What stands in the image; None: it cannot be read, or `asked` is any or not
    found: tuple[str, ...] | None = None
    how: How = ""  #: how the character set of what was found is known


def judge(condition: Test | Group, facts: Facts) -> Truth:
    """Return whether the condition holds."""
    if isinstance(condition, Test):
        return _judge_test(condition, facts.of(condition.subject))
    inner = [judge(one, facts) for one in condition.parts]
    if condition.kind == "not":
        return Truth(Truth.YES - max(inner, default=Truth.NO))
    if condition.kind == "any":
        return max(inner, default=Truth.NO)
    return min(inner, default=Truth.YES)


def answers(condition: Group, facts: Facts) -> Iterator[Answer]:
    """Yield each of the conditions that must all hold; `any` and `not` are one each."""
    for part in condition.parts:
        if isinstance(part, Test):
            yield _answer(part, facts)
        elif part.kind == "all":
            yield from answers(part, facts)
        else:
            inner = tuple(map(in_words, part.parts))
            yield Answer(part.place, part.kind, inner, judge(part, facts))


def subjects(condition: Test | Group) -> Iterator[Subject]:
    """Yield everything that the condition asks about."""
    if isinstance(condition, Test):
        yield condition.subject
    else:
        for part in condition.parts:
            yield from subjects(part)


def in_words(condition: Test | Group) -> str:
    """Return the condition on one line, as it would stand in the file."""
    if isinstance(condition, Group):
        inner = ", ".join(map(in_words, condition.parts))
        return inner if condition.kind == "all" else f"{condition.kind} {{ {inner} }}"
    name = condition.subject.name
    if condition.absent is not None:
        return f"{name} = {{ absent = {str(condition.absent).lower()} }}"
    return f"{name} = {' | '.join(condition.wanted)}"


def _answer(test: Test, facts: Facts) -> Answer:
    found, asked = facts.of(test.subject), test.subject.name
    expected = test.wanted or (f"absent = {str(test.absent).lower()}",)
    truth = _judge_test(test, found)
    if found is None:
        return Answer(test.place, asked, expected, truth)
    return Answer(test.place, asked, expected, truth, found.texts, found.how)


def _judge_test(test: Test, found: Found | None) -> Truth:
    if found is None:
        return Truth.UNCLEAR
    if test.absent is not None:
        return Truth.YES if test.absent == (not found.texts) else Truth.NO
    met = any(_is(test.subject, wanted, text) for wanted in test.wanted for text in found.texts)
    return Truth.YES if met else Truth.NO


def _is(subject: Subject, wanted: str, text: str) -> bool:
    if subject.name == "address":
        return _is_within(text, wanted)
    if subject.vr in _NUMERIC and _number(wanted) is not None:
        return _number(wanted) == _number(text)
    if subject.exact:
        return matches(wanted, text)
    return matches(_folded(wanted), _folded(text))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _is_within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
