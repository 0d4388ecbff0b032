"""steer: what a person decides about a destination as a whole.

Takes      the settings, the spool, the name of a destination, and who decides
Gives      how many deliveries are met; a dry run only counts them
Holds      nothing; a start waits until the decision is written
Repeats    what was done already is not done twice: no delivery is doubled
"""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.config.model import Settings
from gateway.decide import Met
from gateway.outage import AWAY_SINCE
from spool.counting import Filter
from spool.store import START, Spool


class UnknownDestination(Exception):
    """The configuration has no destination `args[0]`."""


class ToItself(Exception):
    """`args[0]` is both where it is and where it is to go."""


class StillConfigured(Exception):
    """The configuration still has the destination `args[0]`: new images would go there."""


def pause(settings: Settings, spool: Spool, name: str, who: str) -> None:
    """Let nothing be sent to the destination, nor asked of it, until it is resumed."""
    must_be_configured(settings, name)
    with _alone(spool):
        spool.operating.pause(name, who)
    _ring(spool, name)


def resume(settings: Settings, spool: Spool, name: str, who: str) -> None:
    """Let it go on."""
    must_be_configured(settings, name)
    with _alone(spool):
        spool.operating.resume(name, who)
    _ring(spool, name)


def offer(
    settings: Settings,
    spool: Spool,
    name: str,
    wanted: Filter,
    since: float,
    who: str,
    *,
    dry_run: bool,
) -> int:
    """Send what is still here and came after `since` (UTC seconds) to the destination too."""
    must_be_configured(settings, name)
    with _alone(spool):
        met = spool.operating.offer(name, wanted, since, who, dry_run=dry_run)
    _ring(spool, name)
    return met


def offer_left(
    settings: Settings, spool: Spool, met: Met, name: str, who: str, *, dry_run: bool
) -> Met:
    """Return `met` with those that could not be sent again there, since they never were."""
    must_be_configured(settings, name)
    left = [one.instance_id for one in met.left]
    if not left:
        return met
    with _alone(spool):
        offered = spool.operating.offer_these(left, name, who, dry_run=dry_run)
    _ring(spool, name)
    rest = [one for one in met.left if one.instance_id not in offered]
    return Met([*met.ids, *offered], rest)


def move(settings: Settings, spool: Spool, name: str, to: str, who: str, *, dry_run: bool) -> int:
    """Send what waits for `name` to `to` instead."""
    must_be_configured(settings, to)
    if name == to:
        raise ToItself(name)
    if name not in spool.counting.deliveries():
        must_be_configured(settings, name)
    with _alone(spool):
        met = spool.operating.move_backlog(name, to, who, dry_run=dry_run)
    _ring(spool, to)
    return met


def forget(settings: Settings, spool: Spool, name: str, to: str, who: str, *, dry_run: bool) -> int:
    """Say what becomes of what waits for a destination that was removed.

    Parameters
    ----------
    to
        Where it goes instead; "": it is cancelled.

    Raises
    ------
    StillConfigured, UnknownDestination
    """
    if name in _configured(settings):
        raise StillConfigured(name)
    if name not in spool.counting.deliveries():
        raise UnknownDestination(name)
    if to:
        must_be_configured(settings, to)
    with _alone(spool):
        becomes = f"move:{to}" if to else "cancel"
        met = spool.operating.forget_destination(name, becomes, who, dry_run=dry_run)
        if not dry_run:
            spool.facts.forget(AWAY_SINCE + name)
    _ring(spool, to)
    return met


def must_be_configured(settings: Settings, name: str) -> None:
    """Raise `UnknownDestination` unless the configuration has it."""
    if name not in _configured(settings):
        raise UnknownDestination(name)


def _configured(settings: Settings) -> set[str]:
    return {one.name for one in settings.destination}


@contextmanager
def _alone(spool: Spool) -> Iterator[None]:
    """Keep every start away: who starts gives decisions to rows, and rows to files."""
    alone = spool.lock(START, waits=True, shared=True)
    try:
        yield
    finally:
        alone.release()


def _ring(spool: Spool, name: str) -> None:
    if name:
        spool.ring(f"forward@{name}")
        spool.ring(f"confirm@{name}")
