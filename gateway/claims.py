"""claims: what becomes of each delivery that `forward` has claimed; it is written once.

Takes      the deliveries of one turn
Gives      sent
Defers     with backoff, or until the destination is back
Holds      what a person must look at
Repeats    what could not be written is given back, and handed over again
Logs       sent, deferred, refused, held, lost
"""

from collections.abc import Iterable

from gateway import logs
from gateway.backoff import backoff_s
from gateway.config.model import Destination
from gateway.outage import Outage
from spool.model import Delivery
from spool.store import Spool


class Claims:
    """The deliveries that one loop has in hand; each method ends the claim of one.

    All but `take`, `lost` and `give_all_back` raise `LostClaim` where the delivery has moved
    meanwhile.
    """

    def __init__(self, spool: Spool, destination: Destination, outage: Outage) -> None:
        self._spool, self._destination, self._outage = spool, destination, outage
        self._name, self._who = destination.name, f"forward@{destination.name}"
        self._open: dict[int, Delivery] = {}

    def take(self, count_most: int, bytes_most: int) -> list[Delivery]:
        """Claim what is due, of each SOP Instance UID one; an empty list: nothing is."""
        found = self._spool.delivering.claim_batch(self._name, count_most, bytes_most)
        self._open = {one.id: one for one in found}
        # An archive answers by UID: of two under one nobody could tell which it has taken.
        distinct = {one.rendition.sop_instance_uid: one for one in reversed(found)}
        first = [one for one in found if distinct[one.rendition.sop_instance_uid] is one]
        self.give_back([one for one in found if one not in first])
        return first

    def sent(self, delivery: Delivery, detail: str) -> None:
        """Say that the archive answered success; `detail` is its warning."""
        settles = self._destination.confirm == "none"
        after_s = self._destination.confirm_after_s
        self._spool.delivering.sent(delivery, detail, settles=settles, check_after_s=after_s)
        self._end(delivery)
        self._outage.forget()
        logs.info(
            self._who,
            "sent",
            instance=delivery.instance_id,
            delivery=delivery.id,
            uid=delivery.rendition.sop_instance_uid,
            syntax=delivery.rendition.transfer_syntax_uid,
            detail=detail,
        )
        if not settles:
            self._spool.ring(f"confirm@{self._name}")

    def refuse(self, delivery: Delivery, code: str, text: str) -> None:
        """Count a refusal of the object itself, and try again later."""
        wait_s = self.wait_s(delivery.refusals + 1)
        self._spool.delivering.refuse(delivery, code, text, wait_s)
        self._end(delivery)
        self._outage.tell(code, text, wait_s)
        logs.warning(self._who, "refused", delivery=delivery.id, code=code, text=text)

    def defer(
        self, delivery: Delivery, code: str, text: str, *, least_s: float = 0.0, away: bool = False
    ) -> None:
        """Try again after a while, not before `least_s`; or when the destination is back."""
        wait_s = max(self.wait_s(delivery.attempts), least_s)
        self._defer(delivery, code, text, wait_s, away=away)
        if not away:
            self._outage.tell(code, text, wait_s)

    def again(self, delivery: Delivery, code: str, text: str) -> None:
        """Try again at once."""
        self._defer(delivery, code, text, 0.0, away=False)

    def hold(self, delivery: Delivery, code: str, text: str) -> None:
        """Let a person look."""
        self._spool.delivering.hold(delivery, code, text)
        self._end(delivery)
        self._outage.forget()
        logs.error(self._who, "held", delivery=delivery.id, code=code, detail=text)

    def lost(self, delivery: Delivery) -> None:
        """Drop what came of it: a person, or another stage, has moved it meanwhile."""
        self._end(delivery)
        logs.warning(self._who, "lost", delivery=delivery.id)

    def give_back(self, deliveries: Iterable[Delivery]) -> None:
        """End the claims as if they had never been."""
        for delivery in deliveries:
            self._spool.delivering.give_back(delivery)
            self._end(delivery)

    def give_all_back(self) -> None:
        """End the claims of a turn that could not write what became of them."""
        self.give_back(list(self._open.values()))

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after so many failures."""
        return backoff_s(failures, self._destination.retry_first_s, self._destination.retry_most_s)

    def _defer(
        self, delivery: Delivery, code: str, text: str, wait_s: float, *, away: bool
    ) -> None:
        self._spool.delivering.defer(delivery, code, text, wait_s, away=away)
        self._end(delivery)
        logs.warning(
            self._who,
            "deferred",
            delivery=delivery.id,
            code=code,
            detail=text,
            wait_s=int(wait_s),
        )

    def _end(self, delivery: Delivery) -> None:
        self._open.pop(delivery.id, None)
