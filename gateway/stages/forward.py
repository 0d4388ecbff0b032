"""forward: queued -> sent, hand each instance to one archive.

Takes      the most urgent due delivery of this destination, while its breaker is closed
Gives      sent, when the status is success or a warning (PS3.4 B.2.3)
Defers     no route, rejected, lost, A7xx: doubled up to retry_most_s, never given up by count
Holds      A9xx, Cxxx, 0110, 0122, 0124 and the like after forward.refusals tries; a status that no
           table has; no transfer syntax in common; a file that is gone
Repeats    after a crash the same bytes go again: the archive sees the SOP Instance UID twice
Logs       sent, deferred, refused, held, away, back
"""

import sqlite3

from gateway import logs
from gateway.backoff import backoff_s
from gateway.codec.errors import CodecClosed
from gateway.codec.pool import Codec
from gateway.config.model import Destination, Settings
from gateway.destinations.dicom import LADDER, DicomArchive, NotAccepted
from gateway.dicom.malformed import Malformed
from gateway.dicom.request import AssociationFailed, Outcome, UnreadableFile
from gateway.dicom.status import Verdict, row_of
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.proof import prove
from gateway.prepare.renditions import fallback
from gateway.worker import Loop
from spool.blobfile import verify_rendition
from spool.breakers import Breaker
from spool.errors import Damaged, Defer, Hold, LostClaim, SpoolFull
from spool.model import Blob, Delivery, Rendition, Role
from spool.store import Spool

#: What says that the destination as a whole is away; anything else may be the object's fault.
AWAY = ("connection-refused", "connect-timeout", "unreachable", "rejected", "timeout")


