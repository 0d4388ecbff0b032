"""The product on a drive with a volatile write cache, and the power cut while it works.

A cut of the plug ends a guest for good; what the drive then holds is booted again. Beside it, the
drive's log tells what a cut at any other moment would have left: those points are judged on this
machine, which is quick.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.fakes.appliance import Gateway, archive
from tests.fakes.scripted_archive import ScriptedArchive, Took
from tests.lab.bench import Bench, Run
from tests.lab.pictures import Picture, arrived_equal, pictures
from tests.lab.recovery import Unrecoverable, broken, recover

LOAD_S = 240.0  #: longest time for one load
SENDERS = 2  #: so that objects share commits
#: Enough for checkpoints: only in a log that is used again a missing sync of a folder shows.
ACKED, TOOK = 300, 20
NO_SYNC = "strace -f -qq --seccomp-bpf -o /dev/null -e trace={0} -e inject={0}:retval=0"


class Ledger:
    """All that was sent and promised so far, over all lives of one drive."""

    def __init__(self) -> None:
        self.sent: dict[str, Picture] = {}
        self.acked: dict[str, Picture] = {}

    def note(self, run: Run) -> None:
        self.sent |= {one.uid: one for one in run.sent()}
        self.acked |= {one.picture.uid: one.picture for one in run.acked()}

    def acked_by(self, run: Run, position: int) -> dict[str, Picture]:
        """What was promised before this run, and in it up to `position` of its drive's log."""
        now = {one.picture.uid: one.picture for one in run.acked() if one.position <= position}
        return self.acked | now


@pytest.mark.parametrize(
    ("cuts", "points"),
    [
        pytest.param(2, 16, marks=pytest.mark.timeout(600)),
        pytest.param(20, 100, marks=[pytest.mark.nightly, pytest.mark.timeout(7200)]),
    ],
)
def test_no_acknowledged_object_is_lost_wherever_the_power_is_cut(
    bench: Bench, pristine: Path, tmp_path: Path, cuts: int, points: int
) -> None:
    chance, ledger, image = chosen(), Ledger(), pristine
    for number in range(cuts):
        run = loaded(bench, image, tmp_path / f"life{number}", chance)
        for at in run.points(points // cuts, chance):
            ...
