"""prepare: received -> ready, decide what becomes of each instance.

Takes      the most urgent received instance that is due
Gives      ready, with its renditions and one delivery per destination, in one transaction;
           merged, when it repeats an earlier one
Defers     the disk or a codec that was closed: tried again after a while
Holds      structure, uid-mismatch, no-sop-instance-uid, conflict, damaged, unexpected
Repeats    after a crash the work is done anew; a rendition without a row is nobody's
Logs       ready, merged, held, deferred

The steps, in their order: structure, again, routes, renditions. A new concern is a new step.
"""

import os
import sqlite3

from gateway import logs
from gateway.codec.errors import CodecClosed
from gateway.codec.pool import Codec
from gateway.config.model import Settings
from gateway.dicom.syntaxes import JPEG_2000_LOSSLESS
from gateway.prepare import again, routes, structure
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.renditions import compress
from gateway.worker import Loop
from spool.blobfile import verify
from spool.errors import Damaged, Defer, Hold, LostClaim, SpoolFull
from spool.model import Decision, Instance, Rendition, Role
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
        except Hold as held:
            self._spool.preparing.hold(instance, held.code, held.detail)
            logs.error(WHO, "held", instance=instance.id, code=held.code, detail=held.detail)
        except Defer as later:
            self._spool.preparing.defer(instance, later.code, later.detail, DEFER_S)
            logs.warning(WHO, "deferred", instance=instance.id, code=later.code)
        return 0.0

    def _decide(self, instance: Instance) -> None:
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
        verify(instance.received.blob.path, instance.received.blob.sha256)
        belongs = structure.examine(instance)
        kept_id = again.repeats(instance, self._spool.preparing)
        if kept_id is not None:
            self._spool.preparing.merge(instance, kept_id)
            logs.info(WHO, "merged", instance=instance.id, into=kept_id)
            return
        to = routes.destinations(self._settings)
        made, notes = self._renditions(instance, walked=belongs.walked)
        decision = Decision(
            belongs.study_instance_uid,
            belongs.series_instance_uid,
            renditions=made,
            destinations=to,
            sends=len(made) - 1,
            notes=notes,
        )
        self._put_down(instance, decision)

    def _put_down(self, instance: Instance, decision: Decision) -> None:
        try:
            self._spool.preparing.ready(instance, decision)
        except LostClaim:
            for one in decision.renditions:
                self._spool.blobs.discard(one.blob.name)
            raise
        logs.info(WHO, "ready", instance=instance.id, uid=instance.arrival.sop_instance_uid)
        for name in decision.destinations:
            self._spool.ring(f"forward@{name}")

    def _renditions(
        self, instance: Instance, *, walked: bool
    ) -> tuple[tuple[Rendition, ...], tuple[tuple[str, str], ...]]:
        if self._settings.compress.transfer_syntax != "jpeg2000-lossless" or not walked:
            return (), ()
        try:
            made = self._compressed(instance)
        except AsReceived as fault:
            return (), (("as-received", f"{fault.code} {fault.detail}".strip()),)
        return (made,), (("compressed", made.recipe),)

    def _compressed(self, instance: Instance) -> Rendition:
        received = instance.received
        about = {
            "role": Role.COMPRESSED,
            "sop_class_uid": received.sop_class_uid,
            "sop_instance_uid": received.sop_instance_uid,
            "transfer_syntax_uid": JPEG_2000_LOSSLESS,
            "door": instance.arrival.door,
            "received_at": instance.received_at,
            "made_from": received.blob.sha256,
        }
        incoming = self._spool.blobs.begin(about)
        try:
            recipe = compress(
                place_of(received),
                self._codec,
                scratch_dir=self._spool.blobs.incoming,
                out=incoming.write,
            )
            blob = incoming.keep()
        finally:
            incoming.drop()
        return Rendition(
            Role.COMPRESSED,
            received.sop_instance_uid,
            received.sop_class_uid,
            JPEG_2000_LOSSLESS,
            blob,
            made_from=received.id,
            recipe=str(recipe),
            proved=True,
        )


def place_of(rendition: Rendition) -> DataSetAt:
    """Return where the rendition's data set lies."""
    blob = rendition.blob
    return DataSetAt(
        blob.path, blob.dataset_offset, blob.dataset_bytes, rendition.transfer_syntax_uid
    )


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
        found.append(Loop(name, stage.turn, spool.doorbell(name), break_off=codec.close))
    return found
