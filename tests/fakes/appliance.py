"""appliance: the real gateway, started as an operator starts it, configured for one test."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.config.show import as_toml
from tests.fakes.known_secrets import look
from tests.fakes.running import Running

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "queue")]),
    "LANGUAGE": "en",
}

#: A destination that is tried again at once, so that a test need not wait.
EAGER = {
    "kind": "dicom",
    "host": "127.0.0.1",
    "ae_title": "ARCHIVE",
    "confirm": "none",
    "connect_s": 1,
    "answer_s": 5,
    "retry_first_s": 0.1,
    "retry_most_s": 0.4,
    "probe_most_s": 0.4,
}

Section = Mapping[str, object]


class Gateway:
    """One state folder with its configuration; `start` runs the program on it."""

    environment = ENVIRONMENT

    def __init__(self, folder: Path, **sections: Section | Sequence[Section]) -> None:
        self.folder, self.state_dir = folder, folder / "state"
        self.log, self.config = folder / "gateway.log", folder / "gateway.toml"
        given: dict[str, Section | Sequence[Section]] = {
            "gateway": {"name": "test", "ae_title": "EDGE", "state_dir": str(self.state_dir)},
            "listen": [{"kind": "dicom", "address": "127.0.0.1", "port": 0}],
            "compress": {"workers": 1},
        }
        written = ["config_version = 1\n"]
        for name, content in (given | sections).items():
            written += _toml(name, content)
        self.config.write_text("".join(written), encoding="utf-8")
        self.port = 0
        self.running: list[Running] = []

    def start(self, *names: str) -> Running:
        """Run these processes or stages, all by default; return when the door is open."""
        one = self.begin(*names)
        if not names or {"receive", "intake"} & set(names):
            (line, *_) = one.wait_for("receive listening")
            self.port = int(line.rpartition("port=")[2])
        return one

    def begin(self, *names: str) -> Running:
        """As `start`, without waiting for anything."""
        one = Running(self.command("run", *names), self.log, self.environment)
        self.running.append(one)
        return one

    def close(self) -> None:
        """Kill what still runs."""
        for one in self.running:
            one.kill()

    def verb(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Return what a verb of the command line printed."""
        done = subprocess.run(
            self.command(*arguments),
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        look(done.stdout + done.stderr)
        return done

    def status(self) -> dict[str, Any]:
        return self._json("status")

    def check(self) -> dict[str, Any]:
        return self._json("check")

    def queue(self, state: str = "") -> list[dict[str, Any]]:
        """Return the instances as `queue list` shows them, the oldest first."""
        listed = self._json("queue", "list", "--most", "100000", "--state", state)["instances"]
        return sorted(listed, key=lambda one: one["id"])

    def deliveries(self, destination: str = "archive") -> dict[str, dict[str, Any]]:
        """Return the delivery to one destination of each instance, by SOP Instance UID."""
        return {
            one["sop_instance_uid"]: delivery
            for one in self.queue()
            for delivery in one["deliveries"]
            if delivery["destination"] == destination
        }

    def data_set(self, instance: Mapping[str, Any], role: str = "received") -> bytes:
        """Return the bytes of a rendition's data set, as they lie on the disk."""
        (one,) = (each for each in instance["renditions"] if each["role"] == role)
        return (self.state_dir / one["blob"]).read_bytes()[one["dataset_offset"] :]

    def settle(self, running: Running, within_s: float = 60) -> None:
        """Return when nothing waits any more; the queue is asked again when the log has news."""
        known = -1
        while waiting(self.status()):
            count = running.news(known, within_s)
            assert count > known, f"{waiting(self.status())} wait, and nothing happens"
            known = count

    def _json(self, *arguments: str) -> dict[str, Any]:
        done = self.verb(*arguments, "--json")
        assert done.stdout, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of a verb."""
        return [sys.executable, "-m", "gateway", "--config", str(self.config), *arguments]


def archive(port: int, name: str = "archive", **more: object) -> dict[str, object]:
    """Return the section of a destination on this machine."""
    return EAGER | {"name": name, "port": port} | more


def waiting(status: Mapping[str, Any]) -> int:
    """Return how many instances and deliveries are still to be worked on."""
    queued: Counter[str] = Counter()
    for counts in status["deliveries"].values():
        queued.update(counts)
    return int(status["instances"].get("received", 0) + queued["queued"])


def _toml(name: str, content: Section | Sequence[Section]) -> list[str]:
    if isinstance(content, Mapping):
        return [f"[{name}]\n", *_pairs(content)]
    return [line for one in content for line in (f"[[{name}]]\n", *_pairs(one))]


def _pairs(section: Section) -> list[str]:
    return [f"{key} = {as_toml(value)}\n" for key, value in section.items()]
