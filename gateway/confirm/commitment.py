"""commitment: the archive is asked to answer for what it has, and reports when it has looked.

Takes      deliveries, as one transaction that is written down before the archive hears of it;
           what was reported, on whatever association and whenever it came
Gives      confirmed, where the archive commits to keep it
Defers     no report in time: asked once more, then by query; refused: by query
Holds      commitment-0119
Repeats    a request whose answer is not known is made anew: archives report twice, we act once

References: PS3.4 annex J (Storage Commitment Push Model); PS3.3 C.14.
"""

from collections.abc import Callable, Sequence

from gateway import logs
from gateway.confirm.failures import Then, row_of
from gateway.confirm.findings import ASKED_MOST, Findings
from gateway.confirm.known import AGAIN_S, Known, Way
from gateway.confirm.query import sought_of
from gateway.destinations.archive import ArchiveAway, Commits, NotAnswered
from spool.model import Outcome, Sent
from spool.store import Spool

#: Asks about one delivery in another way.
AskOtherwise = Callable[[Sent], None]

HOW = "commitment"
#: So many transactions are begun for one delivery; then the archive is asked by query.
TRANSACTIONS_MOST = 2
SILENT = "commitment-silent"


def may_commit(sent: Sent, *, again: bool = False) -> bool:
    """Tell whether it is asked about by commitment still, now or once `again`; else by query."""
    return sent.silent < TRANSACTIONS_MOST and sent.checks + again <= ASKED_MOST


class Commitment:
    """Asks one archive, and acts on its reports."""

    def __init__(
        self, spool: Spool, known: Known, findings: Findings, destination: str, within_s: float
    ) -> None:
        self._committing, self._known, self._findings = spool.committing, known, findings
        self._name, self._within_s = destination, within_s

    def ask(self, archive: Commits, sents: Sequence[Sent]) -> None:
        """Begin a transaction. Raises ArchiveAway; the transaction is closed then."""
        uid = self._committing.begin(self._name, sents, self._within_s)
        try:
            archive.commit(uid, [sought_of(one) for one in sents])
        except NotAnswered as refused:
            self._committing.refused(uid, refused.code, refused.detail)
            self._shut(refused.code, refused.detail)
        except ArchiveAway as away:
            # Whether it heard is not known: what it reports counts all the same.
            self._committing.close(uid, away.code)
            if not all(may_commit(one, again=True) for one in sents):
                self._shut("commitment-refused", f"{away.code} {away.detail}".strip())
            raise
        else:
            self._committing.asked(uid)
            logs.info(self._findings.who, "asked", transaction=uid, deliveries=len(sents))

    def end_cut_off(self) -> None:
        """Close what a kill cut off before the archive's answer: it is asked about anew."""
        for uid in self._committing.cut_off(self._name):
            self._committing.close(uid, "interrupted")

    def act(
        self, query: AskOtherwise, doubted: AskOtherwise, is_believed: Callable[[Sent], bool]
    ) -> int:
        """Act on what was reported; return on how many deliveries.

        Parameters
        ----------
        query, doubted
            Ask about what the archive does not commit to, and about what it has under a UID that
            went there with other bytes, too.
        is_believed
            Tells whether a commitment is enough for this one.
        """
        outcomes = self._committing.outcomes(self._name)
        for outcome in outcomes:
            self._known.answers(Way.COMMITMENT)
            self._act(outcome, query, doubted, is_believed)
            self._committing.done(outcome)
        return len(outcomes)

    def end_overdue(self) -> int:
        """Close what was not reported in time; return how many transactions."""
        overdue = self._committing.overdue(self._name)
        for transaction in overdue:
            self._committing.close(transaction.uid, SILENT)
            logs.warning(self._findings.who, "no-report", transaction=transaction.uid)
            if transaction.asked >= TRANSACTIONS_MOST:
                self._shut(SILENT, "", AGAIN_S[Way.COMMITMENT])
        return len(overdue)

    def _act(
        self,
        outcome: Outcome,
        query: AskOtherwise,
        doubted: AskOtherwise,
        is_believed: Callable[[Sent], bool],
    ) -> None:
        sent = outcome.sent
        if outcome.failure is None:
            if is_believed(sent):
                self._findings.there(sent, HOW)
            else:
                doubted(sent)
            return
        row = row_of(outcome.failure)
        text = f"{outcome.failure:04X} {row.meaning}"
        if row.then is Then.QUERY:
            query(sent)
        elif row.then is Then.MISSING:
            self._findings.absent(sent, row.code, text)
        elif row.then is Then.HELD:
            self._findings.hold(sent, row.code, text)
        else:
            self._findings.later(sent, row.code, text)

    def _shut(self, code: str, text: str, again_s: float = 0.0) -> None:
        if self._known.shut(Way.COMMITMENT, code, text, again_s) == 1:
            logs.warning(self._findings.who, "by-query", code=code, detail=text)
