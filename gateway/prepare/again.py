"""again: has this SOP Instance UID come before, and what becomes of the instance then?

Takes      a received instance, what came before under its UID, the rule of its source
Gives      `Again`: it repeats one and nothing of it is kept; or it goes on, how is said
Defers     waits-for-earlier: an earlier one is not decided yet, or it waits for a person and this
           one is to go after it
Holds      correction: the same pixels, of another patient or study
           conflict: any other difference
           withdrawn-before: the same again, which a person took back
Repeats    decides by what came earlier, so twice the same

Four classes (what is compared: `content`):
the same data set                        acknowledged, kept once
the same content in another encoding     kept once, said in the history
same UID and pixels, other identity      correction, `on_conflict`
same UID, any other difference           conflict, `on_conflict`

Retired ones count, by their digests. What nothing is known of inside is compared by its bytes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from spool.earlier import WAITS
from spool.errors import Defer, Hold
from spool.model import Behind, Content, Earlier, Instance, InstanceState

CONFLICT, CORRECTION, WITHDRAWN = "conflict", "correction", "withdrawn-before"
KEPT_FIRST = "kept-first"

OnConflict = Literal["hold", "keep-first", "send-both-in-order"]


@dataclass(frozen=True, slots=True)
class Again:
    """What becomes of the instance; as it stands, it goes its way like any other."""

    repeats: int = 0  #: the instance that it adds nothing to
    how: str = ""  #: in what it differs from that, although it says the same
    behind: Behind = Behind.NOTHING
    cancelled: str = ""  #: why it is kept, and not sent
    notes: tuple[tuple[str, str], ...] = ()  #: (what, detail) for the history


def must_wait(instance: Instance, earlier: Sequence[Earlier], rule: OnConflict) -> None:
    """Raise `Defer` while it is not this one's turn; reads no file, however long it waits.

    Raises
    ------
    Defer
        waits-for-earlier.
    """
    for one in earlier:
        if one.state == InstanceState.RECEIVED and not _same_bytes(instance, one):
            raise Defer(WAITS, f"instance {one.id}")
    if instance.content:
        _must_follow(instance, _others(instance, instance.content, earlier), rule)


def judge(
    instance: Instance,
    content: Content | None,
    earlier: Sequence[Earlier],
    rule: OnConflict,
    are_whole: Callable[[int], bool],
) -> Again:
    """Return what becomes of the instance.

    Parameters
    ----------
    content
        Of this instance; None where nothing is known of its inside.
    are_whole
        Tells by an instance's id whether its files are what was written: a re-send is never thrown
        away for one that is damaged.

    Raises
    ------
    Defer
        waits-for-earlier.
    Hold
        conflict, correction, withdrawn-before, unless a person has waived that.
    """
    same = [one for one in earlier if _same(instance, content, one)]
    for one in same:
        if one.state != InstanceState.WITHDRAWN and are_whole(one.id):
            return Again(one.id, _how(instance, one))
    _must_not_be_withdrawn(instance, same)
    others = _others(instance, content, earlier)
    return _differs(instance, content, others, rule) if others else Again()


def _must_not_be_withdrawn(instance: Instance, same: Iterable[Earlier]) -> None:
    """What a person took back does not go out because it came once more, nor is it lost."""
    for one in same:
        if one.state == InstanceState.WITHDRAWN and WITHDRAWN not in instance.waived:
            raise Hold(WITHDRAWN, f"instance {one.id}")


def _differs(
    instance: Instance, content: Content | None, others: Sequence[Earlier], rule: OnConflict
) -> Again:
    code = _class_of(content, others)
    said = ((code, f"instance {others[-1].id}"),)
    if instance.waived & {CONFLICT, CORRECTION}:
        return Again(behind=Behind.QUEUED, notes=said)
    _must_follow(instance, others, rule)
    if rule == "send-both-in-order":
        behind = Behind.QUEUED if WAITS in instance.waived else Behind.HELD
        return Again(behind=behind, notes=said)
    if rule == "keep-first" and any(one.state != InstanceState.WITHDRAWN for one in others):
        return Again(cancelled=KEPT_FIRST, notes=said)
    raise Hold(code, f"instance {others[-1].id}")


def _must_follow(instance: Instance, others: Iterable[Earlier], rule: OnConflict) -> None:
    """In order: what waits for a person keeps the later ones waiting."""
    if rule != "send-both-in-order" or instance.waived & {CONFLICT, CORRECTION, WAITS}:
        return
    for one in others:
        if one.state == InstanceState.HELD:
            raise Defer(WAITS, f"instance {one.id}")


def _others(
    instance: Instance, content: Content | None, earlier: Iterable[Earlier]
) -> list[Earlier]:
    return [one for one in earlier if not _same(instance, content, one)]


def _same(instance: Instance, content: Content | None, one: Earlier) -> bool:
    return _same_bytes(instance, one) or (content is not None and content == one.content)


def _same_bytes(instance: Instance, one: Earlier) -> bool:
    received = instance.received
    return (received.blob.sha256, received.transfer_syntax_uid) == (
        one.sha256,
        one.transfer_syntax_uid,
    )


def _how(instance: Instance, one: Earlier) -> str:
    if _same_bytes(instance, one):
        return ""
    return (
        f"encoded as {instance.received.transfer_syntax_uid} instead of {one.transfer_syntax_uid}"
    )


def _class_of(content: Content | None, others: Iterable[Earlier]) -> str:
    corrects = any(_corrects(content, one.content) for one in others)
    return CORRECTION if corrects else CONFLICT


def _corrects(new: Content | None, old: Content | None) -> bool:
    """Tell whether only whose it is has changed; without pixels, what it says must be the same."""
    if new is None or old is None or new.identity == old.identity:
        return False
    return new.pixels == old.pixels and (bool(new.pixels) or new.rest == old.rest)
