"""findings: what becomes of a delivery once something was found out about it.

Takes      what an archive said of one object
Gives      confirmed; asked again later; superseded, so that it is sent again; held
Logs       confirmed, asked-again, missing, altered, held, lost

Patience: an archive may take a while to show what it has taken. An object counts as missing when it
was not there at `ASKED_MOST` checks, each twice as long after the one before; each time that it was
sent again the waits are four times as long. With the default of 5 s that is 160 s, then 10 minutes,
then 40; after that a person is asked.
"""

from gateway import logs
from gateway.config.model import Destination
from spool.errors import LostClaim
from spool.model import Sent
from spool.store import Spool

ASKED_MOST = 6
LATER_MOST_S = 3600.0
#: The shortest first wait: without one an archive would be asked without end.
FIRST_LEAST_S = 0.01


class Findings:
    """Acts on what was found out, one delivery at a time; a claim that was lost is only told."""

    def __init__(self, spool: Spool, destination: Destination) -> None:
        self._spool, self._name = spool, destination.name
        self._first_s = max(destination.confirm_after_s, FIRST_LEAST_S)
        self.who = f"confirm@{destination.name}"

    def there(self, sent: Sent, how: str) -> None:
        """The archive has it; `how` that was found out."""
        try:
            self._spool.confirming.confirmed(sent, how)
        except LostClaim:
            self._lost(sent)
            return
        uid = sent.rendition.sop_instance_uid
        logs.info(self.who, "confirmed", delivery=sent.delivery_id, uid=uid, how=how)
        self._spool.ring("retire")

    def absent(self, sent: Sent, code: str, text: str = "") -> None:
        """The archive says that it does not have it: asked again, in the end sent again."""
        if sent.checks < ASKED_MOST:
            self.later(sent, code, text)
        else:
            self.missing(sent, code, text)

    def missing(self, sent: Sent, code: str, text: str = "") -> None:
        """The archive does not have it: it is sent again in a new round."""
        try:
            self._spool.confirming.missing(sent, code, text)
        except LostClaim:
            self._lost(sent)
            return
        logs.warning(self.who, "missing", delivery=sent.delivery_id, code=code, detail=text)
        self._spool.ring(f"forward@{self._name}")

    def later(self, sent: Sent, code: str, text: str = "", delay_s: float = 0.0) -> None:
        """It stays `sent`, and is asked again."""
        wait_s = delay_s or self._wait_s(sent)
        try:
            self._spool.confirming.later(sent, code, text, wait_s)
        except LostClaim:
            self._lost(sent)
            return
        logs.warning(
            self.who, "asked-again", delivery=sent.delivery_id, code=code, wait_s=round(wait_s, 1)
        )

    def hold(self, sent: Sent, code: str, text: str = "") -> None:
        """An alarm: a person must look."""
        try:
            self._spool.confirming.hold(sent, code, text)
        except LostClaim:
            self._lost(sent)
            return
        logs.error(self.who, "held", delivery=sent.delivery_id, code=code, detail=text)

    def coerced(self, sent: Sent, what: str) -> None:
        """Write down what the archive coerced: keywords and tags, no values."""
        self._spool.confirming.note(sent, "coerced", what)

    def _wait_s(self, sent: Sent) -> float:
        patience = 4.0 ** min(sent.round - 1, 3) * 2.0 ** min(max(sent.checks - 1, 0), 20)
        return min(self._first_s * patience, LATER_MOST_S)

    def _lost(self, sent: Sent) -> None:
        logs.warning(self.who, "lost", delivery=sent.delivery_id)
