"""Every crash point of the unmodified program: it ends, or the disk fails, at its n-th system call.

The calls of one C-STORE, one watched file, one import, and of prepare, forward and retire of one
instance are counted first; then each of them is the last one, or fails. After each the promise is
looked at: acknowledged means one row, its file to the last bit, and delivery; not acknowledged
means absent or harmless; no file is without an owner; history tells what happened.

`./test` takes every call by name and the first and last few of each; nightly takes every one.
"""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from openjpeg.utils import decode

from spool.blobfile import verify
from spool.doorbell import ring
from spool.lock import Lock
from spool.store import START, lock_path
from tests.fakes import upper_layer as ul
from tests.fakes.appliance import ENVIRONMENT, Gateway, archive
from tests.fakes.dcmtk import storescu
from tests.fakes.objects import new_uid, small
from tests.fakes.part10 import part10_file
from tests.fakes.running import Running
from tests.fakes.scripted_archive import ScriptedArchive
from tests.fakes.tampering import DISK_CALLS, counted, fault_at, is_alive, wait_for_end

pytestmark = pytest.mark.timeout(300)

#: Large enough for the encoder.
SIDE = 48
#: How many of one call's places `./test` takes.
FEW = 4


@dataclass
class Bench:
    """A gateway, an archive that counts, and what was promised so far."""

    gateway: Gateway
    archive: ScriptedArchive
    folder: Path
    strace: str
    storescu: str
    promised: set[str] = field(default_factory=set)
    offered: set[str] = field(default_factory=set)

    def picture(self) -> tuple[Path, str]:
        """Return a new file, and its SOP Instance UID."""
        uid = new_uid()
        path = self.folder / f"{len(self.offered):06}.dcm"
        path.write_bytes(part10_file(ul.US_IMAGE, uid, small(uid, side=SIDE)))
        self.offered.add(uid)
        return path, uid

    @property
    def watched(self) -> Path:
        return self.folder / "watched"


@pytest.fixture
def bench(tmp_path: Path, program: Callable[[str], str]) -> Iterator[Bench]:
    with ExitStack() as ending:
        peer = ScriptedArchive()
        ending.callback(peer.close)
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures" / "watched").mkdir()
        watched = str(tmp_path / "pictures" / "watched")
        gateway = Gateway(
            tmp_path,
            destination=[archive(peer.port)],
            watch=[{"name": "w", "path": watched, "settle_s": 0.0}],
            retain={"days": 0},
        )
        ending.callback(gateway.close)
        pictures = tmp_path / "pictures"
        yield Bench(gateway, peer, pictures, program("strace"), program("storescu"))


def places(counts: dict[str, int], *, every: bool) -> list[tuple[str, int]]:
    """Return (call, n): every one, or for each call the first and the last few."""
    found = []
    for call, most in sorted(counts.items()):
        chosen = range(1, most + 1)
        if not every and most > 2 * FEW:
            chosen = sorted({*range(1, FEW + 1), *range(most - FEW + 1, most + 1)})  # type: ignore[assignment]
        found += [(call, when) for when in chosen]
    return found


# ---- what is done to the program ---------------------------------------------------------------


def send(bench: Bench) -> None:
    """Store one picture; success is a promise."""
    path, uid = bench.picture()
    if storescu(bench.storescu, bench.gateway.port, [path], "-ts", "5", "-td", "5").acknowledged:
        bench.promised.add(uid)


def drop(bench: Bench, running: Running) -> None:
    """Put one file into the watched folder; that it lies in taken/ is a promise."""
    path, uid = bench.picture()
    target = bench.watched / path.name
    path.rename(target)
    taken = bench.watched / "taken" / path.name

    def is_over() -> bool:
        return not is_alive(running.pid) or taken.exists() or not target.exists()

    for _ in range(100):
        if is_over():
            break
        running.news(len(running.lines), 0.05)
    if taken.exists():
        bench.promised.add(uid)


# ---- what is looked at -------------------------------------------------------------------------


