"""machine: on what it was measured. No name of a host, of a user or of a folder.

Takes      the folder in which the servers keep their state
Gives      processor, memory, file system, load, and the versions of everything that took part
Holds      nothing: what a machine does not tell is ""
"""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from gateway import __version__
from gateway.bench.tools import MissingTool, find

PACKAGES = ("numpy", "pydicom", "pylibjpeg-openjpeg")


def facts(folder: Path) -> dict[str, object]:
    """Return what a reader of the figures must know of this machine."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes,
        "file_system": file_system(folder),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "kernel": platform.release(),
        "versions": versions(),
    }


def processor() -> str:
    """Return the model as the kernel names it."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds `folder` (man 5 proc, mounts)."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    types = {Path(fields[1]): fields[2] for fields in mounts}
    resolved = folder.resolve()
    return next((types[one] for one in (resolved, *resolved.parents) if one in types), "")


def versions() -> dict[str, str]:
    """Return the versions of the gateway, its libraries and the peers; "" is not installed."""
    libraries = {name: version(name) for name in PACKAGES}
    peers = {"DCMTK": _says("storescu", "dcmtk", 2), "Orthanc": _says("Orthanc", "orthanc", 1)}
    own = {"gateway": __version__, "python": platform.python_version()}
    return own | libraries | peers


def _says(program: str, package: str, word: int) -> str:
    """Return one word of the first line that `program` prints of its version."""
    try:
        command = [find(program, package), "--version"]
    except MissingTool:
        return ""
    words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return words[word].removeprefix("v") if len(words) > word else ""
