"""decide: what a person decides about items of the queue, one by one or by a filter.

Takes      ids, UIDs or a filter
Gives      what was met, and what was in no state for it
Holds      nothing; a start waits for the few items that are being decided
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spool.counting import Filter, Target
from spool.deciding import Outcome
from spool.store import START, Spool

#: So many are decided before a gateway that starts gets its turn.
ITEMS_MOST = 500


class UnknownItem(Exception):
    """No instance has the key `args[0]`."""


@dataclass(frozen=True, slots=True)
class Met:
    """What a decision did, or would do."""

    ids: list[int] = field(default_factory=list)
    left: list[Outcome] = field(default_factory=list)  #: in a state that does not allow it


def by_key(
    spool: Spool, what: str, key: str, who: str, *, destination: str = "", dry_run: bool = False
) -> Met:
    """Decide about what has this id or SOP Instance UID.

    Raises
    ------
    UnknownItem
    """
    found = spool.counting.show(key)
    if not found:
        raise UnknownItem(key)
    return decide(spool, what, [(one["id"], destination) for one in found], who, dry_run=dry_run)


def by_filter(spool: Spool, what: str, wanted: Filter, who: str, *, dry_run: bool = False) -> Met:
    """Decide about all that matches."""
    return decide(spool, what, spool.counting.targets(wanted), who, dry_run=dry_run)


def decide(
    spool: Spool, what: str, targets: Sequence[Target], who: str, *, dry_run: bool = False
) -> Met:
    """Decide about each of `targets`, in short transactions, and ring who works on them."""
    met = Met()
    for at in range(0, len(targets), ITEMS_MOST):
        alone = spool.lock(START, waits=True, shared=True)
        try:
            _sort(
                met,
                spool.deciding.decide(what, targets[at : at + ITEMS_MOST], who, dry_run=dry_run),
            )
        finally:
            alone.release()
    if met.ids and not dry_run:
        _ring(spool)
    return met


def _sort(met: Met, outcomes: Iterable[Outcome]) -> None:
    for one in outcomes:
        if one.refused_in is not None:
            met.left.append(one)
        elif one.instance_id not in met.ids[-1:]:
            met.ids.append(one.instance_id)


def _ring(spool: Spool) -> None:
    spool.ring("prepare")
    for destination in spool.counting.deliveries():
        spool.ring(f"forward@{destination}")
