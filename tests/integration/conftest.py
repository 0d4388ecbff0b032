"""Real peers and the real program; what a test made is ended with it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.appliance import Gateway
from tests.fakes.dcmtk import Said, Storescp, echoscu, storescu
from tests.fakes.orthanc import Orthanc
from tests.fakes.scripted_archive import ScriptedArchive


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    """Return the stack that closes what a test opened."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_gateway(tmp_path: Path, ending: ExitStack) -> Callable[..., Gateway]:
    """Return a function from sections of the configuration to a gateway in `tmp_path`."""

    def make(**sections: object) -> Gateway:
        gateway = Gateway(tmp_path, **sections)  # type: ignore[arg-type]
        ending.callback(gateway.close)
        return gateway

    return make


@pytest.fixture
def make_archive(ending: ExitStack) -> Callable[..., ScriptedArchive]:
    """Return a function that starts a scripted archive."""

    def make(*arguments: object) -> ScriptedArchive:
        archive = ScriptedArchive(*arguments)  # type: ignore[arg-type]
        ending.callback(archive.close)
        return archive

    return make


@pytest.fixture
def make_storescp(
    program: Callable[[str], str], tmp_path: Path, free_port: Callable[[], int], ending: ExitStack
) -> Callable[..., Storescp]:
    """Return a function from options to DCMTK's storescp."""

    def make(*options: str) -> Storescp:
        archive = Storescp(program("storescp"), tmp_path, free_port, *options)
        ending.callback(archive.close)
        return archive

    return make


@pytest.fixture
def make_orthanc(
    program: Callable[[str], str], tmp_path: Path, free_port: Callable[[], int], ending: ExitStack
) -> Callable[..., Orthanc]:
    """Return a function from accepted transfer syntaxes to a real Orthanc."""

    def make(*syntaxes: str) -> Orthanc:
        archive = Orthanc(program("Orthanc"), tmp_path, free_port, syntaxes=syntaxes or ("*",))
        ending.callback(archive.close)
        return archive

    return make


@pytest.fixture
def store(program: Callable[[str], str]) -> Callable[..., Said]:
    """Return a function that sends files with DCMTK's storescu: port, files, options."""
    return lambda port, files, *options: storescu(program("storescu"), port, files, *options)


@pytest.fixture
def echo(program: Callable[[str], str]) -> Callable[..., Said]:
    """Return a function that asks with DCMTK's echoscu: port, options."""
    return lambda port, *options: echoscu(program("echoscu"), port, *options)
