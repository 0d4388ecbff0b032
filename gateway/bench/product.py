"""product: this gateway under measurement: `gateway run` on the loopback, a state of its own.

Takes      how it compresses, and the archive that it forwards to, if any
Gives      a `Server`; what waits in its spool
Holds      `BenchFailed`
"""

import subprocess
import sys

from gateway.bench.processes import BenchFailed, environment
from gateway.bench.servers import Server
from spool.store import Spool

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
        configuration = self._folder / "gateway.toml"
        configuration.write_text(self._settings(), encoding="utf-8")
        command = [sys.executable, "-m", "gateway", "--config", str(configuration)]
        # As the units do: what migrates once is not in the memory of what runs for months.
        migrate = subprocess.run([*command, "migrate"], env=environment(), capture_output=True)
        if migrate.returncode:
            raise BenchFailed(f"gateway migrate\n{migrate.stderr.decode()}")
        return [*command, "run", *self.process]

    def _settings(self) -> str:
        text = GATEWAY.format(
            state_dir=self._folder / "state", port=self.port, transfer_syntax=self.transfer_syntax
        )
        archive = DESTINATION.format(port=self.archive_port) if self.archive_port else ""
        return text + archive


class Intake(Gateway):
    """The receiving process alone: what it takes waits for ever."""

    process = ("intake",)

    def is_idle(self) -> bool:
        return True
