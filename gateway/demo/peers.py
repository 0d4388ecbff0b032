"""Who stands around the gateway in the demo: a modality before it, an archive behind it.

Takes      nothing: these are the shapes that `embedded` and `orthanc` fill
Holds      `MissingTool`: a program of the machine is not installed
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from gateway.demo.pictures import Picture

#: What a modality tells of one object, by its SOP Instance UID.
Step = Literal["sending", "saved", "refused", "unanswered"]
Tell = Callable[[str, Step], object]


class MissingTool(Exception):
    """A program is not on this machine; `package` is the Debian package that has it."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(program)
        self.program = program
        self.package = package


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as the archive holds it."""

    copies: tuple[Path, ...]  #: one file each time it came and was kept, oldest first; never empty
    times: int  #: how often it came


class Modality(Protocol):
    """Sends pictures to the loopback's `port` in order and tells each step of each."""

    name: str

    def send(self, pictures: Sequence[Picture], port: int, tell: Tell) -> None:
        """Return when all are answered, or when the connection is gone; call it in any thread."""


class Archive(Protocol):
    """Listens on `port` of the loopback from `start` to `stop`."""

    name: str
    port: int
    drops: frozenset[int]  #: tags that the way to this archive leaves out, whoever stands on it

    def start(self, hear: Callable[[str], object]) -> None:
        """Return when it listens; `hear` is called with each line it prints, in a thread."""

    def arrived(self) -> dict[str, int]:
        """Return how often each SOP Instance UID came so far."""

    def stored(self) -> dict[str, Stored]:
        """Return everything it holds, by the SOP Instance UID in the objects themselves."""

    def stop(self) -> None:
        """Return when it is gone; harmless when it never started."""
