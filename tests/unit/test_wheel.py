"""What is shipped is whole: the wheel, alone in a clean environment, runs."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = ["gateway", "capture", "queue", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from a copy: a build leaves its traces where it happens."""
    copy = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        place = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        place(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", copy / "dist", copy, cwd=copy)
    return next((copy / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a clean environment that holds the wheel, with ours below it.

    Packages of ours come in by a .pth line, which does not run the .pth of the checkout there: the
    gateway can only be the one of the wheel.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=folder)
    return folder


def test_the_wheel_holds_every_file_that_is_no_source(installed: Path) -> None:
    packages = next(installed.glob("lib/python*/site-packages"))
    for top, inside in ((ROOT, "gateway"), (ROOT, "capture"), (ROOT / "queue", "spool")):
        for path in (top / inside).rglob("*"):
            name = path.relative_to(top)
            if path.suffix in {".sql", ".mo", ".html", ".typed", ".py"}:
                assert (packages / name).is_file(), name


def test_the_program_of_the_wheel_runs(installed: Path, tmp_path: Path) -> None:
    where = "import gateway; print(gateway.__file__)"
    assert run(installed / "bin/python", "-c", where, cwd=tmp_path).startswith(str(installed))
    assert "usage: gateway" in run(installed / "bin/gateway", "--help", cwd=tmp_path)


def test_the_program_of_the_wheel_brings_its_schema(installed: Path, tmp_path: Path) -> None:
    settings = tmp_path / "gateway.toml"
    state = json.dumps(str(tmp_path / "state"))
    settings.write_text(f"config_version = 1\n[gateway]\nstate_dir = {state}\n")
    gateway = installed / "bin/gateway"
    run(gateway, "--config", settings, "migrate", cwd=tmp_path)
    status = json.loads(run(gateway, "--config", settings, "status", "--json", cwd=tmp_path))
    assert status["instances"]["received"] == 0
