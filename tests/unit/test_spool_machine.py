"""The real spool against a plain model: whatever happens in whatever order, no promise is broken.

A step is what a stage, a person, a clock, a crash or a lost file may do. After each one every row
is what the model foretells, and every object that was acknowledged is here, or delivered, or taken
back by a person. At the end everything that waits is let go on, and must arrive.
"""

import os
from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from spool.errors import LostClaim
from spool.model import Delivery, Instance, Priority, Sent
from spool.rows import WAIT_MOST_S
from tests.fakes.spool_bench import DESTINATIONS, Bench
from tests.fakes.spool_items import Item, Sending
from tests.fakes.spool_told import counted, differences, foretold, history, tallied, told

HOUR_S, DAY_S, YEAR_S = 3600.0, 86400.0, 365 * 86400.0
GIVE_UP_S, RETRY_MOST_S = 14 * DAY_S, WAIT_MOST_S
DECISIONS = ("hold", "release", "retry", "cancel", "withdraw", "restore", "resend")
OF_A_WHOLE = ("pause", "resume", "resume", "offer", "move", "stand in", "stand down")
STOPS = ("hold", "cancel", "withdraw")

any_one = st.integers(0, 1 << 16)
destination = st.sampled_from(DESTINATIONS)
anywhere = st.sampled_from(("", "", *DESTINATIONS))
outcome = st.sampled_from(("ready", "ready", "compressed", "compressed", "hold", "defer"))
answer = st.sampled_from(("sent", "settled", "defer", "away", "refuse", "hold", "give_back"))

finding = st.sampled_from(("confirmed", "later", "missing", "missing", "hold", "give_back"))

UPKEEP = (
    *("tend", "retire", "retire early", "empty the trash", "trim", "scrub", "back up"),
    *("destination back", "stages start"),
)
MISHAPS = (
    *("crash", "crash that undoes unlinks", "crash before the row", "power cut"),
    *("database lost", "database and backups lost", "lost files back"),
    *("clock a year back", "clock a year on", "clock an hour back"),
)

STEPS: Counter[str] = Counter()


