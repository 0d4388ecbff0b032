"""tools: the programs that a measurement needs, and the cores they are kept on.

Takes      the name of a program and of the Debian package that has it
Gives      its path; or that package as what is missing
Holds      `MissingTool`

References: man 1 taskset.
"""

import os
import shutil
from collections.abc import Sequence


class MissingTool(Exception):
    """The program `args[0]` is not installed; `package` is the Debian package that has it."""

    def __init__(self, program: str, package: str) -> None:
        super().__init__(program)
        self.package = package


def find(program: str, package: str) -> str:
    """Return the path of `program`; Debian puts servers where only root's PATH looks.

    Raises
    ------
    MissingTool
    """
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise MissingTool(program, package)
    return found


def missing(*tools: tuple[str, str] | None) -> str:
    """Return the package of the first of the (program, package) that is not there, else ""."""
    for tool in filter(None, tools):
        try:
            find(*tool)
        except MissingTool as absent:
            return absent.package
    return ""


def two_cores() -> tuple[int, int] | None:
    """Return a core for the server and one for the client; None where they cannot be pinned."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 and shutil.which("taskset") else None


def on_core(core: int | None, command: Sequence[str]) -> list[str]:
    """Return `command` kept on `core`, where there is one to keep it on."""
    return [*([] if core is None else ["taskset", "--cpu-list", str(core)]), *command]
