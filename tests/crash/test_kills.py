"""SIGKILL of everything at random moments under load: what was acknowledged arrives, harmlessly.

storescu goes on sending, as a modality does; Orthanc and an archive that counts are both fed. Each
picture has a UID and pixels of its own, so that a loss, a change and a mix-up are all seen.
KILLS_SEED=N in the environment replays the moments of a run.
"""

import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import storescu
from tests.fakes.objects import renamed
from tests.fakes.orthanc import Orthanc
from tests.fakes.pictures import frames_of
from tests.fakes.running import Running, session
from tests.fakes.scripted_archive import ScriptedArchive

KILLS = 50
#: From the start of the program; the door is open after about 0.3 s.
MOMENTS_S = (0.1, 2.5)
BATCH = 4
PICTURES = ("CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm")
SEED = int(os.environ.get("KILLS_SEED") or random.SystemRandom().randrange(1 << 32))


@dataclass
class Ultrasound:
    """A modality that sends picture after picture, and sends again what was not acknowledged."""

    program: str
    pictures: Iterator[Path]
    acknowledged: set[Path] = field(default_factory=set)
    waiting: list[Path] = field(default_factory=list)

    def send(self, port: int) -> bool:
        """Send a batch; False when the other side went away."""
        missing = BATCH - len(self.waiting)
        self.waiting += [next(self.pictures) for _ in range(missing)]
        said = storescu(self.program, port, self.waiting, "-ts", "5")
        self.acknowledged.update(said.acknowledged)
        self.waiting = [one for one in self.waiting if one not in self.acknowledged]
        return not self.waiting


@dataclass
class Scene:
    """All that takes part."""

    gateway: Gateway
    ultrasound: Ultrasound
    orthanc: Orthanc
    counting: ScriptedArchive


@pytest.fixture
def scene(
    tmp_path: Path,
    program: Callable[[str], str],
    sample: Callable[[str], Path],
    free_port: Callable[[], int],
) -> Iterator[Scene]:
    with ExitStack() as ending:
        orthanc = Orthanc(program("Orthanc"), tmp_path, free_port)
        ending.callback(orthanc.close)
        counting = ScriptedArchive()
        ending.callback(counting.close)
        here = [archive(orthanc.port, "orthanc"), archive(counting.port, "counting")]
        gateway = Gateway(tmp_path, destination=here)
        ending.callback(gateway.close)
        (tmp_path / "sent").mkdir()
        streams = [renamed(sample(name), tmp_path / "sent") for name in PICTURES]
        mixed = (next(stream) for _ in iter(int, 1) for stream in streams)
        yield Scene(gateway, Ultrasound(program("storescu"), mixed), orthanc, counting)


@pytest.mark.timeout(600)
def test_what_was_acknowledged_outlives_fifty_kills(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\nKILLS_SEED={SEED}", flush=True)
    moments = random.Random(SEED)  # noqa: S311  a replay, no secret
    for number in range(KILLS):
        life(scene, moments.uniform(*MOMENTS_S), number)
    began = time.time()
    last = scene.gateway.start()
    assert scene.ultrasound.send(scene.gateway.port)
    let_go_on(scene)
    scene.gateway.settle(last, within_s=30)
    orthanc_has_all(scene)
    repeats_are_equal(scene)
    spool_is_sound(scene, began)
    last.ask_to_end()
    assert last.wait(30) == 0
    assert not any(session(one.pid) for one in scene.gateway.running)
    with capsys.disabled():
        print(f"{len(scene.ultrasound.acknowledged)} acknowledged, {repeats(scene)} sent again")


def let_go_on(scene: Scene) -> None:
    """Do what a person does with a picture that met kill after kill and is therefore held."""
    held = [str(one["id"]) for one in scene.gateway.queue("held")]
    if held:
        done = scene.gateway.verb("queue", "retry", *held)
        assert done.returncode == 0, done.stderr


def repeats(scene: Scene) -> int:
    """Return how many objects the counting archive got after the first of their UID."""
    took = scene.counting.took
    return len(took) - len({one.sop_instance_uid for one in took})


def life(scene: Scene, moment_s: float, number: int) -> None:
    """Start the program, send until the moment has come, and kill every process of it at once."""
    born = time.monotonic()
    running = scene.gateway.begin()
    sender = threading.Thread(target=keep_sending, args=(scene, running))
    sender.start()
    with_kill = threading.Event()
    with_kill.wait(max(0.0, born + moment_s - time.monotonic()))
    running.kill()
    sender.join(60)
    assert not sender.is_alive(), f"life {number}: storescu hangs"
    assert not session(running.pid), f"life {number}: left over"


def keep_sending(scene: Scene, running: Running) -> None:
    """Send batch after batch as soon as the door is open, until the program is gone."""
    try:
        (line, *_) = running.wait_for("receive listening")
    except AssertionError:  # it was killed before
        return
    while scene.ultrasound.send(int(line.rpartition("port=")[2])):
        pass


def orthanc_has_all(scene: Scene) -> None:
    """Assert that every acknowledged picture is in Orthanc, with its own pixels."""
    there = scene.orthanc.instances()
    assert len(scene.ultrasound.acknowledged) > KILLS
    for path in scene.ultrasound.acknowledged:
        uid = str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        assert uid in there, f"{path.name} was acknowledged and is lost"
        fetched = scene.orthanc.fetch(there[uid])
        np.testing.assert_array_equal(frames_of(fetched), frames_of(path), err_msg=path.name)


def repeats_are_equal(scene: Scene) -> None:
    """Assert that what the counting archive got more than once is byte-equal each time."""
    took = scene.counting.took
    times = Counter(one.sop_instance_uid for one in took)
    acknowledged = {
        str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        for path in scene.ultrasound.acknowledged
    }
    assert acknowledged <= set(times)
    different = {(one.sop_instance_uid, one.transfer_syntax_uid, one.data) for one in took}
    assert len(different) == len(times)


def spool_is_sound(scene: Scene, began: float) -> None:
    """Assert integrity, that `check` lists exactly the blobs without a row, and no old scratch."""
    gateway, spool = scene.gateway, scene.gateway.check()["spool"]
    assert spool["integrity"] == "ok"
    with sqlite3.connect(gateway.state_dir / "db" / "spool.db") as db:
        rows = {name for (name,) in db.execute("SELECT blob FROM rendition")}
    folder = gateway.state_dir / "spool" / "blobs"
    files = {str(path.relative_to(folder)) for path in folder.glob("*/*")}
    assert set(spool["blobs_without_row"]) == files - rows
    scratch = gateway.state_dir.glob("spool/incoming/*")
    assert all(path.stat().st_mtime >= began for path in scratch)
    counts = gateway.status()
    assert counts["instances"]["held"] == 0
    assert {one["held"] for one in counts["deliveries"].values()} == {0}


def test_a_blob_without_a_row_is_listed_by_check(scene: Scene) -> None:
    running = scene.gateway.start()
    assert scene.ultrasound.send(scene.gateway.port)
    scene.gateway.settle(running)
    running.kill()
    (first, *_) = sorted(scene.gateway.state_dir.glob("spool/blobs/*/*.dcm"))
    stray = first.with_name("20260101T000000.000000000Z-0000000000000000.dcm")
    stray.write_bytes(first.read_bytes())
    assert scene.gateway.check()["spool"]["blobs_without_row"] == [
        f"{stray.parent.name}/{stray.name}"
    ]
