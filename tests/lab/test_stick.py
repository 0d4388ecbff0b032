"""Sticks with FAT32, which only a virtual machine has here: pulled out, full, locked, exchanged.

The guest works, and says what it was told of each object. One stick's requests are remembered, so
that it is also judged as it would be after a loss of power at any other moment.
"""

import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from gateway.config.model import Destination
from gateway.destinations.archive import Sought
from gateway.destinations.folder import FolderArchive
from spool.model import Rendition
from tests.fakes.renditions import rendition_of
from tests.lab.cuts import Replay
from tests.lab.drive import Drive
from tests.lab.kernel import Kernel
from tests.lab.machine import Machine

STICK_BYTES = 40 << 20
OBJECTS, ROWS = 16, 512
STEPS = ("missing", "first", "pulled", "next", "again", "full", "locked", "other", "end")
ON_A = {"first": 4, "again": 12, "full": 14}  #: what lies on stick A when a step is done
RUN_S = 240.0
CUTS = 12
SCRIPT = """cd /run
export PATH={path}:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run HOME=/run
export PYTHONPATH={product}:{root} PYTHONDONTWRITEBYTECODE=1
exec {python} {root}/tests/lab/stick_driver.py {objects}
"""


@pytest.fixture
def objects(tmp_path: Path, sample: Callable[[str], Path]) -> Path:
    """Return a folder of objects of some 250 kB each, 01.dcm and so on."""
    folder = tmp_path / "objects"
    folder.mkdir()
    ds = pydicom.dcmread(sample("CT_small.dcm"))
    ds.Rows = ds.Columns = ROWS
    for number in range(1, OBJECTS + 1):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        ds.InstanceNumber = number
        ds.PixelData = random.Random(number).randbytes(ROWS * ROWS * 2)  # noqa: S311
        ds.save_as(folder / f"{number:02d}.dcm")
    return folder


@pytest.fixture
def make_stick(program: Callable[[str], str], tmp_path: Path) -> Callable[[str, str], Path]:
    def make(name: str, label: str) -> Path:
        image = tmp_path / name
        image.touch()
        os.truncate(image, STICK_BYTES)
        command = [program("mkfs.vfat"), "-F", "32", "-n", label, str(image)]
        subprocess.run(command, check=True, capture_output=True)
        return image

    return make


@pytest.fixture
def unpacked(program: Callable[[str], str]) -> Callable[[Path, Path], Path]:
    """Return a function that copies all that can be read of a stick into a folder."""
    environment = os.environ | {"MTOOLS_SKIP_CHECK": "1"}

    def mtool(name: str, *arguments: str) -> str:
        command = [program(name), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    def copy(image: Path, folder: Path) -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        for name in mtool("mdir", "-/", "-b", "-i", str(image), "::").split():
            path = folder / name.removeprefix("::/")
            if not name.endswith("/"):
                path.parent.mkdir(parents=True, exist_ok=True)
                mtool("mcopy", "-n", "-Q", "-i", str(image), name, str(path))
        folder.mkdir(exist_ok=True)
        return folder

    return copy


def test_sticks_are_written_so_that_nothing_is_lost_or_said_too_early(
    guest_kernel: Kernel,
    product: Path,
    objects: Path,
    make_stick: Callable[[str, str], Path],
    unpacked: Callable[[Path, Path], Path],
    program: Callable[[str], str],
    free_port: Callable[[], int],
    root: Path,
    tmp_path: Path,
) -> None:
    images = [make_stick("a", "WARD7"), make_stick("b", "WARD7"), make_stick("c", "OTHER")]
    drive = Drive(images[0], tmp_path)
    python = Path(sys.executable)
    script = SCRIPT.format(
        path=shlex.quote(str(python.parent)),
        product=shlex.quote(str(product)),
        root=shlex.quote(str(root)),
        python=shlex.quote(str(python)),
        objects=shlex.quote(str(objects)),
    )
    machine = Machine(
        guest_kernel,
        drive.address,
        {"script": script},
        tmp_path,
        port=free_port(),
        guest_port=1,
        others=images[1:],
    )
    promised: list[tuple[int, int]] = []  #: (requests of stick A by then, number of the object)
    try:
        for step in STEPS:
            machine.says.wait_for(f"step {step}|guest ended", within_s=RUN_S)
            said = machine.says.lines
            assert f"step {step}" in said, "\n".join(said)[-3000:]
            sent = [int(line.split()[1]) for line in said if line.startswith("sent ")]
            on_a = {number for number in sent if number <= ON_A.get(step, 0)}
            promised += [(drive.position(), number) for number in on_a]
    finally:
        machine.cut()
        drive.close()
    judge(tmp_path, drive, images[1], promised, objects, unpacked, program)


def judge(
    folder: Path,
    drive: Drive,
    other: Path,
    promised: list[tuple[int, int]],
    objects: Path,
    unpacked: Callable[[Path, Path], Path],
    program: Callable[[str], str],
) -> None:
    """Look at both sticks as they are, and at the first as a cut would have left it."""
    ones = {number: rendition_of(objects / f"{number:02d}.dcm") for number in range(1, OBJECTS + 1)}
    assert sound(unpacked(other, folder / "other"), ones) == set(range(5, 13))
    seed = random.SystemRandom().randrange(1_000_000)
    print("seed", seed)
    chance = random.Random(seed)  # noqa: S311 - nothing secret: it must be repeatable
    replay = Replay(drive.image, drive.log, folder)
    points = sorted({*chance.sample(range(drive.position()), CUTS), drive.position()})
    for point in points:
        replay.cut(point, folder / "cut", chance, chance.choice((0.0, 0.5, 0.9)))
        stick = unpacked(folder / "cut", folder / "unpacked")
        due = {number for position, number in promised if position <= point}
        assert due <= sound(stick, ones), (point, due)
    opens(stick, program)


def sound(stick: Path, ones: dict[int, Rendition]) -> set[int]:
    """Return the numbers of the objects that the index of a stick has, and that are whole."""
    archive = FolderArchive(Destination(name="usb", kind="folder", path=stick))
    sought = [Sought(one.sop_class_uid, one.sop_instance_uid, "", "") for one in ones.values()]
    found = archive.find(sought)
    return {number for number, one in ones.items() if one.sop_instance_uid in found}


def opens(stick: Path, program: Callable[[str], str]) -> None:
    """Check that a viewer's library reads the index, and that no name holds a patient."""
    index = stick / "DICOMDIR"
    said = subprocess.run([program("dcmdump"), str(index)], capture_output=True, text=True)
    assert said.returncode == 0 and "E:" not in said.stderr and "W:" not in said.stderr
    names = {str(path.relative_to(stick)) for path in stick.rglob("*")}
    assert all(name.replace("/", "").replace("_", "").isalnum() for name in names), names
    assert not any("Compressed" in name or "1CT1" in name for name in names)