def rows(bench: Bench) -> dict[str, list[sqlite3.Row]]:
    """Return the received renditions by SOP Instance UID, of instances that were not merged."""
    with closing(sqlite3.connect(bench.gateway.state_dir / "db" / "spool.db")) as db:
        db.row_factory = sqlite3.Row
        found: dict[str, list[sqlite3.Row]] = {}
        for row in db.execute(
            "SELECT i.id, i.sop_instance_uid, i.state, r.blob, r.sha256, r.gone_at FROM instance i"
            " JOIN rendition r ON r.instance_id = i.id AND r.role = 'received'"
            " WHERE i.state <> 'merged'"
        ):
            found.setdefault(row["sop_instance_uid"], []).append(row)
        return found


def look(bench: Bench) -> None:
    """Assert the promise for all that was offered so far; the intake has reconciled."""
    found = rows(bench)
    blobs = bench.gateway.state_dir / "spool" / "blobs"
    assert bench.promised <= set(found), "acknowledged and lost"
    assert set(found) <= bench.offered
    for uid, several in found.items():
        # A file that was taken and not moved comes again: prepare merges it, and has not run yet.
        again = {row["sha256"] for row in several if row["state"] == "received"}
        assert len(several) == 1 or len(again) == 1, f"{uid} has {len(several)} rows"
        for row in several:
            if not row["gone_at"]:
                verify(blobs / row["blob"], row["sha256"])
    owned = {row["blob"] for several in found.values() for row in several}
    with closing(sqlite3.connect(bench.gateway.state_dir / "db" / "spool.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        owned |= {blob for (blob,) in db.execute("SELECT blob FROM rendition")}
        told = db.execute("SELECT count(DISTINCT instance_id) FROM history WHERE what = 'received'")
        assert told.fetchone()[0] == db.execute("SELECT count(*) FROM instance").fetchone()[0]
    assert {f"{one.parent.name}/{one.name}" for one in blobs.glob("*/*.dcm")} <= owned


def deliver(bench: Bench) -> None:
    """Assert that all that was promised arrives, whole, and what comes twice is the same."""
    last = bench.gateway.start()
    bench.gateway.settle(last)
    arrived: dict[str, set[bytes]] = {}
    for one in bench.archive.took:
        arrived.setdefault(one.sop_instance_uid, set()).add(one.data)
    assert bench.promised <= set(arrived), "acknowledged and not delivered"
    assert all(len(several) == 1 for several in arrived.values()), "sent again, and not the same"
    same_pixels(bench)
    look(bench)
    assert all(len(several) == 1 for several in rows(bench).values()), "a re-send was not merged"
    last.ask_to_end()
    assert last.wait(30) == 0


def same_pixels(bench: Bench) -> None:
    """Assert that what arrived decodes to what was offered."""
    picture = small("1.2", side=SIDE)[-SIDE * SIDE :]
    for one in bench.archive.took:
        if one.transfer_syntax_uid == "1.2.840.10008.1.2.4.90":
            codestream = one.data[one.data.index(b"\xff\x4f\xff\x51") :]
            assert decode(codestream).tobytes() == picture
        else:
            assert one.data == small(one.sop_instance_uid, side=SIDE)


def say(capsys: pytest.CaptureFixture[str], what: str, tried: list[tuple[str, int]]) -> None:
    names = sorted({call for call, _ in tried})
    with capsys.disabled():
        print(f"\n{what}: {len(tried)} points, {len(names)} calls: {' '.join(names)}", flush=True)


# ---- the sweeps --------------------------------------------------------------------------------


def kill_intake(
    bench: Bench, act: Callable[[Running], None], *, every: bool
) -> list[tuple[str, int]]:
    """Kill the intake at each place of `act`; look after each restart."""
    running = bench.gateway.start("intake")
    act(running)
    log = bench.folder.parent / "calls"
    chosen = places(counted(bench.strace, running.pid, log, lambda: act(running)), every=every)
    for call, when in chosen:
        fault_at(
            bench.strace,
            running.pid,
            log,
            call,
            when,
            "SIGKILL",
            lambda: act(running),  # noqa: B023
        )
        running.kill()
        running = bench.gateway.start("intake")
        take_what_is_left(bench, running)
        look(bench)
    act(running)
    running.kill()
    return chosen


def take_what_is_left(bench: Bench, running: Running) -> None:
    """Return when no file waits in the watched folder: whoever looks sees nothing half done."""
    for _ in range(600):
        if not any(one.is_file() for one in bench.watched.iterdir()):
            return
        running.news(len(running.lines), 0.05)
    raise AssertionError("a file stays in the watched folder")


def fail_intake(
    bench: Bench, act: Callable[[Running], None], fault: str, *, every: bool
) -> list[tuple[str, int]]:
    """Let the disk fail at each place; the process goes on, and the next one is taken again."""
    running = bench.gateway.start("intake")
    act(running)
    log = bench.folder.parent / "calls"
    counts = counted(bench.strace, running.pid, log, lambda: act(running))
    disk = {call: most for call, most in counts.items() if call in DISK_CALLS}
    chosen = places(disk, every=every)
    for call, when in chosen:
        fault_at(bench.strace, running.pid, log, call, when, fault, lambda: act(running))
        assert not running.is_over(), f"{fault} at {call} {when} ended the intake"
        before = len(bench.promised)
        act(running)
        assert len(bench.promised) > before, f"after {fault} at {call} {when} nothing is taken"
    running.kill()
    running = bench.gateway.start("intake")
    look(bench)
    running.kill()
    return chosen


EVERY = [
    pytest.param(False, id="some"),
    # What a failing disk put off is tried again after 15 s: some points take as long.
    pytest.param(True, id="every", marks=[pytest.mark.nightly, pytest.mark.timeout(5400)]),
]


@pytest.mark.parametrize("every", EVERY)
def test_a_kill_at_any_call_of_a_c_store_loses_nothing_acknowledged(
    bench: Bench, capsys: pytest.CaptureFixture[str], *, every: bool
) -> None:
    tried = kill_intake(bench, lambda _: send(bench), every=every)
    deliver(bench)
    say(capsys, "killed in a C-STORE", tried)
    assert len(tried) >= 45


@pytest.mark.parametrize("every", EVERY)
def test_a_kill_at_any_call_of_a_watched_file_loses_nothing_taken(
    bench: Bench, capsys: pytest.CaptureFixture[str], *, every: bool
) -> None:
    tried = kill_intake(bench, lambda running: drop(bench, running), every=every)
    deliver_watched(bench)
    say(capsys, "killed at a watched file", tried)
    assert len(tried) >= 40


def deliver_watched(bench: Bench) -> None:
    """What still lay in the folder is taken after the restart, too."""
    deliver(bench)
    assert not [one for one in bench.watched.iterdir() if one.is_file()]


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_at_any_call_of_a_c_store_is_never_a_success_for_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str], fault: str, *, every: bool
) -> None:
    tried = fail_intake(bench, lambda _: send(bench), fault, every=every)
    deliver(bench)
    say(capsys, f"{fault} in a C-STORE", tried)
    assert len(tried) >= 15


