"""qrscp: DCMTK's dcmqrscp (man 1), an archive that is queried and gives back."""

from collections.abc import Callable
from pathlib import Path

from tests.fakes.running import Running, wait_for_port

_CONFIG = """
NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
edge = (EDGE, 127.0.0.1, {edge_port})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
ARCHIVE {folder} RW (50, 1024mb) ANY
AETable END
"""


class Dcmqrscp:
    """Runs from construction to `close`; what is moved to the title EDGE goes to `edge_port`."""

    def __init__(
        self, program: str, folder: Path, free_port: Callable[[], int], edge_port: int, *more: str
    ) -> None:
        self.port, kept = free_port(), folder / "qrscp"
        kept.mkdir()
        config = folder / "dcmqrscp.cfg"
        text = _CONFIG.format(port=self.port, folder=kept, edge_port=edge_port)
        config.write_text(text, encoding="ascii")
        command = [program, "-v", "-c", str(config), *more]
        self.running = Running(command, folder / "dcmqrscp.log")
        wait_for_port(self.running, self.port, is_open=True)

    def close(self) -> None:
        self.running.kill()