class Forward:
    """One turn hands over one instance."""

    def __init__(
        self, settings: Settings, spool: Spool, codec: Codec, destination: Destination
    ) -> None:
        self._spool, self._codec, self._destination = spool, codec, destination
        self._refusals_most = settings.forward.refusals
        self._name, self.who = destination.name, f"forward@{destination.name}"
        self.archive = DicomArchive(destination, settings.gateway.ae_title)
        self._ending, self._busy = False, 0

    def turn(self) -> float:
        """Hand over one instance; return the seconds until the next may be due."""
        breaker = self._spool.breakers.get(self._name)
        if breaker.state != "closed":
            return self._probe(breaker)
        delivery = self._spool.delivering.claim(self._name)
        if delivery is None:
            return self._rest()
        try:
            self._hand_over(delivery)
        except LostClaim:
            logs.warning(self.who, "lost", delivery=delivery.id)
        return 0.0

    def end_leases(self) -> None:
        """End the claims that this stage, which is alone, has left."""
        self._spool.delivering.end_leases(self._name, self._destination.retry_most_s)

    def break_off(self) -> None:
        """End a transfer that hangs; its delivery is given back."""
        self._ending = True
        self.archive.interrupt()

    def _rest(self) -> float:
        due_s = self._spool.delivering.next_due_s(self._name)
        wait_s = 60.0 if due_s is None else max(due_s, 0.05)
        idle_s = self.archive.idle_left_s()
        if idle_s is None:
            return wait_s
        if idle_s <= 0:
            self.archive.release()
            return wait_s
        return min(wait_s, idle_s)

    def _probe(self, breaker: Breaker) -> float:
        wait_s = breaker.next_try_at - self._spool.clock.utc()
        # A clock that was set back must not keep a destination away for as long.
        if 0 < wait_s <= self._destination.probe_most_s:
            return wait_s
        try:
            self.archive.probe()
        except AssociationFailed as fault:
            self._open_breaker(fault.code, fault.detail, breaker.failures + 1)
            return 0.05
        # It can be reached; what it last failed with is told until it takes something.
        told = Breaker(error_code=breaker.error_code, error_text=breaker.error_text)
        self._spool.breakers.put(self._name, told)
        self._spool.breakers.make_due(self._name, spread_s=2.0)
        logs.info(self.who, "back", failures=breaker.failures)
        return 0.0

    def _hand_over(self, delivery: Delivery) -> None:
        try:
            answer = self._send(delivery)
        except AssociationFailed as fault:
            self._failed(delivery, fault)
        except Hold as held:
            self._hold(delivery, held.code, held.detail)
        except (Defer, CodecClosed, SpoolFull, OSError) as later:
            code = later.code if isinstance(later, Defer) else "interrupted"
            self._defer(delivery, code, str(later))
        except (LostClaim, sqlite3.Error):
            raise
        except Exception as fault:
            # As in prepare: what a stranger's bytes do to a parser waits for a person, alone.
            self._hold(delivery, "unexpected", type(fault).__name__)
        else:
            self._answered(delivery, answer)

    def _send(self, delivery: Delivery) -> Outcome:
        try:
            try:
                return self._send_proved(delivery.rendition)
            except NotAccepted as refused:
                frozen = self._other_rendition(delivery, refused.accepted)
                return self._send_proved(frozen.rendition)
        except NotAccepted as refused:
            raise Hold("no-syntax-in-common", " ".join(sorted(refused.accepted))) from refused
        except (Damaged, UnreadableFile, FileNotFoundError) as fault:
            raise Hold("damaged", str(fault)) from fault

    def _send_proved(self, rendition: Rendition) -> Outcome:
        """Send only what is, to the last bit, what was written."""
        verify_rendition(rendition)
        return self.archive.send(rendition, lambda: self._spool.delivering.ahead(self._name))

    def _other_rendition(self, delivery: Delivery, accepted: set[str]) -> Delivery:
        """Return the delivery with a rendition that the archive takes, frozen from now on."""
        known = self._spool.delivering.renditions(delivery)
        usable = [one for one in known if one.proved and one.transfer_syntax_uid in accepted]
        if usable:
            return self._spool.delivering.freeze(delivery, usable[-1])
        target = next((syntax for syntax in LADDER if syntax in accepted), None)
        if target is None:
            code = "no-syntax-in-common" if accepted else "no-context"
            raise Hold(code, " ".join(sorted(accepted)))
        made = self._fallback([*known, delivery.rendition][0], target)
        try:
            return self._spool.delivering.freeze(delivery, made)
        except LostClaim:
            self._spool.blobs.discard(made.blob.name)
            raise

    def _fallback(self, received: Rendition, target: str) -> Rendition:
        """Return a new rendition in `target`, written, read back and proved equal."""
        blob = received.blob
        verify_rendition(received)
        place = DataSetAt(
            blob.path, blob.dataset_offset, blob.dataset_bytes, received.transfer_syntax_uid
        )
        about = {
            "role": Role.FALLBACK,
            "sop_class_uid": received.sop_class_uid,
            "sop_instance_uid": received.sop_instance_uid,
            "transfer_syntax_uid": target,
            "made_from": blob.sha256,
            "made_from_blob": blob.name,
        }
        incoming = self._spool.blobs.begin(about)
        try:
            recipe = fallback(place, target, self._codec, out=incoming.write)
            kept = incoming.keep()
        except (AsReceived, Malformed) as fault:
            raise Hold("no-syntax-in-common", str(fault)) from fault
        finally:
            incoming.drop()
        self._prove(place, kept, target)
        return Rendition(
            Role.FALLBACK,
            received.sop_instance_uid,
            received.sop_class_uid,
            target,
            kept,
            made_from=received.id,
            recipe=str(recipe),
            proved=True,
        )

    def _prove(self, place: DataSetAt, kept: Blob, target: str) -> None:
        made = DataSetAt(kept.path, kept.dataset_offset, kept.dataset_bytes, target)
        try:
            prove(place, made, self._codec)
        except BaseException as fault:
            self._spool.blobs.discard(kept.name)
            if isinstance(fault, AsReceived | Malformed):
                raise Hold("no-syntax-in-common", str(fault)) from fault
            raise

    def _answered(self, delivery: Delivery, answer: Outcome) -> None:
        row = row_of(answer.status)
        code, text = f"status-{answer.status:04X}", row.meaning
        if answer.comment:
            text = f"{text}: {logs.escape(answer.comment)}"
        if row.verdict is Verdict.SENT:
            self._sent(delivery, "" if answer.status == 0 else f"{code} {row.meaning}")
        elif row.verdict is Verdict.BUSY:
            self._defer(delivery, code, text, away=True)
            self._busy += 1
            self._open_breaker("busy", f"{code} {text}", self._busy)
        elif row.verdict is Verdict.HELD or delivery.refusals + 1 >= self._refusals_most:
            self._hold(delivery, code, text)
        else:
            delay_s = self._wait_s(delivery.refusals + 1)
            self._spool.delivering.refuse(delivery, code, text, delay_s)
            self._tell(code, text, delay_s)
            logs.warning(self.who, "refused", delivery=delivery.id, code=code, text=row.meaning)

    def _sent(self, delivery: Delivery, detail: str) -> None:
        self._busy = 0
        settles = self._destination.confirm == "none"
        self._spool.delivering.sent(delivery, detail, settles=settles)
        self._forget()
        logs.info(
            self.who,
            "sent",
            instance=delivery.instance_id,
            delivery=delivery.id,
            uid=delivery.rendition.sop_instance_uid,
            syntax=delivery.rendition.transfer_syntax_uid,
            detail=detail,
        )

    def _failed(self, delivery: Delivery, fault: AssociationFailed) -> None:
        if self._ending:
            self._spool.delivering.give_back(delivery)
            return
        away = fault.code in AWAY
        self._defer(delivery, fault.code, fault.detail, away=away)
        if away:
            self._open_breaker(fault.code, fault.detail, 1)

    def _defer(self, delivery: Delivery, code: str, text: str, *, away: bool = False) -> None:
        delay_s = self._wait_s(delivery.attempts)
        self._spool.delivering.defer(delivery, code, text, delay_s, away=away)
        if not away:
            self._tell(code, text, delay_s)
        logs.warning(
            self.who, "deferred", delivery=delivery.id, code=code, detail=text, wait_s=int(delay_s)
        )

    def _hold(self, delivery: Delivery, code: str, text: str) -> None:
        self._spool.delivering.hold(delivery, code, text)
        self._forget()
        logs.error(self.who, "held", delivery=delivery.id, code=code, detail=text)

    def _tell(self, code: str, text: str, wait_s: float) -> None:
        """Let `status` name the last failure and the next try; nothing else is kept from going."""
        next_try_at = self._spool.clock.utc() + wait_s
        told = Breaker(next_try_at=next_try_at, error_code=code, error_text=text)
        self._spool.breakers.put(self._name, told)

    def _forget(self) -> None:
        """Nothing is left of the last failure: the delivery has come to an end."""
        if self._spool.breakers.get(self._name).error_code:
            self._spool.breakers.put(self._name, Breaker())

    def _open_breaker(self, code: str, text: str, failures: int) -> None:
        wait_s = backoff_s(failures, 1.0, self._destination.probe_most_s)
        next_try_at = self._spool.clock.utc() + wait_s
        self._spool.breakers.put(self._name, Breaker("open", failures, next_try_at, code, text))
        if failures == 1:
            logs.warning(self.who, "away", code=code, detail=text)

    def _wait_s(self, failures: int) -> float:
        return backoff_s(failures, self._destination.retry_first_s, self._destination.retry_most_s)


def parts(settings: Settings, spool: Spool, codec: Codec) -> list[Loop]:
    """Return one loop per destination: a dead one delays no other."""
    found = []
    for destination in settings.destination:
        if destination.kind != "dicom":
            continue
        stage = Forward(settings, spool, codec, destination)
        stage.end_leases()
        found.append(
            Loop(
                stage.who,
                stage.turn,
                spool.doorbell(stage.who),
                close=stage.archive.release,
                break_off=stage.break_off,
                give_back=stage.end_leases,
            )
        )
    return found
