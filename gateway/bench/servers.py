"""servers: who receives: this gateway, DCMTK's storescp, Orthanc; each on the loopback.

Takes      a folder for its state, the core that it may use
Gives      a running server, how many objects it has, and what it costs
Holds      `MissingTool`, `BenchFailed`
"""

import json
import os
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any, Self

from gateway.bench.processes import Program, find
from spool.store import Spool

START_S = 30.0

GATEWAY = """\
config_version = 1

[gateway]
name = "bench"
ae_title = "EDGE"
state_dir = "{state_dir}"

[[listen]]
kind = "dicom"
address = "127.0.0.1"
port = {port}

[compress]
transfer_syntax = "{transfer_syntax}"
"""
DESTINATION = """
[[destination]]
name = "archive"
kind = "dicom"
host = "127.0.0.1"
port = {port}
ae_title = "ARCHIVE"
confirm = "none"
"""


class Server:
    """A program that listens for C-STORE on `port`; started by `with`, gone after it."""

    needs: tuple[str, str] | None = None  #: the program, and the Debian package that has it

    def __init__(self, folder: Path, core: int | None = None) -> None:
        self.port = free_port()
        self._folder, self._core = folder, core

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        self.program = Program(self._command(), self._folder / "log", self._core)
        try:
            self.program.wait_until(lambda: all(map(listens, self._ports())), START_S)
        except BaseException:
            self.program.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    def objects(self) -> int:
        """Return how many objects it has taken and keeps."""
        raise NotImplementedError

    def is_idle(self) -> bool:
        """Tell whether nothing that it took waits to be worked on."""
        return True

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ports(self) -> list[int]:
        return [self.port]


class Storescp(Server):
    """DCMTK's storescp as it comes: it never syncs a file."""

    needs = ("storescp", "dcmtk")
    options: tuple[str, ...] = ()

    def objects(self) -> int:
        return sum(1 for _ in self._objects.iterdir())

    def _command(self) -> list[str]:
        self._objects.mkdir()
        where = ["--output-directory", str(self._objects), str(self.port)]
        return [find(*self.needs), "--accept-all", *self.options, *where]

    @property
    def _objects(self) -> Path:
        return self._folder / "objects"


class StorescpTuned(Storescp):
    """storescp at its fastest: data sets written as they come, the largest PDUs."""

    options = ("--bit-preserving", "--max-pdu", "131072")


class Orthanc(Server):
    """Orthanc as it comes: it syncs each file (SyncStorageArea), its index less often."""

    needs = ("Orthanc", "orthanc")

    def __init__(self, folder: Path, core: int | None = None) -> None:
        super().__init__(folder, core)
        self._http_port = free_port()

    def objects(self) -> int:
        return int(self.statistics()["CountInstances"])

    def statistics(self) -> dict[str, Any]:
        """Return what Orthanc says of its storage."""
        address = f"http://127.0.0.1:{self._http_port}/statistics"
        # No proxy: the environment's would be asked for the loopback, too.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=START_S) as answer:
            return dict(json.loads(answer.read()))

    def _command(self) -> list[str]:
        settings = {
            "StorageDirectory": str(self._folder / "objects"),
            "IndexDirectory": str(self._folder / "objects"),
            "Plugins": [],
            "HttpPort": self._http_port,
            "RemoteAccessAllowed": False,
            "DicomPort": self.port,
            "DicomAet": "ARCHIVE",
            "DicomAlwaysAllowStore": True,
        }
        configuration = self._folder / "orthanc.json"
        configuration.write_text(json.dumps(settings), encoding="utf-8")
        return [find(*self.needs), str(configuration)]

    def _ports(self) -> list[int]:
        return [self.port, self._http_port]


class Gateway(Server):
    """This gateway: `gateway run`, or one process of it; it syncs all that it acknowledges."""

    process: tuple[str, ...] = ()
    transfer_syntax = "jpeg2000-lossless"
    archive_port: int | None = None

    def objects(self) -> int:
        return sum(self._instances().values())

    def is_idle(self) -> bool:
        return not self._instances()["received"]

    def _instances(self) -> dict[str, int]:
        state = self._folder / "state"
        spool = Spool(state, state / "run")
        try:
            return spool.counting.instances()
        finally:
            spool.close()

    def _command(self) -> list[str]:
        known = {"state_dir": self._folder / "state", "transfer_syntax": self.transfer_syntax}
        text = GATEWAY.format(port=self.port, **known)
        if self.archive_port:
            text += DESTINATION.format(port=self.archive_port)
        configuration = self._folder / "gateway.toml"
        configuration.write_text(text, encoding="utf-8")
        os.environ.pop("RUNTIME_DIRECTORY", None)  # sockets lie in this gateway's own folder
        command = [sys.executable, "-m", "gateway", "--config", str(configuration)]
        return [*command, "run", *self.process]


class Intake(Gateway):
    """The receiving process alone."""

    process = ("intake",)


def listens(port: int) -> bool:
    """Tell whether somebody takes connections on `port` of the loopback."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a TCP port of the loopback that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
