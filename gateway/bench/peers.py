"""peers: the receivers of others: DCMTK's storescp and Orthanc, on the loopback.

Takes      Debian's packages `dcmtk` and `orthanc`
Gives      a `Server` each
Holds      `MissingTool`, `BenchFailed`
"""

import json
import urllib.request
from pathlib import Path
from typing import Any

from gateway.bench.servers import START_S, Server, free_port
from gateway.bench.tools import find


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
