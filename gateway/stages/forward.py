"""forward: queued -> sent, hand over to one archive.

Takes      the most urgent due deliveries of this destination, as many as its kind sends at once,
           while its breaker is closed and nobody has paused it
Gives      sent, when the archive answered success or a warning
Defers     no route, rejected, lost, busy: doubled up to retry_most_s, never given up by count
Holds      an object that is refused forward.refusals times; an answer that no table has; no
           transfer syntax in common; a file that is gone
Repeats    after a crash the same bytes go again: the archive sees the SOP Instance UID twice
Logs       sent, deferred, refused, held, lost, away, back, and what failover logs; stranded: what
           waits for a destination that the configuration no longer has

What one object of a batch meets is its own: the others go on. The `associations` of a destination
are so many loops, which share its doorbell and its breaker; the first asks an archive that is away.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from gateway import logs
from gateway.claims import Claims
from gateway.codec.errors import CodecClosed
from gateway.codec.pool import Codec
from gateway.config.model import Destination, Settings
from gateway.destinations.archive import Answer, ArchiveAway, NotAnswered
from gateway.destinations.kinds import archive_of
from gateway.dicom.request import UnreadableFile
from gateway.dicom.status import Verdict
from gateway.outage import Outage, stranded
from gateway.prepare.ladder import Ladder
from gateway.worker import Loop, SharedBell
from spool.blobfile import verify_rendition
from spool.breakers import Breaker
from spool.errors import Damaged, Defer, Hold, LostClaim, SpoolFull
from spool.model import Delivery
from spool.store import Spool

#: Nothing is due: whoever puts something down rings.
REST_S = 60.0


class Forward:
    """One turn hands over one batch, over one connection.

    Parameters
    ----------
    lane
        Which of the destination's connections this is, from 1.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        codec: Codec,
        destination: Destination,
        *,
        lane: int = 1,
    ) -> None:
        self._spool, self._destination, self._lane = spool, destination, lane
        self._refusals_most = settings.forward.refusals
        self._name, self.who = destination.name, f"forward@{destination.name}"
        self.archive = archive_of(settings, destination, spool)
        self._ladder, self._outage = Ladder(spool, codec), Outage(spool, destination, self.who)
        self._claims = Claims(spool, destination, self._outage)
        self.give_back = self._claims.give_all_back
        self._ending, self._all_settled, self._busy = False, False, 0
        self._quiet_until = 0.0  #: seconds of the boot
        self._alone_left = 0  #: so many go one by one: a batch of them was lost as a whole

    def turn(self) -> float:
        """Hand over one batch; return the seconds until the next may be due."""
        if self._spool.operating.is_paused(self._name):
            return self._rest(REST_S)
        if (quiet_s := self._quiet_until - self._spool.clock.boottime()) > 0:
            return self._rest(quiet_s)
        breaker = self._spool.breakers.get(self._name)
        if breaker.state != "closed":
            return self._away(breaker)
        deliveries = self._claim()
        if deliveries:
            self._hand_over(deliveries, last=False)
            return 0.0
        if self._settles_unasked():
            return 0.0
        due_s = self._spool.delivering.next_due_s(self._name)
        return self._rest(REST_S if due_s is None else max(due_s, 0.05))

    def end_leases(self) -> None:
        """End the claims that this stage, which is alone, has left."""
        self._spool.delivering.end_leases(self._name, self._destination.retry_most_s)

    def break_off(self) -> None:
        """End a transfer that hangs; its deliveries are given back."""
        self._ending = True
        self.archive.interrupt()

    def _claim(self) -> list[Delivery]:
        batch = self.archive.batch()
        count_most = 1 if self._alone_left else batch.count_most
        self._alone_left = max(0, self._alone_left - 1)
        found = self._claims.take(count_most, batch.bytes_most)
        if found and self._destination.associations > 1:
            self._spool.ring(self.who)  # there may be more, and a ring was for all
        return found

    def _settles_unasked(self) -> bool:
        """Settle some of what was sent while the archive was still to be asked; now it is not."""
        if self._destination.confirm != "none" or self._lane > 1 or self._all_settled:
            return False
        self._all_settled = not self._spool.confirming.settle_unasked(self._name)
        return not self._all_settled

    def _rest(self, wait_s: float) -> float:
        """Return how long to wait; a connection that was idle for long enough ends."""
        idle_s = self.archive.idle_left_s()
        if idle_s is None:
            return wait_s
        if idle_s <= 0:
            self.archive.release()
            return wait_s
        return min(wait_s, idle_s)

    def _away(self, breaker: Breaker) -> float:
        if self._lane > 1:
            return self._rest(REST_S)
        self._outage.fail_over()
        wait_s = self._outage.wait_s(breaker)
        if wait_s > 0:
            return wait_s
        try:
            with suppress(NotAnswered):  # it is there: what it refuses, it may tell of each object
                self.archive.probe()
        except ArchiveAway as fault:
            failures = breaker.failures + 1
            self._outage.open(fault.code, fault.detail, failures, fault.retry_after_s)
            return 0.05
        self._outage.end(breaker)
        return 0.0

    def _hand_over(self, deliveries: Sequence[Delivery], *, last: bool) -> None:
        """Send what is, to the last bit, what was written; act on each answer.

        Parameters
        ----------
        last
            No other transfer syntax is tried any more.
        """
        sound = [
            one for one in deliveries if self._alone(one, partial(verify_rendition, one.rendition))
        ]
        if not sound:
            return
        try:
            answers = self._send(sound)
        except sqlite3.Error:
            raise
        except ArchiveAway as fault:
            self._not_answered(sound, fault)
        except Exception as fault:
            self._not_sent(sound, fault)
        else:
            self._answered(sound, answers, last=last)

    def _send(self, deliveries: Sequence[Delivery]) -> Sequence[Answer]:
        answers = self.archive.send(
            [one.rendition for one in deliveries],
            lambda: self._spool.delivering.ahead(self._name),
        )
        if len(answers) != len(deliveries):
            raise RuntimeError(f"{len(answers)} answers about {len(deliveries)} objects")
        return answers

    def _answered(
        self, deliveries: Sequence[Delivery], answers: Sequence[Answer], *, last: bool
    ) -> None:
        again: list[Delivery] = []
        busy = next((one for one in answers if one.verdict is Verdict.BUSY), None)
        for delivery, answer in zip(deliveries, answers, strict=True):
            self._alone(delivery, partial(self._act, delivery, answer, None if last else again))
        if busy:
            self._busy += 1
            self._outage.open(*_told(busy), self._busy, busy.retry_after_s)
        if again:
            self._hand_over(again, last=True)

    def _act(self, delivery: Delivery, answer: Answer, again: list[Delivery] | None) -> None:
        """Do what the answer asks for; what is to be handed over anew goes to `again`."""
        if answer.verdict is Verdict.SENT:
            self._busy = 0
            self._claims.sent(delivery, f"{answer.code} {answer.text}".strip())
        elif answer.verdict is Verdict.BUSY:
            self._claims.defer(delivery, answer.code, answer.text, away=True)
        elif answer.verdict is Verdict.OTHER_SYNTAX:
            if again is None:
                raise Hold("no-syntax-in-common", " ".join(sorted(answer.accepted)))
            again.append(self._ladder.next_rung(delivery, answer.accepted))
        elif answer.verdict is Verdict.HELD or delivery.refusals + 1 >= self._refusals_most:
            self._claims.hold(delivery, answer.code, answer.text)
        else:
            self._claims.refuse(delivery, answer.code, answer.text)

    def _alone(self, delivery: Delivery, work: Callable[[], None]) -> bool:
        """Do `work` for this delivery; what that meets is its own. Tell whether it was done."""
        try:
            try:
                work()
            except Exception as fault:
                self._met(delivery, fault)
                return False
        except LostClaim:
            self._claims.lost(delivery)
            return False
        return True

    def _met(self, delivery: Delivery, fault: Exception) -> None:
        """Translate what one object met."""
        if isinstance(fault, LostClaim | sqlite3.Error):
            raise fault
        if isinstance(fault, Hold):
            self._claims.hold(delivery, fault.code, fault.detail)
        elif isinstance(fault, Damaged | UnreadableFile | FileNotFoundError):
            self._claims.hold(delivery, "damaged", str(fault))
        elif isinstance(fault, Defer | CodecClosed | SpoolFull | OSError):
            code = fault.code if isinstance(fault, Defer) else "interrupted"
            self._claims.defer(delivery, code, str(fault))
        else:
            # As in prepare: what a stranger's bytes do to a parser waits for a person, alone.
            self._claims.hold(delivery, "unexpected", type(fault).__name__)

    def _not_answered(self, deliveries: Sequence[Delivery], fault: ArchiveAway) -> None:
        """Nothing is known of any of them: they are handed over again."""
        if self._ending:
            self._claims.give_back(deliveries)
        elif fault.whole and self._lane > 1:
            # It may take fewer connections than we have: whether it is away, the first finds out.
            self._quiet_until = self._spool.clock.boottime() + self._destination.probe_most_s
            self._claims.give_back(deliveries)
        elif fault.whole or len(deliveries) == 1:
            for one in deliveries:
                self._alone(one, partial(self._later, one, fault))
            if fault.whole:
                self._outage.open(fault.code, fault.detail, 1, fault.retry_after_s)
        else:
            self._one_by_one(deliveries, fault.code, fault.detail)

    def _later(self, delivery: Delivery, fault: ArchiveAway) -> None:
        least_s = 0.0 if fault.whole else fault.retry_after_s
        self._claims.defer(delivery, fault.code, fault.detail, least_s=least_s, away=fault.whole)

    def _not_sent(self, deliveries: Sequence[Delivery], fault: Exception) -> None:
        if len(deliveries) > 1:
            self._one_by_one(deliveries, "interrupted", type(fault).__name__)
        else:
            self._alone(deliveries[0], partial(self._met, deliveries[0], fault))

    def _one_by_one(self, deliveries: Sequence[Delivery], code: str, text: str) -> None:
        """Hand each over alone, at once: whose fault it was is known only then."""
        self._alone_left = len(deliveries)
        for one in deliveries:
            self._alone(one, partial(self._claims.again, one, code, text))


def _told(busy: Answer) -> tuple[str, str]:
    """Return code and text for the destination: what is no lack of resources has its own words."""
    if busy.code.startswith(("status-", "stow-")):
        return "busy", f"{busy.code} {busy.text}".strip()
    return busy.code, busy.text


def parts(settings: Settings, spool: Spool, codec: Codec) -> list[Loop]:
    """Return the loops of each destination: a dead one delays no other."""
    for name, left in stranded(settings, spool).items():
        logs.error("forward", "stranded", destination=name, **left)
    return [
        loop
        for destination in settings.destination
        for loop in _lanes(settings, spool, codec, destination)
    ]


def _lanes(settings: Settings, spool: Spool, codec: Codec, destination: Destination) -> list[Loop]:
    bell = SharedBell(spool.doorbell(f"forward@{destination.name}"), destination.associations)
    found = []
    for lane in range(1, destination.associations + 1):
        stage = Forward(settings, spool, codec, destination, lane=lane)
        if lane == 1:
            stage.end_leases()
        found.append(
            Loop(
                stage.who if lane == 1 else f"{stage.who}#{lane}",
                stage.turn,
                bell,
                close=stage.archive.release,
                break_off=stage.break_off,
                give_back=stage.give_back,
            )
        )
    return found
