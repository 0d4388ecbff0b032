"""The units are such as systemd takes them, and leave a process as little as it needs."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("gateway*.*") if path.is_file())
SERVICES = [name for name in UNITS if name.endswith(".service")]
EXPOSURE_MOST = 1.5  #: of systemd-analyze security; 10 is a plain unit


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Return a root with our units, Debian's, and something to start."""
    ours = tmp_path / "etc/systemd/system"
    shutil.copytree(
        SYSTEMD, ours, ignore=shutil.ignore_patterns("*.md", "*.conf.d", "s*.d", "t*.d")
    )
    shutil.copytree("/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    gateway = tmp_path / "opt/gateway/bin/gateway"
    gateway.parent.mkdir(parents=True)
    gateway.write_text("#!/bin/sh\n")
    gateway.chmod(0o755)
    return tmp_path


def text_of(unit: str) -> str:
    """Return a unit with the drop-ins that apply to it."""
    drop_ins = [*SYSTEMD.glob("gateway-.service.d/*"), *SYSTEMD.glob(f"{unit}.d/*")]
    return "\n".join(path.read_text() for path in [SYSTEMD / unit, *drop_ins])


def test_systemd_finds_no_fault_in_any_unit(machine: Path, program: Callable[[str], str]) -> None:
    units = [str(machine / "etc/systemd/system" / name) for name in UNITS]
    command = [program("systemd-analyze"), "verify", f"--root={machine}", *units]
    verified = subprocess.run(command, capture_output=True, text=True)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_exposed_as_little_as_it_can_be(
    service: str, machine: Path, program: Callable[[str], str]
) -> None:
    command = [program("systemd-analyze"), "security", "--no-pager", "--offline=true"]
    said = subprocess.run(
        [*command, f"--root={machine}", service], capture_output=True, text=True, check=True
    )
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", said.stdout)
    assert score is not None, said.stdout
    assert float(score[1]) <= EXPOSURE_MOST, said.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_a_unit_starts_a_verb_that_the_program_has(service: str) -> None:
    from gateway.cli import parser

    starts = re.findall(r"^ExecStart=/opt/gateway/bin/gateway (.+)$", text_of(service), re.M)
    assert len(starts) == 1
    parser().parse_args(starts[0].split())


@pytest.mark.parametrize("service", ["gateway-intake.service", "gateway-work.service"])
def test_a_process_says_when_it_is_ready_and_is_watched(service: str) -> None:
    text = text_of(service)
    for line in ("Type=notify", "WatchdogSec=30", "Restart=always", "KillMode=mixed"):
        assert re.search(f"^{line}$", text, re.M), line


def test_only_the_codecs_process_may_set_priorities_and_limits() -> None:
    allows = [name for name in SERVICES if "SystemCallFilter=@resources" in text_of(name)]
    assert allows == ["gateway-work.service"]


def test_the_boot_id_can_be_read_under_the_sandbox() -> None:
    # A lease belongs to a boot; ProcSubset=pid hides /proc/sys, and no stage could start.
    for service in SERVICES:
        assert not re.search("^ProcSubset=", text_of(service), re.M)


def test_one_target_enables_every_service(root: Path) -> None:
    target = (SYSTEMD / "gateway.target").read_text()
    also = re.search("^Also=(.*)$", target, re.M)
    assert also is not None
    assert sorted(also[1].split()) == SERVICES
    for service in SERVICES:
        assert "WantedBy=gateway.target" in (SYSTEMD / service).read_text()


def test_the_user_is_made_as_its_tool_reads_it(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    (tmp_path / "etc").mkdir()
    shutil.copytree(SYSTEMD / "sysusers.d", tmp_path / "usr/lib/sysusers.d")
    command = [program("systemd-sysusers"), f"--root={tmp_path}"]
    subprocess.run(command, check=True, capture_output=True)
    assert "gateway:" in (tmp_path / "etc/passwd").read_text()
