"""prepare: received -> ready, decide what becomes of each instance.

Takes      the most urgent received instance that is due
Gives      ready, with its renditions and one delivery per destination, in one transaction;
           merged, when it repeats an earlier one
Defers     the disk or a codec that was closed: tried again after a while; an earlier instance of
           its UID that goes first
Holds      structure, uid-mismatch, no-sop-instance-uid, conflict, correction, withdrawn-before,
           no-route, no-destination, route-unclear, damaged, unexpected
Repeats    after a crash the work is done anew; a rendition without a row is nobody's
Logs       ready, merged, held, deferred

The steps, in their order: structure, content, again, routes, packing. A new concern is a new step.
"""

import os
import sqlite3
from collections.abc import Sequence

from gateway import logs
from gateway.codec.errors import CodecClosed
from gateway.codec.pool import Codec
from gateway.config.model import Settings
from gateway.prepare import again, routes, structure
from gateway.prepare.content import content_of
from gateway.prepare.facts import open_facts
from gateway.prepare.packing import discard_new, packed, place_of
from gateway.services.callers import source_of
from gateway.worker import Loop
from spool.blobfile import verify_rendition
from spool.errors import Damaged, Defer, Hold, LostClaim, SpoolFull
from spool.model import Arrival, Content, Decision, Instance
from spool.store import Spool

WHO = "prepare"

#: An instance that was begun so often and never ended takes the process with it.
ATTEMPTS_MOST = 5
DEFER_S = 15.0


class Prepare:
    """One turn decides one instance; each loop that finds work `wakes` the next."""

    def __init__(self, settings: Settings, spool: Spool, codec: Codec, wakes: str) -> None:
        self._settings, self._spool, self._codec, self._wakes = settings, spool, codec, wakes

    def turn(self) -> float:
        """Decide one instance; return the seconds until the next may be due."""
        instance = self._spool.preparing.claim()
        if instance is None:
            due_s = self._spool.preparing.next_due_s()
            return 60.0 if due_s is None else max(due_s, 0.1)
        self._spool.ring(self._wakes)  # where there is one, there may be more
        try:
            self._decide(instance)
        except LostClaim:
            logs.warning(WHO, "lost", instance=instance.id)
        return 0.0

    def _decide(self, instance: Instance) -> None:
        try:
            self._examine(instance)
        except Hold as held:
            self._spool.preparing.hold(instance, held.code, held.detail)
            logs.error(WHO, "held", instance=instance.id, code=held.code, detail=held.detail)
        except Defer as later:
            self._spool.preparing.defer(instance, later.code, later.detail, DEFER_S)
            logs.warning(WHO, "deferred", instance=instance.id, code=later.code)

    def _examine(self, instance: Instance) -> None:
        if instance.attempts > ATTEMPTS_MOST:
            raise Hold("unexpected", "the process ended on it again and again")
        try:
            self._steps(instance)
        except (Hold, Defer, LostClaim):
            raise
        except (Damaged, FileNotFoundError, EOFError) as fault:
            raise Hold("damaged", str(fault)) from fault
        except SpoolFull as fault:
            raise Defer("no-room") from fault
        except (CodecClosed, OSError, sqlite3.OperationalError) as fault:
            raise Defer("interrupted", type(fault).__name__) from fault
        except Exception as fault:
            # What a stranger's bytes may do to a parser is not foreseeable: this one item waits
            # for a person, the next goes on. The text may hold data: only the type is told.
            raise Hold("unexpected", type(fault).__name__) from fault

    def _steps(self, instance: Instance) -> None:
        preparing, rule = self._spool.preparing, self._rule_of(instance.arrival)
        earlier = preparing.earlier.of(instance)
        again.must_wait(instance, earlier, rule)
        verify_rendition(instance.at_hand)
        belongs = structure.examine(instance)
        content = self._content(instance, walked=belongs.walked)
        if earlier:
            preparing.know(instance, content)
        found = again.judge(instance, content, earlier, rule, preparing.earlier.are_whole)
        if found.repeats:
            preparing.merge(instance, found.repeats, found.how)
            logs.info(WHO, "merged", instance=instance.id, into=found.repeats)
            return
        self._put_down(instance, belongs, content, found)

    def _rule_of(self, arrival: Arrival) -> again.OnConflict:
        kind, _, calling_ae = arrival.door.partition(":")
        known = self._settings.source if kind == "ae" else ()
        source = source_of(known, calling_ae, arrival.peer_address)
        return source.on_conflict if source else "hold"

    def _content(self, instance: Instance, *, walked: bool) -> Content | None:
        if instance.content or not walked:
            return instance.content
        return content_of(place_of(instance.at_hand), self._codec)

    def _put_down(
        self,
        instance: Instance,
        belongs: structure.Belongs,
        content: Content | None,
        found: again.Again,
    ) -> None:
        wanted = self._routed(instance)
        makes = belongs.walked and not found.cancelled
        blobs = self._spool.blobs
        send = packed(instance, wanted, self._codec, blobs, makes=makes)
        decision = Decision(
            belongs.study_instance_uid,
            belongs.series_instance_uid,
            renditions=send.renditions,
            deliveries=send.deliveries,
            content=content,
            behind=found.behind,
            cancelled=found.cancelled,
            notes=found.notes + send.notes,
        )
        try:
            self._spool.preparing.ready(instance, decision)
        except LostClaim:
            discard_new(send.renditions, blobs)
            raise
        logs.info(WHO, "ready", instance=instance.id, uid=instance.arrival.sop_instance_uid)
        for name, _ in decision.deliveries:
            self._spool.ring(f"forward@{name}")

    def _routed(self, instance: Instance) -> Sequence[routes.Wanted]:
        """Return what each destination is to get.

        Raises
        ------
        Hold
            There is none, or a rule cannot be judged: nothing is left without a word.
        """
        place, inside = place_of(instance.at_hand), routes.asks_inside(self._settings)
        with open_facts(instance.arrival, place, inside=inside) as facts:
            found = routes.route(self._settings, facts, instance.waived)
        if found.code:
            raise Hold(found.code, found.detail)
        return found.wanted


def workers(settings: Settings) -> int:
    """Return how many encoders may work at once."""
    return settings.compress.workers or len(os.sched_getaffinity(0))


def parts(settings: Settings, spool: Spool, codec: Codec) -> list[Loop]:
    """Return one loop per encoder, so that single frames fill the cores as a cine does."""
    spool.preparing.end_leases()
    names = [WHO, *(f"{WHO}-{number}" for number in range(1, workers(settings)))]
    found = []
    for name, next_one in zip(names, [*names[1:], ""], strict=True):
        stage = Prepare(settings, spool, codec, next_one)
        found.append(
            Loop(
                name,
                stage.turn,
                spool.doorbell(name),
                break_off=codec.close,
                give_back=spool.preparing.give_back,
            )
        )
    return found
