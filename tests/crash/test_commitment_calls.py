"""Every crash point of a storage commitment: the program ends at its n-th system call.

From the claim of what was sent, over the row of the transaction and the N-ACTION, to the report and
what becomes of it: the work process is killed where it asks, and the intake where an archive's
report comes to our port. After each kill and a restart the promise is looked at: what the archive
committed to becomes confirmed, no transaction stays open, and none is asked for without end.

`./test` takes the first and the last of each call; nightly takes every one.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from spool.doorbell import ring
from tests.fakes.appliance import Gateway
from tests.fakes.committing_archive import Asked, CommittingArchive, commit_all, report_to
from tests.fakes.confirming import destination, picture
from tests.fakes.dcmtk import storescu
from tests.fakes.running import Running
from tests.fakes.tampering import counted, fault_at, is_alive

pytestmark = pytest.mark.timeout(3600)

EVERY = [
    pytest.param(False, id="some"),
    pytest.param(True, id="every", marks=pytest.mark.nightly),
]
#: Nothing is asked by itself while a test waits: it is made due and rung for.
NEVER_S = 3600.0
#: A report that a kill took with it is waited for so long.
WITHIN_S = 2.0


@dataclass
class Bench:
    """A gateway whose two processes run apart, and an archive that commits to all it took."""

    gateway: Gateway
    peer: CommittingArchive
    folder: Path
    strace: str
    storescu: str
    sent: list[str] = field(default_factory=list)

    def send(self, work: Running) -> None:
        """Bring one more picture as far as `sent`."""
        path, uid = picture(self.folder)
        assert storescu(self.storescu, self.gateway.port, [path]).acknowledged
        self.sent.append(uid)
        work.wait_for(f"forward@archive sent.*{uid}")

    def ask(self) -> None:
        """Make what was sent due, and ring."""
        with self.database() as db:
            db.execute("UPDATE delivery SET check_at = 0 WHERE state = 'sent'")
            db.commit()
        ring(self.gateway.state_dir / "run", "confirm@archive")

    def unconfirmed(self) -> int:
        with self.database() as db:
            query = "SELECT count(*) FROM delivery WHERE state <> 'confirmed'"
            return int(db.execute(query).fetchone()[0])

    def database(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(self.gateway.state_dir / "db" / "spool.db", timeout=20))

    def until_confirmed(self, process: Running, work: Running) -> None:
        """Return when all is confirmed, or `process` has ended."""
        for _ in range(1200):
            if not is_alive(process.pid) or not self.unconfirmed():
                return
            work.news(len(work.lines), 0.05)
        raise AssertionError("\n".join(work.lines[-30:]))

    def open_transactions(self) -> int:
        with self.database() as db:
            query = "SELECT count(*) FROM commitment WHERE closed_at = 0"
            return int(db.execute(query).fetchone()[0])

    def look(self, work: Running) -> None:
        """Assert that nothing is left open, and nothing was asked for without end."""
        for _ in range(400):
            if not self.open_transactions():
                break
            work.news(len(work.lines), 0.05)
        assert not self.open_transactions()
        assert not self.unconfirmed()
        with self.database() as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            twice = db.execute(
                "SELECT count(*) FROM history WHERE what = 'confirmed' GROUP BY delivery_id"
            ).fetchall()
        assert {count for (count,) in twice} == {1}
        for uid in self.sent:
            times = sum(uid in dict(map(reversed, one.pairs)) for one in self.peer.asked)  # type: ignore[arg-type]
            assert 1 <= times <= 3, f"{uid} was asked about {times} times"


@pytest.fixture
def bench(
    tmp_path: Path, program: Callable[[str], str], free_port: Callable[[], int]
) -> Iterator[Bench]:
    with ExitStack() as ending:
        peer = CommittingArchive()
        ending.callback(peer.close)
        (tmp_path / "pictures").mkdir()
        gateway = Gateway(
            tmp_path,
            listen=[{"kind": "dicom", "address": "127.0.0.1", "port": free_port()}],
            destination=[
                destination(peer.port, "commitment", confirm_within_s=WITHIN_S)
                | {"confirm_after_s": NEVER_S},
            ],
            retain={"days": 30},
        )
        ending.callback(gateway.close)
        yield Bench(gateway, peer, tmp_path / "pictures", program("strace"), program("storescu"))


def places(counts: dict[str, int], *, every: bool) -> list[tuple[str, int]]:
    """Return (call, n): every one, or the first and the last of each call."""
    return [
        (call, when)
        for call, most in sorted(counts.items())
        for when in (range(1, most + 1) if every else sorted({1, most}))
    ]


def say(capsys: pytest.CaptureFixture[str], what: str, tried: list[tuple[str, int]]) -> None:
    names = sorted({call for call, _ in tried})
    with capsys.disabled():
        print(f"\n{what}: {len(tried)} points, {len(names)} calls: {' '.join(names)}", flush=True)


@pytest.mark.parametrize("every", EVERY)
def test_a_kill_at_any_call_from_the_request_to_the_report_loses_no_transaction(
    bench: Bench, capsys: pytest.CaptureFixture[str], *, every: bool
) -> None:
    intake, work = bench.gateway.start("intake"), bench.gateway.begin("work")

    def whole() -> None:
        """Ask, until all is confirmed or the process that works now has ended."""
        bench.ask()
        bench.until_confirmed(work, work)

    bench.send(work)
    whole()  # so that all of it is loaded
    log = bench.folder.parent / "calls"
    bench.send(work)
    chosen = places(counted(bench.strace, work.pid, log, whole), every=every)
    for call, when in chosen:
        bench.send(work)
        fault_at(bench.strace, work.pid, log, call, when, "SIGKILL", whole)
        work.kill()
        work = bench.gateway.begin("work")
        whole()
        assert not bench.unconfirmed(), f"{call} {when}"
    bench.look(work)
    work.kill()
    intake.kill()
    say(capsys, "killed between N-ACTION and report", chosen)
    assert len(chosen) >= 20


@pytest.mark.parametrize("every", EVERY)
def test_a_kill_at_any_call_of_a_report_that_comes_to_our_port_loses_no_report(
    bench: Bench, capsys: pytest.CaptureFixture[str], *, every: bool
) -> None:
    intake, work = bench.gateway.start("intake"), bench.gateway.begin("work")
    taken: list[Asked] = []

    def plan(asked: Asked) -> None:
        asked.answer(0)
        taken.append(asked)

    def report() -> None:
        """Report until the answer is success, as an archive does that was cut off."""
        asked = taken[-1]
        with suppress(OSError):
            assert report_to(bench.gateway.port, asked.transaction_uid, asked.pairs) == 0

    bench.peer.plan = plan

    def begin() -> None:
        known = len(taken)
        bench.send(work)
        bench.ask()
        bench.peer.wait_for(lambda: len(taken) > known)

    begin()
    report()
    bench.until_confirmed(work, work)
    begin()
    log = bench.folder.parent / "calls"
    chosen = places(counted(bench.strace, intake.pid, log, report), every=every)
    bench.until_confirmed(work, work)
    for call, when in chosen:
        begin()
        fault_at(bench.strace, intake.pid, log, call, when, "SIGKILL", report)
        intake.kill()
        intake = bench.gateway.start("intake")
        report()
        bench.until_confirmed(work, work)
        assert not bench.unconfirmed(), f"{call} {when}"
    bench.look(work)
    work.kill()
    intake.kill()
    say(capsys, "killed at a report", chosen)
    assert len(chosen) >= 15


def test_an_archive_that_reports_from_many_connections_at_once_is_understood(
    bench: Bench,
) -> None:
    intake, work = bench.gateway.start("intake"), bench.gateway.begin("work")
    statuses: list[int] = []
    over = threading.Event()

    def plan(asked: Asked) -> None:
        asked.answer(0)
        threads = [
            threading.Thread(
                target=lambda: statuses.append(
                    report_to(bench.gateway.port, asked.transaction_uid, asked.pairs)
                )
            )
            for _ in range(6)
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        over.set()

    bench.peer.plan = plan
    bench.send(work)
    bench.ask()
    bench.until_confirmed(work, work)
    assert over.wait(20)
    assert statuses == [0] * 6
    bench.peer.plan = commit_all
    bench.look(work)
    work.kill()
    intake.kill()
