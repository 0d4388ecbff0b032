"""orthanc: a real Orthanc on the loopback, as the archive."""

import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.running import Running

#: Where Debian's orthanc-dicomweb puts its plug-in.
DICOMWEB = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"


class Orthanc:
    """Runs from construction to `close`; `syntaxes` are those that it accepts.

    `more` settings take the place of these; with the plug-in `DICOMWEB` its base is `dicomweb`.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        free_port: Callable[[], int],
        *,
        syntaxes: Sequence[str] = ("*",),
        more: Mapping[str, object] | None = None,
    ) -> None:
        self.port, self._http_port, self._folder = free_port(), free_port(), folder / "orthanc"
        self._folder.mkdir()
        settings = {
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "Plugins": [],
            "HttpPort": self._http_port,
            "DicomPort": self.port,
            "DicomAet": "ARCHIVE",
            "DicomAlwaysAllowStore": True,
            "AcceptedTransferSyntaxes": list(syntaxes),
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            **(more or {}),
        }
        path = self._folder / "orthanc.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        self.running = Running([program, "--verbose", str(path)], folder / "orthanc.log")
        self.running.wait_for("Orthanc has started", within_s=60)

    def associations(self) -> int:
        return len(self.running.found("Association Received from AET"))

    def instances(self) -> dict[str, str]:
        """Return Orthanc's own key of each object, by SOP Instance UID."""
        found = json.loads(self._get("/instances?expand"))
        return {str(one["MainDicomTags"]["SOPInstanceUID"]): str(one["ID"]) for one in found}

    def fetch(self, key: str) -> Path:
        """Return a file with one object, as Orthanc gives it out."""
        path = self._folder / f"{key}.dcm"
        path.write_bytes(self._get(f"/instances/{key}/file"))
        return path

    def delete(self, sop_instance_uid: str) -> None:
        """Lose one object."""
        self._ask("DELETE", f"/instances/{self.instances()[sop_instance_uid]}")

    def empty(self) -> None:
        """Lose every object."""
        for uid in self.instances():
            self.delete(uid)

    def put(self, part10: bytes) -> None:
        """Keep an object that nobody sent."""
        self._ask("POST", "/instances", part10)

    @property
    def dicomweb(self) -> str:
        return f"http://127.0.0.1:{self._http_port}/dicom-web"

    def close(self) -> None:
        self.running.kill()

    def _get(self, path: str) -> Any:
        return self._ask("GET", path)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        # No proxy: the environment's would be asked for the loopback, too.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self._http_port}{path}"
        asked = urllib.request.Request(url, body, method=method)
        with opener.open(asked, timeout=30) as answer:
            return answer.read()
