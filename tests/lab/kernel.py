"""kernel: Debian's own kernel, fetched and unpacked, never installed.

Takes      apt's lists, or what an earlier run left in the user's cache
Gives      its image, and modules in the order in which they load
Holds      one folder a version, 400 MB, put in place whole: runs may start side by side

References: man 8 modprobe (depends), man 1 dpkg-deb.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


class NoKernel(Exception):
    """apt knows no kernel or cannot fetch it; `args[0]` says what it said."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel package, unpacked."""

    image: Path
    modules: dict[str, Path]  #: by name, with underscores

    def load_order(self, names: Iterable[str]) -> list[str]:
        """Return `names` and all they depend on, each after its dependencies."""
        order: dict[str, None] = {}
        for name in names:
            self._add(name, order)
        return list(order)

    def _add(self, name: str, order: dict[str, None]) -> None:
        if name in order:
            return
        depends = DEPENDS.search(self.modules[name].read_bytes())
        for other in depends[1].decode().split(",") if depends else ():
            if other:
                self._add(other.replace("-", "_"), order)
        order[name] = None


def kernel() -> Kernel:
    """Return the kernel that Debian offers now.

    Raises
    ------
    NoKernel
    """
    package = _package()
    name = _apt("apt-get", "download", "--print-uris", package).split()[1]
    folder = _cache() / name.removesuffix(".deb")
    if not folder.is_dir():
        _fetch(package, folder)
    (image,) = folder.glob("boot/vmlinuz-*")
    modules = folder.glob("lib/modules/**/*.ko")
    return Kernel(image, {path.stem.replace("-", "_"): path for path in modules})


def _package() -> str:
    depends = _apt("apt-cache", "depends", "linux-image-amd64")
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise NoKernel("apt knows no linux-image-amd64: apt-get update has not run")
    return found[1]


def _cache() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME")
    return (Path(chosen) if chosen else Path.home() / ".cache") / "gateway-lab"


def _fetch(package: str, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _apt("apt-get", "-o", "APT::Sandbox::User=root", "download", package, cwd=scratch)
        (deb,) = Path(scratch).glob("*.deb")
        unpack = ["dpkg-deb", "-x", str(deb), f"{scratch}/whole"]
        subprocess.run(unpack, check=True)
        if not folder.is_dir():  # another run may have been quicker
            Path(scratch, "whole").rename(folder)


def _apt(*command: str, cwd: str | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True
    )
    if done.returncode:
        raise NoKernel(f"{' '.join(command)}: {done.stderr}")
    return done.stdout
