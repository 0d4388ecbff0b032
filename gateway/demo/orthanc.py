"""Peers that others wrote: DCMTK's storescu as the modality, Orthanc as the archive.

Takes      a folder to work in, Debian's packages `dcmtk` and `orthanc`
Gives      the objects as Orthanc hands them out again
Holds      `MissingTool`, `ChildFailed`
"""

import json
import shutil
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmread

from gateway.demo.children import Child, free_port
from gateway.demo.peers import MissingTool, Step, Stored, Tell
from gateway.demo.pictures import Picture

START_S = 40.0
SEND_S = 60.0
#: Debian's builds leave Nagle's algorithm on without it, which costs 40 ms an object.
NO_DELAY = {"TCP_NODELAY": "1"}

#: storescu(1): the option that proposes this transfer syntax (PS3.5 annex A).
PROPOSE = {
    "1.2.840.10008.1.2": "--propose-implicit",
    "1.2.840.10008.1.2.1": "--propose-little",
    "1.2.840.10008.1.2.2": "--propose-big",
    "1.2.840.10008.1.2.4.50": "--propose-jpeg8",
    "1.2.840.10008.1.2.4.90": "--propose-j2k-lossless",
    "1.2.840.10008.1.2.5": "--propose-rle",
}


def program(name: str, package: str) -> str:
    """Return the path of `name`; Debian puts servers where only root's PATH looks.

    Raises
    ------
    MissingTool
        It is not installed.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise MissingTool(name, package)
    return found


class Storescu:
    """DCMTK's storescu, one association a picture: it proposes one transfer syntax at a time."""

    name = "DCMTK storescu"

    def __init__(self, folder: Path) -> None:
        self._log = folder / "storescu.log"
        self._program = program("storescu", "dcmtk")

    def send(self, pictures: Sequence[Picture], port: int, tell: Tell) -> None:
        """See `peers.Modality`."""
        for picture in pictures:
            tell(picture.sop_instance_uid, "sending")
            answer = self._store(picture, port)
            tell(picture.sop_instance_uid, answer)
            if answer == "unanswered":
                return

    def _store(self, picture: Picture, port: int) -> Step:
        """Return the answer storescu saw, by its words: the exit code does not tell the status."""
        command = [self._program, "--verbose", PROPOSE[picture.transfer_syntax_uid]]
        command += ["--aetitle", "US1", "--call", "EDGE", "127.0.0.1", str(port), str(picture.path)]
        lines: list[str] = []
        Child(command, self._log, lines.append, NO_DELAY).wait(SEND_S)
        answers = [line for line in lines if "Received Store Response" in line]
        if not answers:
            return "unanswered"
        return "saved" if "(Success)" in answers[0] else "refused"


class Orthanc:
    """A real Orthanc on the loopback with a folder of its own."""

    name = "Orthanc"
    #: PS3.10 7.2: Data Set Trailing Padding means nothing; DCMTK never passes it on.
    drops = frozenset({0xFFFCFFFC})

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._http_port = free_port()
        self._program = program("Orthanc", "orthanc")
        self._log = folder / "orthanc.log"
        self._fetched = folder / "fetched"
        self._fetched.mkdir()
        self._configuration = folder / "orthanc.json"
        self._configuration.write_text(json.dumps(self._settings(folder)), encoding="utf-8")
        self._running: Child | None = None

    def start(self, hear: Callable[[str], object]) -> None:
        """See `peers.Archive`."""
        command = [self._program, "--verbose", str(self._configuration)]
        self._running = Child(command, self._log, hear, NO_DELAY)
        self._running.wait_for(lambda line: "Orthanc has started" in line, START_S)

    def arrived(self) -> dict[str, int]:
        """See `peers.Archive`."""
        if not self._running:
            return {}
        uids = {each["ID"]: _uid(each) for each in self._ask("/instances?expand")}
        return {uids[key]: times for key, times in self._times().items() if key in uids}

    def stored(self) -> dict[str, Stored]:
        """See `peers.Archive`; a repeat overwrites, so there is one copy, the last."""
        times = self._times()
        held: dict[str, Stored] = {}
        for number, key in enumerate(self._ask("/instances"), 1):
            path = self._fetched / f"{number:06}.dcm"
            path.write_bytes(self._get(f"/instances/{key}/file"))
            uid = dcmread(path, stop_before_pixels=True).SOPInstanceUID
            held[uid] = Stored((path,), times[key])
        return held

    def stop(self) -> None:
        """See `peers.Archive`."""
        if self._running:
            self._running.stop()

    def _settings(self, folder: Path) -> dict[str, object]:
        """Return Orthanc's configuration: everything is taken, a repeat is seen as new."""
        return {
            "Name": "demo",
            "StorageDirectory": str(folder / "orthanc"),
            "IndexDirectory": str(folder / "orthanc"),
            "Plugins": [],
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "DicomPort": self.port,
            "DicomAet": "ARCHIVE",
            "DicomAlwaysAllowStore": True,
            "AcceptedTransferSyntaxes": ["*"],
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
        }

    def _times(self) -> Counter[str]:
        """Return how often Orthanc took each instance new: it logs one change each time."""
        changes = self._ask("/changes?limit=1000")["Changes"]
        return Counter(each["ID"] for each in changes if each["ChangeType"] == "NewInstance")

    def _ask(self, path: str) -> Any:
        return json.loads(self._get(path))

    def _get(self, path: str) -> bytes:
        address = f"http://127.0.0.1:{self._http_port}{path}"
        # No proxy: the environment's would be asked for the loopback, too.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=30) as answer:
            return bytes(answer.read())


def _uid(instance: dict[str, Any]) -> str:
    return str(instance["MainDicomTags"]["SOPInstanceUID"])
