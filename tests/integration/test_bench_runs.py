"""`gateway bench`, run as a person runs it, with as little work as it takes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WITHIN_S = 240
INTAKE, DCMTK, ORTHANC = "gateway, intake alone", "DCMTK storescp", "Orthanc"


@pytest.fixture
def bench(
    root: Path, tmp_path: Path, program: Callable[[str], str]
) -> Callable[..., dict[str, Any]]:
    """Return a function that runs `gateway bench` with JSON and gives what it says."""
    for name in ("storescu", "storescp", "Orthanc"):
        program(name)
    python_path = os.pathsep.join([str(root), str(root / "queue")])

    def run(*words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "gateway", "bench", *words, "--rounds", "1", "--json"]
        environment = {**os.environ, "PYTHONPATH": python_path, "LANGUAGE": "en"}
        done = subprocess.run(
            [*command, "--dir", str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert list(tmp_path.iterdir()) == []
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def rows(measurement: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in measurement["rows"]}


def test_ingest_is_measured_beside_dcmtk_and_orthanc(bench: Callable[..., dict[str, Any]]) -> None:
    tables = bench("ingest", "--objects", "3")["measurements"]
    for table in tables:
        found = rows(table)
        assert {INTAKE, DCMTK, ORTHANC} <= set(found)
        assert all(row["median"]["objects_per_s"] > 0 for row in found.values())
        assert [found[name]["synced"] for name in (INTAKE, DCMTK, ORTHANC)] == [True, False, True]
        assert f"objects_per_s / {DCMTK}" in found[INTAKE]["ratio"]


def test_colour_is_compressed_with_the_transform_and_grey_as_pydicom_does(
    bench: Callable[..., dict[str, Any]],
) -> None:
    found = rows(bench("codec")["measurements"][0])
    doppler, grey = (found[name]["median"] for name in ("US 640x480 RGB", "CT 128x128 16 bit"))
    assert doppler["ratio"] > 2 * doppler["pydicom_ratio"]
    assert grey["ratio"] == grey["pydicom_ratio"]


def test_everything_arrives_in_orthanc_by_each_way(bench: Callable[..., dict[str, Any]]) -> None:
    found = rows(bench("through", "--objects", "3")["measurements"][0])
    megabytes = {name: row["median"]["archive_megabytes"] for name, row in found.items()}
    assert megabytes["through the gateway, compressed"] < megabytes["straight to Orthanc"] / 2
    assert all(row["median"]["objects_per_s"] > 0 for row in found.values())


@pytest.mark.nightly
def test_memory_is_measured_at_rest_and_under_load(bench: Callable[..., dict[str, Any]]) -> None:
    found = rows(bench("memory", "--objects", "3")["measurements"][0])
    for row in found.values():
        figures = row["median"]
        assert 0 < figures["idle_pss_megabytes"] <= figures["idle_rss_megabytes"]
        assert figures["idle_pss_megabytes"] <= figures["single_pss_megabytes"] * 1.1
