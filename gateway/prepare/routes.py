"""routes: to which destinations an instance goes, and how it is packed for each.

Takes      the settings and the `Facts` of an instance
Gives      `Routing`: every rule that was tried, the destinations in the order of the file, and what
           each is to get
Holds      no-route: rules, and none matches, and no destination takes what is left
           no-destination: the configuration has none
           route-unclear: a rule asks for what cannot be read of this instance
Repeats    decides by the settings and the instance alone, so twice the same

All rules that match count, up to the first with `stop`; their destinations are united. Without
any rule everything goes everywhere. `gateway route test` calls the same functions.

How an image is packed: what the first matching rule for that destination says, else the
destination, else `[compress]`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.config.model import Compression, Destination, Route, Settings
from gateway.prepare.facts import Facts
from gateway.prepare.rules import Answer, Truth, answers, judge, subjects

NO_ROUTE, NO_DESTINATION, UNCLEAR = "no-route", "no-destination", "route-unclear"

By = Literal["", "everywhere", "routes", "default"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What one rule said."""

    number: int  #: counted from one, as the blocks of the file
    to: tuple[str, ...]
    truth: Truth
    answers: tuple[Answer, ...] = ()  #: of its doors and conditions
    stops: bool = False  #: the rules below were not looked up

    @property
    def missed(self) -> tuple[Answer, ...]:
        """The conditions that did not hold, or cannot be judged."""
        return tuple(one for one in self.answers if one.truth is not Truth.YES)

    @property
    def nearly(self) -> bool:
        """Whether one condition alone kept it from matching."""
        return self.truth is not Truth.YES and len(self.missed) == 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one destination is to get."""

    destination: str
    transfer_syntax: Compression
    ratio: float | None
    said_by: str  #: the place in the file: ``route[2]``, ``destination[1]`` or ``compress``


@dataclass(frozen=True, slots=True)
class Routing:
    """What becomes of an instance; with a `code` it is held, and goes nowhere."""

    tried: tuple[Tried, ...]
    by: By
    wanted: tuple[Wanted, ...]
    code: str = ""
    detail: str = ""


def route(settings: Settings, facts: Facts, waived: Iterable[str] = ()) -> Routing:
    """Return where the instance goes, and why.

    Parameters
    ----------
    waived
        Reasons for holding that a person has set aside: with `UNCLEAR`, a rule that cannot be
        judged counts as one that does not match.
    """
    tried = _tried(settings.route, facts)
    unclear = [one.number for one in tried if one.truth is Truth.UNCLEAR]
    if unclear and UNCLEAR not in waived:
        places = " ".join(f"route[{number}]" for number in unclear)
        return Routing(tried, "", (), UNCLEAR, places)
    by, names = _names(settings, [one for one in tried if one.truth is Truth.YES])
    wanted = tuple(
        _wanted(settings, nth, one, tried)
        for nth, one in enumerate(settings.destination, 1)
        if one.name in names
    )
    if wanted:
        return Routing(tried, by, wanted)
    return Routing(tried, "", (), NO_ROUTE if settings.destination else NO_DESTINATION)


def asks_inside(settings: Settings) -> bool:
    """Return whether a rule asks for an attribute, so that the data set must be opened."""
    conditions = [one.when.tree for one in settings.route if one.when]
    return any(subject.path for one in conditions for subject in subjects(one))


def _tried(routes: Sequence[Route], facts: Facts) -> tuple[Tried, ...]:
    tried = []
    for number, one in enumerate(routes, 1):
        tried.append(_try(number, one, facts))
        if tried[-1].stops:
            break
    return tuple(tried)


def _try(number: int, one: Route, facts: Facts) -> Tried:
    given = tuple(_door_answers(number, one, facts))
    truth = min((answer.truth for answer in given), default=Truth.YES)
    if one.when:
        truth = min(truth, judge(one.when.tree, facts))
        given += tuple(answers(one.when.tree, facts))
    return Tried(number, one.to, truth, given, stops=one.stop and truth is Truth.YES)


def _door_answers(number: int, one: Route, facts: Facts) -> Iterator[Answer]:
    door = facts.door
    if one.from_:
        met = {door, door.partition(":")[0]} & set(one.from_)
        truth = Truth.YES if met else Truth.NO
        yield Answer(f"route[{number}].from", "from", one.from_, truth, (door,))


def _names(settings: Settings, matched: Sequence[Tried]) -> tuple[By, set[str]]:
    if not settings.route:
        return "everywhere", {one.name for one in settings.destination}
    if matched:
        return "routes", {name for one in matched for name in one.to}
    return "default", {one.name for one in settings.destination if one.default}


def _wanted(
    settings: Settings, nth: int, destination: Destination, tried: Sequence[Tried]
) -> Wanted:
    for one in tried:
        rule = settings.route[one.number - 1]
        if one.truth is Truth.YES and destination.name in rule.to and rule.transfer_syntax:
            place = f"route[{one.number}]"
            return Wanted(destination.name, rule.transfer_syntax, rule.ratio, place)
    if destination.transfer_syntax:
        place = f"destination[{nth}]"
        return Wanted(destination.name, destination.transfer_syntax, destination.ratio, place)
    packing = settings.compress
    return Wanted(destination.name, packing.transfer_syntax, packing.ratio, "compress")
