"""The gateway under show: a real `gateway run`, asked only through its own verbs.

Takes      a folder for its state and its configuration, the port of the archive
Gives      what it says of each object, running or dead
Holds      `ChildFailed` where it does not start or does not answer
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.demo.children import LAST_LINES, Child, ChildFailed, free_port

START_S = 30.0
ANSWER_S = 30.0
UNSENT = ("", "queued", "held")
ARRIVED = ("sent", "confirmed")
MERGED = "merged"  # a re-send that added nothing: the row it repeats tells the rest

CONFIGURATION = """\
config_version = 1

[gateway]
name = "demo"
ae_title = "EDGE"
state_dir = "{state_dir}"

[[listen]]
kind = "dicom"
address = "127.0.0.1"
port = {port}

[[destination]]
name = "archive"
kind = "dicom"
host = "127.0.0.1"
port = {archive_port}
ae_title = "ARCHIVE"
confirm = "none"
retry_first_s = 1
retry_most_s = 5
probe_most_s = 1
"""


@dataclass(frozen=True, slots=True)
class Item:
    """What the gateway knows of one object."""

    sop_instance_uid: str  #: (0008,0018)
    state: str  #: of the instance: received, ready, held, ...
    delivery: str  #: of its delivery: queued, sent, held, ...; "" before there is one

    @property
    def unsent(self) -> bool:
        """Whether the object is safe here and nowhere else yet."""
        return self.delivery in UNSENT


class Appliance:
    """One gateway with one state folder, started and killed as often as the story wants."""

    def __init__(self, folder: Path, archive_port: int, hear: Callable[[str], object]) -> None:
        self.port = free_port()
        self._folder = folder
        self._hear = hear
        self._running: Child | None = None
        self._configuration = folder / "gateway.toml"
        self._configuration.write_text(
            CONFIGURATION.format(
                state_dir=folder / "state", port=self.port, archive_port=archive_port
            ),
            encoding="utf-8",
        )

    def start(self) -> None:
        """Run it, and return when it listens."""
        self._running = Child(self._verb("run"), self._folder / "gateway.log", self._hear)
        self._running.wait_for(lambda line: "receive listening" in line, START_S)

    def kill(self) -> None:
        """SIGKILL to the whole process group; return when no process is left."""
        if self._running:
            self._running.kill_group()

    def stop(self) -> None:
        """End it as systemd would."""
        if self._running:
            self._running.stop()

    def items(self) -> dict[str, Item]:
        """Return what `gateway queue list --json` says, by SOP Instance UID.

        Raises
        ------
        ChildFailed
            The verb did not answer, with what it printed.
        """
        done = subprocess.run(
            self._verb("queue", "list", "--json"),
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
        if done.returncode:
            said = done.stderr.splitlines()[-LAST_LINES:]
            raise ChildFailed("\n".join(["gateway queue list", *said]))
        listed = map(_item, json.loads(done.stdout)["instances"])
        return {item.sop_instance_uid: item for item in listed if item.state != MERGED}

    def _verb(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "gateway", "--config", str(self._configuration), *words]


def _item(instance: dict[str, Any]) -> Item:
    deliveries = [delivery["state"] for delivery in instance["deliveries"]]
    return Item(
        sop_instance_uid=instance["sop_instance_uid"],
        state=instance["state"],
        delivery=deliveries[-1] if deliveries else "",
    )
