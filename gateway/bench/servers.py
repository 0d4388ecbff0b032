"""servers: what every receiver under measurement has: a port, a folder, processes, a count.

Takes      a folder for its state, the core that it may use
Gives      a running server, how many objects it has, and what it costs
Holds      `MissingTool`, `BenchFailed`
"""

import socket
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from gateway.bench.processes import Program

START_S = 30.0


class Server(ABC):
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

    @abstractmethod
    def objects(self) -> int:
        """Return how many objects it has taken and keeps."""

    def is_idle(self) -> bool:
        """Tell whether nothing that it took waits to be worked on."""
        return True

    @abstractmethod
    def _command(self) -> list[str]:
        """Put down the configuration and return what starts the program."""

    def _ports(self) -> list[int]:
        return [self.port]


def listens(port: int) -> bool:
    """Tell whether somebody takes connections on `port` of the loopback."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a TCP port of the loopback that nothing listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
