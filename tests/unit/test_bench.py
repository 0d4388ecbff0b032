"""`gateway bench`: medians, ratios, the table, the data; what is measured, and how."""

import json
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread

from gateway.bench import machine, report
from gateway.bench.pictures import (
    CINE_FRAMES,
    OBJECT_BYTES,
    PICTURES,
    make_cine,
    make_objects,
    make_picture,
)
from gateway.bench.result import Column, Measurement, Row, as_data, cells, turns
from gateway.bench.tools import MissingTool, find, missing, on_core, two_cores
from gateway.cli import parser
from gateway.language import set_language

ABSENT = ("no-such-program", "no-such-package")
COLUMNS = (
    Column("objects_per_s", "objects/s", 1, spread=True),
    Column("objects_per_s", "× {peer}", 2, beside="peer"),
)


@pytest.fixture(autouse=True)
def english() -> None:
    set_language("en")


def measured(*rows: Row) -> Measurement:
    return Measurement("ingest", "A title", COLUMNS, list(rows), {"objects": 3})


def row(name: str, *rates: float, synced: bool | None = None, missing: str = "") -> Row:
    return Row(name, synced, missing, [{"objects_per_s": rate} for rate in rates])


def test_a_cell_is_the_median_of_the_runs_with_the_least_and_the_greatest() -> None:
    table = cells(measured(row("ours", 30, 10, 20), row("peer", 40)))
    assert table[1] == ["ours", "20.0 (10.0-30.0)", "0.50"]


def test_a_ratio_is_that_of_the_medians_and_the_heading_names_the_peer() -> None:
    table = cells(measured(row("ours", 1, 2, 90), row("peer", 4, 4, 4)))
    assert table[0] == ["Measured", "objects/s", "× peer"]
    assert [one[2] for one in table[1:]] == ["0.50", "1.00"]


def test_a_peer_that_is_not_installed_is_named_and_has_no_ratio() -> None:
    table = cells(measured(row("ours", 5), row("peer", missing="dcmtk")))
    assert table[1:] == [
        ["ours", "5.0 (5.0-5.0)", "-"],
        ["peer", "not installed: dcmtk", "-"],
    ]


def test_each_round_begins_with_another_row_and_leaves_out_what_is_missing() -> None:
    pairs = [("a", row("a")), ("b", row("b", missing="dcmtk")), ("c", row("c"))]
    orders = ["".join(name for name, _ in turns(pairs, number)) for number in (1, 2, 3)]
    assert orders == ["ca", "ac", "ca"]
    assert turns(pairs[1:2], 1) == []


def test_what_is_synced_is_a_column_where_it_was_asked() -> None:
    table = cells(measured(row("ours", 5, synced=True), row("peer", 5, synced=False)))
    assert [one[1] for one in table] == ["Synced", "yes", "no"]


def test_the_data_holds_every_run_the_medians_and_the_ratios() -> None:
    data = json.loads(json.dumps(as_data(measured(row("ours", 1, 3, 2), row("peer", 4)))))
    ours = data["rows"][0]
    assert [run["objects_per_s"] for run in ours["runs"]] == [1, 3, 2]
    assert ours["median"] == {"objects_per_s": 2}
    assert ours["ratio"] == {"objects_per_s / peer": 0.5}
    assert data["facts"] == {"objects": 3}


def test_a_figure_that_nobody_measured_has_no_median() -> None:
    assert row("ours").median("objects_per_s") is None


def test_a_table_is_printed_below_what_one_must_know_of_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[list[list[str]]] = []
    one = report.Report(machine.facts(tmp_path), 3, (measured(row("ours", 1), row("peer", 2)),))
    one.show(printed.append)
    text = capsys.readouterr().out
    assert "Medians of 3 interleaved runs" in text
    assert text.endswith("\nA title\n")
    assert printed[0][0][0] == "Measured"


def test_the_machine_is_told_without_the_name_of_a_host_a_user_or_a_folder(tmp_path: Path) -> None:
    known = machine.facts(tmp_path)
    assert known["cores"] == len(os.sched_getaffinity(0))
    assert known["file_system"]
    text = json.dumps(known)
    assert str(tmp_path) not in text
    assert f'"{socket.gethostname()}"' not in text
    assert f'"{platform.node()}"' not in text


def test_the_version_of_a_peer_that_is_not_installed_is_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "find", absent)
    assert machine.versions()["DCMTK"] == ""


def absent(program: str, package: str) -> str:
    raise MissingTool(program, package)


def test_a_tool_that_is_missing_is_named_by_its_package() -> None:
    assert missing(("sh", "dash"), None, ABSENT) == "no-such-package"
    assert missing(("sh", "dash"), None) == ""
    with pytest.raises(MissingTool) as caught:
        find(*ABSENT)
    assert caught.value.package == "no-such-package"


def test_server_and_client_get_a_core_each_where_there_are_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5, 3, 9})
    assert two_cores() in ((3, 5), None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5})
    assert two_cores() is None
    assert on_core(3, ["server"])[-1] == "server"
    assert on_core(None, ["server"]) == ["server"]


def test_objects_have_half_a_mebibyte_other_pixels_and_uids_of_their_own(tmp_path: Path) -> None:
    total = make_objects(tmp_path, 3)
    files = sorted(tmp_path.iterdir())
    assert total == sum(path.stat().st_size for path in files)
    assert all(abs(path.stat().st_size - OBJECT_BYTES) < OBJECT_BYTES / 100 for path in files)
    sets = [dcmread(path) for path in files]
    assert len({one.SOPInstanceUID for one in sets}) == len({one.PixelData for one in sets}) == 3
    assert all(one.SOPInstanceUID == one.file_meta.MediaStorageSOPInstanceUID for one in sets)


def test_a_cine_loop_is_one_object_of_many_frames(tmp_path: Path) -> None:
    make_cine(tmp_path / "cine.dcm")
    cine = dcmread(tmp_path / "cine.dcm")
    assert cine.NumberOfFrames == CINE_FRAMES
    assert len(cine.PixelData) == CINE_FRAMES * cine.Rows * cine.Columns * 3


@pytest.mark.parametrize("name", PICTURES)
def test_each_sample_picture_is_uncompressed(name: str, tmp_path: Path) -> None:
    make_picture(name, tmp_path / "one.dcm")
    assert not dcmread(tmp_path / "one.dcm").file_meta.TransferSyntaxUID.is_compressed


@pytest.mark.parametrize(
    "wrong", [["--rounds", "0"], ["--objects", "-1"], ["--dir", "no-such-folder"]]
)
def test_a_count_below_one_and_a_folder_that_is_not_there_are_wrong_usage(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(["bench", "codec", *wrong])
    assert caught.value.code == os.EX_USAGE


def test_the_verb_knows_every_measurement() -> None:
    for what in report.WHAT:
        assert parser().parse_args(["bench", what]).what == what


def test_a_peer_that_is_not_there_does_not_keep_the_others_from_being_measured(
    root: Path,
    tmp_path: Path,
) -> None:
    command = [
        sys.executable,
        "-m",
        "gateway",
        "bench",
        "ingest",
        "--rounds",
        "1",
        "--objects",
        "1",
    ]
    python_path = os.pathsep.join([str(root), str(root / "queue")])
    environment = {"PATH": str(tmp_path), "PYTHONPATH": python_path, "LANGUAGE": "en"}
    done = subprocess.run(
        [*command, "--json"], env=environment, capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)["measurements"][0]["rows"]
    assert {one["missing"] for one in rows} == {"dcmtk"}
