"""bench: the product in a guest, a modality and an archive outside, and a plug to pull.

Takes      the image of a drive, as it was made or as a cut left it
Gives      what was acknowledged; after the cut, the images that it has or might have left
"""

import json
import random
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.fakes.appliance import archive
from tests.fakes.scripted_archive import ScriptedArchive
from tests.lab.cuts import Replay, flushes
from tests.lab.drive import Drive
from tests.lab.kernel import Kernel
from tests.lab.machine import HOST, Machine
from tests.lab.pictures import Picture
from tests.lab.recovery import STATE
from tests.lab.sender import Acked, Sender

GUEST_PORT = 11112
BOOT_S = 180.0  #: longest time from power to an open door
KEPT = (0.0, 0.5, 0.9)  #: shares of the unflushed blocks that a drive may have saved
CONFIGURATION = f"""config_version = 1
[gateway]
name = "lab"
ae_title = "EDGE"
state_dir = "/run/drive/{STATE}"
[[listen]]
kind = "dicom"
address = "0.0.0.0"
port = {GUEST_PORT}
[compress]
workers = 1
[room]
reserve_bytes = 16777216
trim_bytes = 16777216
"""
SCRIPT = """mkdir /run/drive
mount -t ext4 -o {options} /dev/vda /run/drive || exit
cd /run
export PATH={path}:/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/run HOME=/run
export PYTHONPATH={product} PYTHONDONTWRITEBYTECODE=1 LANGUAGE=en
exec {before} {python} -m gateway --config /run/given/gateway.toml run
"""


class Bench:
    """What outlives the cuts: kernel, product, archive, and pictures without end."""

    def __init__(self, kernel: Kernel, product: Path, archive: ScriptedArchive, port: int) -> None:
        """`product` is the source root that the guest runs; `port` of loopback leads into it."""
        self.archive = archive
        self._kernel, self._product, self._port = kernel, product, port

    def boot(
        self, image: Path, folder: Path, *, mount: str = "relatime", before: str = ""
    ) -> "Run":
        """Power on; `Run.wait_until_open` says when the gateway takes associations.

        `mount` are options of ext4, `before` a command that runs the gateway: the two places
        where a known mistake is put in.
        """
        folder.mkdir()
        drive = Drive(image, folder)
        python = Path(sys.executable)
        script = SCRIPT.format(
            options=mount,
            path=shlex.quote(str(python.parent)),
            product=shlex.quote(str(self._product)),
            before=before,
            python=shlex.quote(str(python)),
        )
        given = {"script": script, "gateway.toml": CONFIGURATION + self._destination()}
        machine = Machine(
            self._kernel, drive.address, given, folder, port=self._port, guest_port=GUEST_PORT
        )
        return Run(drive, machine, folder)

    def _destination(self) -> str:
        section = archive(self.archive.port, host=HOST, connect_s=20, answer_s=60)
        return "".join(
            ["[[destination]]\n", *(f"{key} = {json.dumps(it)}\n" for key, it in section.items())]
        )


class Run:
    """One life of the guest, from power on to the cut."""

    def __init__(self, drive: Drive, machine: Machine, folder: Path) -> None:
        self.drive, self.machine, self.folder = drive, machine, folder
        self.senders: list[Sender] = []

    def wait_until_open(self) -> None:
        """Return when the gateway takes associations."""
        self.machine.says.wait_for("receive listening", within_s=BOOT_S)

    def load(self, pictures: Iterable[Iterator[Picture]]) -> list[Sender]:
        """Begin to send, and return who sends: a modality for each iterator."""
        new = [Sender(self.machine.port, some, self.drive.position) for some in pictures]
        self.senders += new
        return new

    def cut(self) -> None:
        """Pull the plug."""
        self.machine.cut()
        self.drive.close()
        for one in self.senders:
            one.stop()

    def points(self, count: int, chance: random.Random) -> list[int]:
        """Return positions of the log at which to cut afterwards, all after the first promise.

        Half of them lie right before a flush, where most is at risk.
        """
        first = min(one.position for one in self.acked())
        before = flushes(self.drive.log, first)
        risky = chance.sample(before, min(count // 2, len(before)))
        others = chance.sample(range(first, self.drive.position()), count - len(risky))
        return sorted(risky + others)

    def left(self, points: Iterable[int], chance: random.Random) -> Iterator[tuple[int, Path]]:
        """Give (position, image) of what a cut at each of the ascending `points` leaves.

        An image is there until the next one is asked for.
        """
        replay = Replay(self.drive.image, self.drive.log, self.folder)
        image = self.folder / "cut"
        for point in points:
            replay.cut(point, image, chance, chance.choice(KEPT))
            yield point, image

    def left_now(self, chance: random.Random) -> Path:
        """Return the image that the cut itself has left."""
        return next(self.left([self.drive.position()], chance))[1]

    def acked(self) -> list[Acked]:
        """Return what was promised in this life."""
        return [one for sender in self.senders for one in sender.acked]

    def sent(self) -> list[Picture]:
        """Return all that was sent in this life, answered or not."""
        return [one for sender in self.senders for one in sender.sent]