@pytest.mark.parametrize("every", EVERY)
def test_a_kill_at_any_call_of_an_import_loses_nothing_that_it_said_was_saved(
    bench: Bench, capsys: pytest.CaptureFixture[str], *, every: bool
) -> None:
    bench.gateway.start("intake").kill()  # the folder exists
    log = bench.folder.parent / "calls"
    counts: dict[str, int] = {}
    held_back(bench, lambda pid, go: counts.update(counted(bench.strace, pid, log, go)))
    chosen = places(counts, every=every)
    for call, when in chosen:
        held_back(
            bench,
            lambda pid, go, call=call, when=when: fault_at(  # type: ignore[misc]
                bench.strace, pid, log, call, when, "SIGKILL", go
            ),
        )
    bench.gateway.start("intake").kill()
    look(bench)
    deliver(bench)
    say(capsys, "killed in an import", chosen)
    assert len(chosen) >= 40


def held_back(bench: Bench, act: Callable[[int, Callable[[], None]], object]) -> None:
    """Import a picture: the verb waits, as while a gateway starts, until strace is there."""
    path, uid = bench.picture()
    lock = lock_path(bench.gateway.state_dir, START)
    starting = Lock(lock)
    command = bench.gateway.command("import", str(path))
    running = Running(command, bench.folder.parent / "import.log", ENVIRONMENT)
    bench.gateway.running.append(running)

    def go() -> None:
        starting.release()
        assert wait_for_end(running.pid, 30), "the import does not end"

    for _ in range(600):
        if waits_for(lock):
            break
        running.news(len(running.lines), 0.05)
    act(running.pid, go)
    running.wait(30)
    if running.found("Saved: 1"):
        bench.promised.add(uid)


