"""spool_asking: the bench's part that asks archives, and decides about whole destinations.

Takes      what happens
Gives      the same done to the spool and to its model; an archive that has what the ledger says
"""

from spool.counting import Filter
from spool.model import Delivery, Outcome, Sent
from spool.store import Spool
from tests.fakes.spool_items import Item, Sending
from tests.fakes.spool_ledger import Ledger
from tests.fakes.spool_model import SpoolModel
from tests.fakes.spool_told import names_of
from tests.fakes.spools import SOP_CLASS

WHO = "person:ann"
LATER_S = 60.0


class Asking:
    """Mixed into the bench."""

    spool: Spool
    model: SpoolModel
    ledger: Ledger

    def sending_of(self, delivery: Delivery | Sent) -> tuple[Item, Sending]:
        item = self.model.items[names_of(self.spool)[delivery.instance_id]]
        for one in item.sendings:
            if (one.destination, one.round) == (delivery.destination, delivery.round):
                return item, one
        raise AssertionError(f"nobody ordered {delivery}")

    def claim_to_ask(self, destination: str, most: int) -> list[tuple[Item, Sending, Sent]]:
        due = self.model.due_questions(destination)
        sents = self.spool.confirming.claim(destination, most)
        assert len(sents) == min(most, len(due)), (sents, due)
        found = [(*self.sending_of(one), one) for one in sents]
        for _, sending, sent in found:
            assert any(one is sending for one in due), "not to be asked about now"
            sending.lease = self.model.new_lease(sent.lease)
        return found

    def find_out(self, item: Item, sending: Sending, sent: Sent, finding: str) -> str:
        """Do as the stage does, never against the truth; return what; raise what the spool does."""
        confirming, finding = self.spool.confirming, self._truth(item, sending, finding)
        if finding == "confirmed":
            confirming.confirmed(sent, "query")
            self.model.confirmed(item, sending)
        elif finding == "later":
            confirming.later(sent, "not-there", "", LATER_S)
            self.model.asked_later(sending, LATER_S)
        elif finding == "missing":
            confirming.missing(sent, "not-there", "")
            self.ledger.took.discard((sending.destination, item.uid, item.data))
            self.model.missing(item, sending)
        elif finding == "hold":
            confirming.hold(sent, "altered-there", "")
            self.model.held_there(item, sending)
        else:
            confirming.give_back(sent)
            if sending.lease and sending.lease.mark == sent.lease:
                sending.lease = None
        return finding

    def ask_for_commitment(self, destination: str, within_s: float) -> None:
        found = self.claim_to_ask(destination, 10)
        if found:
            sents = [sent for _, _, sent in found]
            uid = self.spool.committing.begin(destination, sents, within_s)
            self.spool.committing.asked(uid)
            self.model.begin(uid, [sending for _, sending, _ in found], within_s)

    def report(self, which: int) -> str:
        """Let an archive report on one of the transactions; return its UID, "" for none."""
        uids = list(self.model.deadlines)  # in their order: a UID is random
        if not uids:
            assert not self.spool.committing.reported("2.25.1", [], [])
            return ""
        uid = uids[which % len(uids)]
        pairs = [(SOP_CLASS, item.uid) for item, _ in self.model.tied_to(uid)]
        known = self.spool.committing.reported(uid, pairs, [])
        assert known or not pairs, "forgotten while somebody waits for it"
        return uid

    def act_on_reports(self, uid: str, finding: str) -> None:
        """Act on what was reported, `finding` for each; nothing but that is to be acted on."""
        expected = [sending for _, sending in self.model.tied_to(uid)] if uid else []
        for destination in sorted({one.destination for one in expected}):
            outcomes = self.spool.committing.outcomes(destination)
            assert len(outcomes) == len(expected)
            for outcome in outcomes:
                self._act(outcome, uid, finding)

    def end_asking(self) -> None:
        """Do what the stages do when they start."""
        for destination in sorted({one.destination for _, one in self._all_sendings()}):
            self.spool.confirming.end_leases(destination)
        for _, one in self._all_sendings():
            if one.state == "sent" and not one.is_firm:
                one.lease = None
                one.check_at = min(one.check_at, self.model.clock.now_s + 3600.0)

    def close_what_is_overdue(self, destination: str) -> None:
        expected = self.model.overdue(destination)
        found = self.spool.committing.overdue(destination)
        assert {one.uid for one in found} == expected
        for one in found:
            self.spool.committing.close(one.uid, "commitment-silent")
            self.model.close(one.uid)

    def ask_about_everything(self) -> None:
        """Find out the truth about all that is sent; no transaction keeps any from being asked."""
        for destination in sorted({one.destination for _, one in self._all_sendings()}):
            self.close_what_is_overdue(destination)
            for item, sending, sent in self.claim_to_ask(destination, 1000):
                is_there = (destination, item.uid, item.data) in self.ledger.took
                self.find_out(item, sending, sent, "confirmed" if is_there else "missing")

    # whole destinations

    def pause(self, destination: str) -> None:
        self.spool.operating.pause(destination, WHO)
        self.model.paused.add(destination)

    def resume(self, destination: str) -> None:
        self.spool.operating.resume(destination, WHO)
        self.model.paused.discard(destination)

    def offer(self, to: str) -> None:
        self.spool.operating.offer(to, Filter(), 0.0, WHO)
        self.model.offer(to)

    def move(self, source: str, to: str) -> None:
        self.spool.operating.move_backlog(source, to, WHO)
        self.model.move(source, to)

    def stand_in(self, away: str, to: str) -> None:
        self.spool.operating.stand_in(away, to)
        self.model.stand_in(away, to)

    def stand_down(self, back: str, to: str) -> None:
        self.spool.operating.stand_down(back, to, "keep-there")
        self.model.stand_down(back, to)

    def _act(self, outcome: Outcome, uid: str, finding: str) -> None:
        item, sending = self.sending_of(outcome.sent)
        assert (outcome.transaction_uid, sending.tied) == (uid, uid)
        sending.lease = self.model.new_lease(outcome.sent.lease)
        self.find_out(item, sending, outcome.sent, finding)
        self.spool.committing.done(outcome)
        if sending.state == "sent":
            sending.tied, sending.lease = "", None

    def _truth(self, item: Item, sending: Sending, finding: str) -> str:
        """Return the finding, if the archive may have come to it."""
        key = (sending.destination, item.uid, item.data)
        if key not in self.ledger.took and finding in ("confirmed", "missing"):
            return "missing" if finding == "missing" else "later"
        others = [
            one
            for other, one in self._all_sendings()
            if one is not sending and (one.destination, other.uid, other.data) == key
        ]
        is_relied_on = any(one.state in ("sent", "confirmed") for one in others)
        return "later" if finding == "missing" and is_relied_on else finding

    def _all_sendings(self) -> list[tuple[Item, Sending]]:
        return [(item, one) for item in self.model.items.values() for one in item.sendings]
