"""What the laboratory's tests share: a kernel for guests, the product as they run it, a drive."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.scripted_archive import ScriptedArchive
from tests.lab.bench import Bench
from tests.lab.kernel import Kernel, NoKernel, kernel

TOOLS = ("qemu-system-x86_64", "busybox", "mkfs.ext4", "e2fsck", "debugfs", "apt-get", "dpkg-deb")
DRIVE_BYTES = 256 << 20


@pytest.fixture(scope="session")
def guest_kernel(program: Callable[[str], str]) -> Iterator[Kernel]:
    """Debian's kernel for guests; every tool of the laboratory is there, and on PATH."""
    if platform.machine() != "x86_64":
        pytest.skip("the guest runs this machine's Python, and is an x86-64")
    folders = [str(Path(program(name)).parent) for name in TOOLS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join([os.environ["PATH"], *dict.fromkeys(folders)]))
        yield _fetched()


def _fetched() -> Kernel:
    try:
        return kernel()
    except NoKernel as fault:
        if os.environ.get("CI") == "true":
            pytest.fail(str(fault))
        pytest.skip(str(fault))


@pytest.fixture(scope="session")
def product(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source root with the product, compiled: a guest is slow at that, and cannot keep it."""
    folder = tmp_path_factory.mktemp("product")
    shutil.copytree(root / "gateway", folder / "gateway")
    shutil.copytree(root / "queue" / "spool", folder / "spool")
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def eyes(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source root with `capture`, compiled."""
    folder = tmp_path_factory.mktemp("eyes")
    shutil.copytree(root / "capture", folder / "capture")
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
    return folder


@pytest.fixture
def pristine(guest_kernel: Kernel, tmp_path: Path) -> Path:
    """The image of a drive with an empty ext4."""
    image = tmp_path / "pristine"
    image.touch()
    os.truncate(image, DRIVE_BYTES)
    command = ["mkfs.ext4", "-q", "-b", "4096", str(image)]
    subprocess.run(command, check=True)
    return image


@pytest.fixture
def bench(guest_kernel: Kernel, product: Path, free_port: Callable[[], int]) -> Iterator[Bench]:
    """A bench with an archive that takes everything."""
    archive = ScriptedArchive()
    yield Bench(guest_kernel, product, archive, free_port())
    archive.close()