class SpoolMachine(RuleBasedStateMachine):
    """What may happen to a spool."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.clock, self.model = self.bench.clock, self.bench.model
        self.claims: list[tuple[str, Instance]] = []
        self.taken: list[tuple[Item, Sending, Delivery]] = []
        self.asked: list[tuple[Item, Sending, Sent]] = []
        self.written: list[tuple[object, ...]] = []  #: the history as it was

    def teardown(self) -> None:
        try:
            self._crash()
            self.no_promise_is_broken()
            self.bench.let_everything_arrive()
        finally:
            self.bench.close()

    # intake

    @initialize(
        outcomes=st.lists(outcome, min_size=2, max_size=4),
        answers=st.lists(st.tuples(destination, answer), max_size=5),
    )
    def begin_with_some(self, outcomes: list[str], answers: list[tuple[str, str]]) -> None:
        for number, outcome in enumerate(outcomes, 1):
            self.receive(number, "a", "ae:US1", Priority.NORMAL)
            self.claim_and_prepare(outcome)
        for destination, answer in answers:
            self.claim_and_send(destination, answer)
        for _ in range(2):  # trusted time begins with the first look at the clock
            self.bench.tend(GIVE_UP_S, RETRY_MOST_S)
            self.clock.pass_s(HOUR_S)

    @rule(
        number=st.integers(1, 5),
        variant=st.sampled_from("aaab"),
        door=st.sampled_from(("ae:US1", "ae:CT1", "folder:export")),
        priority=st.sampled_from(Priority),
    )
    def receive(self, number: int, variant: str, door: str, priority: Priority) -> None:
        self._count("receive")
        self.bench.receive(f"1.2.{number}", f"{number}{variant}".encode(), door, priority)

    # prepare

    @rule()
    def claim_to_prepare(self) -> None:
        self._count("claim")
        due = self.model.due_items()
        instance = self.bench.spool.preparing.claim()
        if instance is None:
            assert not due
            return
        name = instance.received.blob.name
        item = self.model.items[name]
        assert any(one is item for one in due), "not due, or less urgent than another"
        item.lease = self.model.new_lease(instance.lease)
        self.claims.append((name, instance))

    @precondition(lambda self: self.claims)
    @rule(which=any_one, outcome=outcome)
    def prepare(self, which: int, outcome: str) -> None:
        self._count(f"prepare {outcome}")
        name, instance = self.claims[which % len(self.claims)]
        item = self.model.items[name]
        is_mine = item.state == "received" and item.lease and item.lease.mark == instance.lease
        try:
            self.bench.prepare(name, instance, outcome)
        except LostClaim:
            assert not is_mine
        else:
            assert is_mine

    @rule(outcome=outcome)
    def claim_and_prepare(self, outcome: str) -> None:
        known = len(self.claims)
        self.claim_to_prepare()
        if len(self.claims) > known:
            self.prepare(known, outcome)

    @rule(outcome=outcome, answer=answer)
    def work_off(self, outcome: str, answer: str) -> None:
        """Let the stages work until nothing is due any more."""
        self._count("work off")
        self.bench.work_off(outcome, answer)

    # forward and confirm

    @rule(destination=destination)
    def claim_to_send(self, destination: str) -> None:
        self._count("claim delivery")
        due = self.model.due_sendings(destination)
        delivery = self.bench.spool.delivering.claim(destination)
        if delivery is None:
            assert not due
            return
        item, sending = self.bench.sending_of(delivery)
        assert any(one is sending for one in due), "not due, or less urgent than another"
        assert not item.order_for(destination), "a person has stopped this"
        sending.lease = self.model.new_lease(delivery.lease)
        self.taken.append((item, sending, delivery))

    @precondition(lambda self: self.taken)
    @rule(which=any_one, answer=answer)
    def send(self, which: int, answer: str) -> None:
        self._count(f"send {answer}")
        item, sending, delivery = self.taken[which % len(self.taken)]
        lease = sending.lease
        is_mine = sending.state == "queued" and lease and lease.mark == delivery.lease
        try:
            self.bench.send(item, sending, delivery, answer)
        except LostClaim:
            assert not is_mine
        else:
            assert is_mine or answer == "give_back"

    @rule(destination=destination, answer=answer)
    def claim_and_send(self, destination: str, answer: str) -> None:
        known = len(self.taken)
        self.claim_to_send(destination)
        if len(self.taken) > known:
            self.send(known, answer)

    @rule(destination=destination, most=st.integers(1, 3))
    def claim_to_ask(self, destination: str, most: int) -> None:
        self._count("claim to ask")
        self.asked += self.bench.claim_to_ask(destination, most)

    @precondition(lambda self: self.asked)
    @rule(which=any_one, finding=finding)
    def find_out(self, which: int, finding: str) -> None:
        item, sending, sent = self.asked[which % len(self.asked)]
        is_mine = sending.state == "sent" and sending.lease and sending.lease.mark == sent.lease
        try:
            what = self.bench.find_out(item, sending, sent, finding)
        except LostClaim:
            assert not is_mine
        else:
            self._count(f"found {what}")
            assert is_mine or what == "give_back"

    @rule(destination=destination, finding=finding)
    def claim_and_find_out(self, destination: str, finding: str) -> None:
        self._let_something_be("sent", destination)
        known = len(self.asked)
        self.claim_to_ask(destination, 1)
        if len(self.asked) > known:
            self.find_out(known, finding)

    @rule(destination=destination)
    def ask_for_commitment(self, destination: str) -> None:
        self._count("commitment asked")
        self._let_something_be("sent", destination)
        self.bench.ask_for_commitment(destination, HOUR_S)

    @rule(which=any_one, finding=finding, crashes=st.booleans())
    def report(self, which: int, finding: str, *, crashes: bool) -> None:
        self._count("reported")
        uid = self.bench.report(which)
        if crashes:
            self._crash()
            self.bench.end_asking()
        self.bench.act_on_reports(uid, finding)

    @rule(destination=destination)
    def close_what_is_overdue(self, destination: str) -> None:
        self._count("overdue")
        self.bench.close_what_is_overdue(destination)

    # persons

    @precondition(lambda self: self.model.items)
    @rule(what=st.sampled_from(DECISIONS), which=any_one, destination=anywhere)
    def decide(self, what: str, which: int, destination: str) -> None:
        self._count(what)
        item = self._item(which)
        self.bench.decide(what, item, destination)

    @precondition(lambda self: self.model.items)
    @rule(which=any_one, choice=any_one)
    def decide_what_is_possible(self, which: int, choice: int) -> None:
        item = self._item(which)
        possible = [
            (what, destination)
            for what in DECISIONS
            for destination in ("", *DESTINATIONS)
            if self.bench.may(what, item, destination)
        ]
        if possible:
            what, destination = possible[choice % len(possible)]
            note(f"{what} {destination or 'everywhere'}")
            self._count(what)
            self.bench.decide(what, item, destination)

    @precondition(lambda self: self.model.items)
    @rule(what=st.sampled_from(STOPS), which=any_one, destination=anywhere)
    def crash_behind_the_file_of_a_decision(self, what: str, which: int, destination: str) -> None:
        item = self._item(which)
        if item.on_disk and self.bench.may(what, item, destination):
            self._count(f"{what} cut short")
            self.bench.write_decision_only(what, item, destination)
            self._crash()

    @rule(what=st.sampled_from(OF_A_WHOLE), one=destination, other=destination)
    def decide_about_a_destination(self, what: str, one: str, other: str) -> None:
        self._count(what)
        self._let_something_be("queued", one)
        {
            "pause": lambda: self._pause(one),
            "resume": lambda: [self.bench.resume(name) for name in DESTINATIONS],
            "offer": lambda: self.bench.offer(one),
            "move": lambda: one == other or self.bench.move(one, other),
            "stand in": lambda: one == other or self.bench.stand_in(one, other),
            "stand down": lambda: one == other or self.bench.stand_down(one, other),
        }[what]()

    # time and upkeep

    @rule(seconds=st.sampled_from((1.0, 20.0, HOUR_S, DAY_S, 15 * DAY_S, 31 * DAY_S)))
    def time_passes(self, seconds: float) -> None:
        self._count("time")
        self.clock.pass_s(seconds)

    @rule(what=st.sampled_from(UPKEEP), destination=destination)
    def keep(self, what: str, destination: str) -> None:
        self._count(what)
        {
            "tend": lambda: self.bench.tend(GIVE_UP_S, RETRY_MOST_S),
            "retire": lambda: self.bench.retire(30 * DAY_S),
            "retire early": lambda: self.bench.retire(0),
            "empty the trash": lambda: self.bench.empty_trash(30 * DAY_S),
            "trim": self.bench.trim,
            "scrub": self._scrub,
            "back up": self.bench.back_up,
            "destination back": lambda: self.bench.come_back(destination),
            "stages start": lambda: self.bench.end_leases(RETRY_MOST_S),
        }[what]()

    # what must not matter

    @rule(what=st.sampled_from(MISHAPS))
    def mishap(self, what: str) -> None:
        self._count(what)
        {
            "crash": self._crash,
            "crash that undoes unlinks": lambda: self._crash(undoes_unlinks=True),
            "crash before the row": self._crash_before_the_row,
            "power cut": self._power_cut,
            "lost files back": self._files_come_back,
            "database lost": lambda: self._lose_database(keep_backups=True),
            "database and backups lost": lambda: self._lose_database(keep_backups=False),
            "clock a year back": lambda: self.clock.step_s(-YEAR_S),
            "clock a year on": lambda: self.clock.step_s(YEAR_S),
            "clock an hour back": lambda: self.clock.step_s(-HOUR_S),
        }[what]()

    @precondition(lambda self: self._has_files())
    @rule(which=any_one, with_database=st.booleans())
    def lose_a_file(self, which: int, with_database: bool) -> None:
        self._count("file lost")
        here = [one for one in self.model.items.values() if one.on_disk]
        item = here[which % len(here)]
        role = sorted(item.on_disk)[0]
        self.bench.lose_file(item, role)
        if with_database:
            self._lose_database(keep_backups=True)
        else:
            self._crash()
            self.model.lose(item, role)

    # after every step

    @invariant()
    def no_promise_is_broken(self) -> None:
        assert not self.bench.ledger.lost(self.model)
        found = differences(told(self.bench.spool), foretold(self.model))
        assert not found, found
        assert tallied(self.bench.spool) == counted(self.bench.spool)
        now = history(self.bench.spool)
        assert now[: len(self.written)] == self.written, "the history was rewritten"
        self.written = now

    def _has_files(self) -> bool:
        return any(one.on_disk for one in self.model.items.values())

    def _count(self, what: str) -> None:
        STEPS[what] += 1

    def _item(self, which: int) -> Item:
        items = list(self.model.items.values())
        return items[which % len(items)]

    def _let_something_be(self, state: str, destination: str) -> None:
        """Bring one more object so far, where none stands so; then it is due in two hours."""
        items = self.model.items.values()
        if not any(one.open_to(destination, state) for one in items):
            self.receive(1 + len(items) % 5, "a", "ae:US1", Priority.STAT)
            self.bench.work_off("compressed", "sent" if state == "sent" else "defer")
        self.clock.pass_s(2 * HOUR_S)

    def _pause(self, destination: str) -> None:
        self.bench.pause(destination)
        self.claim_to_send(destination)
        self.claim_to_ask(destination, 1)

    def _forget_claims(self) -> None:
        self.claims.clear()
        self.taken.clear()
        self.asked.clear()

    def _scrub(self) -> None:
        checked = self.bench.spool.scrubbing.check_next(0)
        assert checked is None or not checked.damage

    def _crash(self, *, undoes_unlinks: bool = False) -> None:
        self._forget_claims()
        self.bench.crash(undoes_unlinks=undoes_unlinks)

    def _power_cut(self) -> None:
        self.clock.reboot()
        self._crash(undoes_unlinks=True)

    def _crash_before_the_row(self) -> None:
        self.bench.leave_a_file_without_a_row()
        self._crash()

    def _files_come_back(self) -> None:
        self.bench.files_come_back()
        self._crash()

    def _lose_database(self, *, keep_backups: bool) -> None:
        self._forget_claims()
        self.bench.lose_database(keep_backups=keep_backups)
        self.written = []


def run(examples: int, steps: int) -> int:
    """Run the machine and return how many steps it took."""
    STEPS.clear()
    run_state_machine_as_test(
        SpoolMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"{STEPS.total()} steps:", dict(STEPS.most_common()))
    return STEPS.total()


def test_three_thousand_steps_break_no_promise() -> None:
    assert run(examples=150, steps=60) >= 3000


@pytest.mark.nightly
@pytest.mark.timeout(6 * 3600)
def test_a_hundred_thousand_steps_break_no_promise() -> None:
    assert run(examples=int(os.environ.get("SPOOL_MACHINE_EXAMPLES", "1500")), steps=100) >= 100_000
