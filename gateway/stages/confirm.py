"""confirm: sent -> confirmed, find out whether the archive has what it said it took.

Takes      what was sent to this destination, `confirm_after_s` after; what an archive reported
Gives      confirmed, as the destination's `confirm` asks: committed, found, or read back the same;
           superseded, with a new round that is sent again, where the archive does not have it
Defers     away, refused, not there yet, not to be told: it stays `sent`, and is asked again
Holds      keeps-vanishing, altered-there, other-identity-there, commitment-0119, damaged: alarms
Repeats    asked twice is asked once; confirmed is final
Logs       confirmed, asked, asked-again, missing, held, no-report, by-query, away, back, lost

A query and a commitment speak of a UID, not of bytes: where other bytes went to the destination
under the same UID, or it had that UID before we ever tried, only what is read back can tell which
of them it keeps.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from gateway import logs
from gateway.backoff import backoff_s
from gateway.codec.errors import CodecClosed
from gateway.codec.pool import Codec
from gateway.config.model import Destination, Settings
from gateway.confirm.commitment import Commitment, may_commit
from gateway.confirm.findings import Findings
from gateway.confirm.known import Known, Way
from gateway.confirm.query import Query, is_sure
from gateway.confirm.readback import Readback
from gateway.destinations.archive import Archive, ArchiveAway, Commits
from gateway.destinations.kinds import archive_of
from gateway.worker import Loop
from spool.errors import LostClaim
from spool.model import Sent
from spool.store import Spool

REST_S = 60.0
#: While a connection is open, it is looked at so often.
LISTEN_S = 0.5
#: So many are asked about at once.
BATCH_MOST = 100


class Confirm:
    """One turn asks one archive about what is due, or acts on what it reported."""

    def __init__(
        self, spool: Spool, codec: Codec, destination: Destination, archive: Archive
    ) -> None:
        self._spool, self._destination, self.archive = spool, destination, archive
        self._name, self.who = destination.name, f"confirm@{destination.name}"
        self._known = Known(spool, self._name)
        self._findings = Findings(spool, destination)
        self._query = Query(archive, self._known, self._findings)
        self.readback = Readback(archive, self._known, self._findings, codec, spool)
        self._commitment = Commitment(
            spool, self._known, self._findings, self._name, destination.confirm_within_s
        )
        self._ending, self._one_by_one = False, 0

    def turn(self) -> float:
        """Ask about what is due; return the seconds until the next may be."""
        if self._spool.operating.is_paused(self._name):
            return REST_S
        if shut_s := self._known.shut_s(Way.ASK):
            return shut_s
        if self._act_on_reports() or self._commitment.end_overdue():
            return 0.0
        way = self._way()
        if shut_s := self._known.shut_s(way):
            return shut_s
        return self._ask_what_is_due(way)

    def end_leases(self) -> None:
        """End the claims that this stage, which is alone, has left."""
        self._spool.confirming.end_leases(self._name)
        self._commitment.end_cut_off()

    def break_off(self) -> None:
        """End a question that hangs; what it is about is given back."""
        self._ending = True
        self.archive.interrupt()

    def _way(self) -> Way:
        asked = self._destination.confirm
        if asked == "readback":
            return Way.READBACK
        if asked == "commitment" and not self._known.shut_s(Way.COMMITMENT):
            return Way.COMMITMENT
        return Way.QUERY

    def _ask_what_is_due(self, way: Way) -> float:
        most = 1 if way is Way.READBACK or self._one_by_one else BATCH_MOST
        sents = self._spool.confirming.claim(self._name, most)
        if not sents:
            return self._rest()
        self._one_by_one = max(0, self._one_by_one - 1)
        if way is Way.READBACK:
            self._each(sents, self.readback.ask)
            return 0.0
        self._each([one for one in sents if not is_sure(one)], self._doubted)
        self._together(way, [one for one in sents if is_sure(one)])
        return 0.0

    def _together(self, way: Way, sents: Sequence[Sent]) -> None:
        archive, commits = self.archive, list[Sent]()
        if way is Way.COMMITMENT and isinstance(archive, Commits):
            commits = [one for one in sents if may_commit(one)]
            if commits:
                self._guarded(commits, partial(self._commitment.ask, archive, commits))
        queried = [one for one in sents if one not in commits]
        if queried:
            self._guarded(queried, partial(self._query.ask, queried))

    def _each(self, sents: Sequence[Sent], ask: Callable[[Sent], None]) -> None:
        for one in sents:
            self._guarded([one], partial(ask, one))

    def _act_on_reports(self) -> int:
        return self._commitment.act(self._by_query, self._doubted, self._is_believed)

    def _is_believed(self, sent: Sent) -> bool:
        """Tell whether what the archive says of its UID is enough."""
        return self._destination.confirm != "readback" and is_sure(sent)

    def _by_query(self, sent: Sent) -> None:
        if self._is_believed(sent):
            self._guarded([sent], lambda: self._query.ask([sent]))
        else:
            self._doubted(sent)

    def _doubted(self, sent: Sent) -> None:
        otherwise = "" if is_sure(sent) else "same-uid"
        self._guarded([sent], lambda: self.readback.ask(sent, otherwise))

    def _guarded(self, sents: Sequence[Sent], ask: Callable[[], None]) -> None:
        """Ask about these; whatever prevents it, each is given back or asked again."""
        try:
            ask()
        except ArchiveAway as away:
            self._not_asked(sents, away)
        except (CodecClosed, LostClaim):
            self._give_back(sents)
        except sqlite3.Error:
            raise
        except Exception as fault:
            # As in forward: what a stranger's answer does to a parser concerns this one item; so
            # does a disk that fails at one scratch file.
            self._not_asked(sents, ArchiveAway("unexpected", type(fault).__name__))
        else:
            self._answered()

    def _not_asked(self, sents: Sequence[Sent], away: ArchiveAway) -> None:
        if self._ending:
            self._give_back(sents)
        elif away.whole or away.retry_after_s:
            self._give_back(sents)
            self._shut(away)
        elif len(sents) > 1:
            self._give_back(sents)
            self._one_by_one = len(sents)  # one of them may be what it ends on
        else:
            self._findings.later(sents[0], away.code, away.detail)

    def _give_back(self, sents: Sequence[Sent]) -> None:
        for one in sents:
            self._spool.confirming.give_back(one)

    def _shut(self, away: ArchiveAway) -> None:
        failures = self._known.failures(Way.ASK) + 1
        wait_s = backoff_s(failures, 1.0, self._destination.probe_most_s)
        self._known.shut(Way.ASK, away.code, away.detail, max(wait_s, away.retry_after_s))
        if failures == 1:
            logs.warning(self.who, "away", code=away.code, detail=away.detail)

    def _answered(self) -> None:
        if failures := self._known.failures(Way.ASK):
            logs.info(self.who, "back", failures=failures)
        self._known.answers(Way.ASK)

    def _rest(self) -> float:
        due_s = self._spool.confirming.next_due_s(self._name)
        wait_s = REST_S if due_s is None else max(due_s, 0.05)
        idle_s = self.archive.idle_left_s()
        if idle_s is None:
            return wait_s
        if idle_s <= 0:
            self.archive.release()
            return wait_s
        return min(wait_s, LISTEN_S)  # the archive may report on this very connection


def parts(settings: Settings, spool: Spool, codec: Codec) -> list[Loop]:
    """Return one loop per destination that is to confirm: a dead one delays no other."""
    found = []
    for destination in settings.destination:
        if destination.confirm == "none":
            _settle(spool, destination.name)
            continue
        archive = archive_of(settings, destination, spool=spool)
        stage = Confirm(spool, codec, destination, archive)
        stage.end_leases()
        stage.readback.sweep()
        found.append(
            Loop(
                stage.who,
                stage.turn,
                spool.doorbell(stage.who),
                close=archive.release,
                break_off=stage.break_off,
                give_back=stage.end_leases,
            )
        )
    return found


def _settle(spool: Spool, name: str) -> None:
    """Let `sent` be enough for what was sent while the destination was still to confirm."""
    while spool.confirming.settle_unasked(name):
        pass