def waits_for(lock: Path) -> bool:
    """Tell whether somebody waits for this lock (man 5 proc, /proc/locks)."""
    waiting = f":{lock.stat().st_ino} "
    lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return any(" -> " in line and waiting in line for line in lines)


@pytest.mark.parametrize("every", EVERY)
def test_a_kill_at_any_call_of_prepare_forward_and_retire_loses_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str], *, every: bool
) -> None:
    intake = bench.gateway.start("intake")
    work = begin_work(bench)
    log = bench.folder.parent / "calls"
    counts = counted(bench.strace, work.pid, log, lambda: whole_life(bench, work))
    chosen = places(counts, every=every)
    for call, when in chosen:
        fault_at(
            bench.strace,
            work.pid,
            log,
            call,
            when,
            "SIGKILL",
            lambda: whole_life(bench, work),  # noqa: B023
        )
        work.kill()
        work = begin_work(bench)
        arrived = {one.sop_instance_uid for one in bench.archive.took}
        assert bench.promised <= arrived, f"{call} {when}: not delivered after the restart"
    work.kill()
    intake.kill()
    deliver(bench)
    say(capsys, "killed in prepare, forward and retire", chosen)
    assert len(chosen) >= 60


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_a_disk_that_fails_at_any_call_of_the_work_stops_nothing_for_good(
    bench: Bench, capsys: pytest.CaptureFixture[str], fault: str, *, every: bool
) -> None:
    intake = bench.gateway.start("intake")
    work = begin_work(bench)
    log = bench.folder.parent / "calls"
    counts = counted(bench.strace, work.pid, log, lambda: whole_life(bench, work))
    disk = {call: most for call, most in counts.items() if call in DISK_CALLS}
    chosen = places(disk, every=every)
    for call, when in chosen:
        fault_at(bench.strace, work.pid, log, call, when, fault, lambda: send(bench))
        whole_life(bench, work, held_is_enough=True)
        assert not work.is_over(), f"{fault} at {call} {when} ended the work"
    work.kill()
    intake.kill()
    release_what_is_held(bench)
    deliver(bench)
    say(capsys, f"{fault} in prepare, forward and retire", chosen)
    assert len(chosen) >= 15


def release_what_is_held(bench: Bench) -> None:
    """A person looks at what a failing disk made unsure, and lets it go on."""
    held = [str(one["id"]) for one in bench.gateway.queue("held")]
    if held:
        done = bench.gateway.verb("queue", "retry", *held)
        assert done.returncode == 0, done.stderr


def begin_work(bench: Bench) -> Running:
    """Start the work process, and bring one instance through so that all of it is loaded."""
    work = bench.gateway.begin("work")
    whole_life(bench, work)
    return work


def whole_life(bench: Bench, work: Running, *, held_is_enough: bool = False) -> None:
    """Store one picture and wait until it, and all before it, is retired, or the process ended."""
    known = len(bench.promised)
    send(bench)
    assert len(bench.promised) > known
    for _ in itertools.count():
        if not is_alive(work.pid) or unfinished(bench) <= (held(bench) if held_is_enough else 0):
            return
        ring(bench.gateway.state_dir / "run", "retire")
        work.news(len(work.lines), 0.05)


def unfinished(bench: Bench) -> int:
    with closing(sqlite3.connect(bench.gateway.state_dir / "db" / "spool.db", timeout=10)) as db:
        query = "SELECT count(*) FROM instance WHERE state NOT IN ('retired', 'merged')"
        return int(db.execute(query).fetchone()[0])


def held(bench: Bench) -> int:
    """Return how many instances wait for a person, or have a delivery that does."""
    with closing(sqlite3.connect(bench.gateway.state_dir / "db" / "spool.db", timeout=10)) as db:
        query = (
            "SELECT count(*) FROM instance i WHERE state = 'held' OR EXISTS"
            " (SELECT 1 FROM delivery d WHERE d.instance_id = i.id AND d.state = 'held')"
        )
        return int(db.execute(query).fetchone()[0])
