"""What tests of every ring share: programs from Debian, free ports, sample pictures."""

import os
import shutil
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.fakes.known_secrets import GIVEN_AWAY, MARK

# A machine that is shared stalls now and then; a test's own timeout ends what hangs. A change is
# judged by the same examples each time; at a desk and at night new ones are looked for.
CI = os.environ.get("CI") == "true"
settings.register_profile("shared", deadline=None, derandomize=CI)
settings.load_profile("shared")

ROOT = Path(__file__).parents[1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test in which anything printed one of the tests' secrets has failed."""
    report = yield
    printed = [*GIVEN_AWAY, *(text for _name, text in report.sections if MARK in text)]
    GIVEN_AWAY.clear()
    if printed and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.name}: a secret was printed"
    return report


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Return a function from a program's name to its path.

    A missing program is a skip at a desk and a failure where CI=true: there a skip shows nothing.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])  # Orthanc lies there

    def find(name: str) -> str:
        found = shutil.which(name, path=path)
        if found is None and os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing; ./test installs it")
        if found is None:
            pytest.skip(f"{name} is missing")
        return found

    return find


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Return a function that gives a TCP port of 127.0.0.1 which nobody listened on just now."""

    def find() -> int:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
        return port

    return find


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Path]:
    """Return a function from a file name to the public picture that comes with pydicom's wheel."""
    from pydicom.data import get_testdata_file

    def find(name: str) -> Path:
        path = get_testdata_file(name, download=False)
        assert isinstance(path, str), f"pydicom's wheel holds no {name}"
        return Path(path)

    return find
