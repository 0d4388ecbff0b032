"""`gateway demo`, run as a person runs it; and run with an archive that does harm."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from openjpeg.utils import encode_array
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from gateway.demo.embedded import EmbeddedArchive, EmbeddedModality
from gateway.demo.peers import Archive, Modality, Stored
from gateway.demo.pictures import RECIPES
from gateway.demo.pixels import pixels
from gateway.demo.show import show

WITHIN_S = 120
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@pytest.fixture(autouse=True)
def environment(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every child find the checkout, speak English and keep its files in `tmp_path`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(root / "queue")]))
    monkeypatch.setenv("LANGUAGE", "en")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def demo(tmp_path: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the demo without a terminal, its page in `tmp_path/out`."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", "demo", "--out", str(tmp_path / "out"), *options],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        env=os.environ | variables,
        check=False,
    )


def page(tmp_path: Path) -> str:
    return (tmp_path / "out/demo.html").read_text(encoding="utf-8")


def shows_the_main_job(done: subprocess.CompletedProcess[str], tmp_path: Path) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RECIPES)} of {len(RECIPES)} objects arrived" in done.stdout
    assert re.search(r"At the kill: 1 on the wire, [1-9]\d* acknowledged", done.stdout)
    assert re.search(r"^rgb +Explicit LE +JPEG 2000 lossless .* yes +yes ", done.stdout, re.M)
    assert not CONTROL.search(done.stdout)
    assert page(tmp_path).count('<tr class="good">') == len(RECIPES)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_demo_shows_the_main_job_on_the_embedded_archive(tmp_path: Path) -> None:
    shows_the_main_job(demo(tmp_path), tmp_path)


def test_the_demo_shows_the_main_job_on_orthanc_and_dcmtk(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    program("Orthanc")
    program("storescu")
    shows_the_main_job(demo(tmp_path, "--orthanc"), tmp_path)


def test_the_demo_speaks_chinese(tmp_path: Path) -> None:
    done = demo(tmp_path, LANGUAGE="zh_CN")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '<html lang="zh-CN">' in page(tmp_path)
    assert re.search("[\u4e00-\u9fff]", done.stdout)


def test_the_demo_keeps_its_files_when_asked(tmp_path: Path) -> None:
    assert demo(tmp_path, "--keep").returncode == 0
    (kept,) = tmp_path.glob("gateway-demo-*")
    assert len(list(kept.glob("archive/*.dcm"))) >= len(RECIPES)
    assert (kept / "gateway.log").stat().st_size


def test_the_demo_names_the_package_of_a_missing_program(tmp_path: Path) -> None:
    done = demo(tmp_path, "--orthanc", PATH=str(tmp_path))
    assert done.returncode == os.EX_UNAVAILABLE
    assert "apt-get install dcmtk" in done.stderr


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "gateway", "demo", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with running:
        assert running.stdout
        next(line for line in running.stdout if "SIGKILL" in line)
        running.send_signal(signal.SIGINT)
        assert running.wait(WITHIN_S) == 128 + signal.SIGINT
    assert list(tmp_path.iterdir()) == []
    assert not any(str(tmp_path) in line for line in command_lines())


def command_lines() -> list[str]:
    """Return the command line of every process of the machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
    return found


class AlteringArchive(EmbeddedArchive):
    """An archive that gives one picture back with one sample off by one."""

    def stored(self) -> dict[str, Stored]:
        held = super().stored()
        alter_one_sample(next(filter(is_jpeg2000, (each.copies[0] for each in held.values()))))
        return held


class LosingArchive(EmbeddedArchive):
    """An archive that has lost one object."""

    def stored(self) -> dict[str, Stored]:
        held = super().stored()
        held.popitem()
        return held


def is_jpeg2000(path: Path) -> bool:
    return dcmread(path).file_meta.TransferSyntaxUID == JPEG2000Lossless


def alter_one_sample(path: Path) -> None:
    dataset = dcmread(path)
    plain = pixels(dataset)[0].copy()
    plain[0, 0, 0] ^= 1
    colours = 1 if dataset.SamplesPerPixel == 3 else 2
    coded = encode_array(plain.squeeze(), photometric_interpretation=colours)
    dataset.PixelData = encapsulate([coded])
    dataset.save_as(path)


def peers_with(archive: Callable[[Path], Archive]) -> Callable[[Path], tuple[Modality, Archive]]:
    return lambda folder: (EmbeddedModality(folder), archive(folder))


HARM: Mapping[str, tuple[Callable[[Path], Archive], str]] = {
    "one altered pixel": (AlteringArchive, "NO"),
    "one lost object": (LosingArchive, "never"),
}


@pytest.mark.parametrize("harm", HARM)
def test_the_demo_fails_when_the_archive_does_harm(
    harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, shown = HARM[harm]
    assert show(peers_with(archive), out=tmp_path / "out", keep=False) == 1
    printed = capsys.readouterr().out
    assert shown in printed
    assert f"{len(RECIPES) - 1} of {len(RECIPES)} objects arrived" in printed
    assert page(tmp_path).count('<tr class="bad">') == 1
