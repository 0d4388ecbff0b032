"""The product on a drive with a volatile write cache, and the power cut while it works.

A cut of the plug ends a guest for good; what its drive then holds is booted again. Beside it, the
drive's log tells what a cut at any other moment would have left: those points are judged on this
machine, where a restart is quick.
"""

import random
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pytest

from tests.fakes.appliance import Gateway, archive
from tests.fakes.scripted_archive import ScriptedArchive, Took
from tests.lab.bench import Bench, Run
from tests.lab.ledger import Ledger
from tests.lab.pictures import Picture, pictures
from tests.lab.recovery import Unrecoverable, broken, recover

TOOK = 5  #: objects that the archive must have taken before the plug is pulled
LOAD_S, DRAIN_S = 240.0, 1200.0
RESTART_S = 120.0  #: longest time until a restart on this machine has delivered what is due
FURTHER = 300  #: so many requests of the drive, at most, pass before the plug is pulled
NO_SYNC = "strace -f -qq --seccomp-bpf -o /dev/null -e trace={0} -e inject={0}:retval=0"


@pytest.fixture
def chance() -> random.Random:
    """A source of chance; its seed is shown when a test fails."""
    seed = random.SystemRandom().randrange(1_000_000)
    print("seed", seed)
    return random.Random(seed)  # noqa: S311 - nothing secret: it must be repeatable


def loaded(run: Run, bench: Bench, acked: int, further: int = 0) -> Run:
    """Let two modalities send until `acked` objects are promised and some more delivered; cut.

    The plug is pulled `further` requests of the drive later.
    """
    try:
        run.wait_until_open()
        run.load([islice(pictures(), 1)])
        took_more(bench, 1)  # every process works now
        senders = run.load([pictures(), pictures()])  # two: so that objects share commits
        for sender in senders:
            sender.wait_for(acked // 2, LOAD_S)
        took_more(bench, TOOK)
        run.drive.wait_for(run.drive.position() + further, LOAD_S)
    finally:
        run.cut()
    return run


def took_more(bench: Bench, count: int) -> None:
    """Return when the archive has taken so many objects from now on."""
    known = len(bench.archive.took)
    bench.archive.wait_for(lambda: len(bench.archive.took) >= known + count, LOAD_S)


def lost(image: Path, folder: Path, promised: Mapping[str, Picture]) -> list[str]:
    """Return which promises the cut has broken that left `image`."""
    try:
        return broken(recover(image, folder), promised.values())
    except Unrecoverable as fault:
        return [f"{uid}: {fault}" for uid in promised]


def delivered_after(folder: Path, promised: Iterable[str]) -> list[Took]:
    """Start the gateway on a recovered state folder; return what its archive took.

    Returns once every promised object came that the state folder does not call sent.
    """
    peer = ScriptedArchive()
    gateway = Gateway(folder, destination=[archive(peer.port)])
    states = {uid: one["state"] for uid, one in gateway.deliveries().items()}
    due = {uid for uid in promised if states.get(uid) != "sent"}
    try:
        running = gateway.start()
        running.wait_until(lambda: due <= uids(peer.took), RESTART_S, "all that is due")
    finally:
        gateway.close()
        peer.close()
    return peer.took


def uids(took: Iterable[Took]) -> set[str]:
    return {one.sop_instance_uid for one in took}


@pytest.mark.parametrize(
    ("cuts", "points", "acked"),
    [
        # 120: the database is checkpointed. Only where its log is used again, nothing else covers
        # for the missing sync of a folder.
        pytest.param(2, 16, 120, marks=pytest.mark.timeout(900)),
        pytest.param(20, 100, 100, marks=[pytest.mark.nightly, pytest.mark.timeout(10_800)]),
    ],
)
def test_no_acknowledged_object_is_lost_wherever_the_power_is_cut(
    bench: Bench,
    pristine: Path,
    tmp_path: Path,
    chance: random.Random,
    cuts: int,
    points: int,
    acked: int,
) -> None:
    image, ledger = pristine, Ledger()
    for number in range(cuts):
        run = bench.boot(image, tmp_path / f"life{number}")
        loaded(run, bench, acked, chance.randrange(FURTHER))
        ledger.note(run)
        for at, left in run.left(run.points(points // cuts, chance), chance):
            keeps_its_promises(left, tmp_path / "point", ledger, at, bench.archive.took)
        image = run.left_now(chance)
    everything_arrives(bench, bench.boot(image, tmp_path / "last"), ledger, chance)


def keeps_its_promises(
    image: Path, folder: Path, ledger: Ledger, position: int, before: Sequence[Took]
) -> None:
    """At this cut nothing promised is lost, and all of it is delivered after a restart."""
    promised = ledger.promised(position)
    assert lost(image, folder, promised) == []
    took = [*before, *delivered_after(folder, promised)]
    assert promised.keys() <= uids(took)  # so nothing was called sent that was not
    assert ledger.wrong(took) == []
    print(f"cut after {position} requests: {len(promised)} promised, 0 lost")
    shutil.rmtree(folder)


def everything_arrives(bench: Bench, run: Run, ledger: Ledger, chance: random.Random) -> None:
    """After the last cut the same guest delivers all that was ever promised, and still has it."""
    promised = ledger.promised()
    try:
        bench.archive.wait_for(lambda: promised.keys() <= uids(bench.archive.took), DRAIN_S)
    finally:
        run.cut()
    assert ledger.wrong(bench.archive.took) == []
    assert lost(run.left_now(chance), run.folder / "left", promised) == []
    print(f"{len(promised)} promised over all lives, 0 lost")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("mount", "before"),
    [
        ("nobarrier", ""),
        ("relatime", NO_SYNC.format("fsync,fdatasync")),
        pytest.param("relatime", NO_SYNC.format("fsync"), marks=pytest.mark.nightly),
        pytest.param("relatime", NO_SYNC.format("fdatasync"), marks=pytest.mark.nightly),
    ],
    ids=("no flush of the drive", "no sync", "no sync of files and folders", "no sync of data"),
)
def test_the_same_cuts_lose_objects_where_a_known_mistake_is_put_in(
    program: Callable[[str], str],
    bench: Bench,
    pristine: Path,
    tmp_path: Path,
    chance: random.Random,
    mount: str,
    before: str,
) -> None:
    program("strace")
    run = bench.boot(pristine, tmp_path / "life", mount=mount, before=before)
    run.wait_until_open()
    run.drive.flush()  # so that the start is safe, and only objects are at risk
    ledger = Ledger()
    ledger.note(loaded(run, bench, 120))
    points = [*run.points(3, chance), run.drive.position()]
    found = {
        at: lost(left, tmp_path / f"point{at}", ledger.promised(at))
        for at, left in run.left(points, chance)
    }
    for at, lines in found.items():
        print(f"cut after {at} requests: {len(ledger.promised(at))} promised, {len(lines)} faults")
    assert any(found.values())
