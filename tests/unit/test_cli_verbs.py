"""The other verbs: their exit codes (sysexits.h), their JSON, and what they load to answer."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spool.clock import Clock
from tests.fakes.appliance import ENVIRONMENT, Gateway, archive
from tests.fakes.scripted_archive import ScriptedArchive
from tests.fakes.spools import arrival, opened

EX_OK, EX_USAGE, EX_DATAERR, EX_UNAVAILABLE, EX_SOFTWARE = 0, 64, 65, 69, 70
EX_OSERR, EX_TEMPFAIL, EX_CONFIG = 71, 75, 78

#: What only DICOM and pixels need.
HEAVY = ("numpy", "openjpeg", "pydicom", "pynetdicom", "rich", "sqlite_utils", "watchdog")


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


def loaded_by(gateway: Gateway, *arguments: str) -> set[str]:
    """Return the top-level modules that a verb loads."""
    config = gateway.folder / "gateway.toml"
    command = [sys.executable, "-X", "importtime", "-m", "gateway", "--config", str(config)]
    done = subprocess.run(
        [*command, *arguments], env=os.environ | ENVIRONMENT, capture_output=True, text=True
    )
    names = (line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["status", "--json"],
        ["queue", "list"],
        ["queue", "show", "1"],
        ["queue", "retry", "1"],
        ["config", "show"],
        ["check"],
        ["--version"],
        ["--help"],
    ],
)
def test_a_verb_that_reads_no_dicom_loads_nothing_heavy(
    gateway: Gateway, tmp_path: Path, arguments: list[str]
) -> None:
    opened(tmp_path, Clock()).close()
    loaded = loaded_by(gateway, *arguments)
    assert "argparse" in loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["queue", "list"],
        ["check"],
        ["migrate"],
        ["config", "show"],
        ["import", "."],
        ["run"],
        ["echo", "central"],
    ],
)
def test_a_wrong_configuration_is_78_with_all_its_errors(
    tmp_path: Path, arguments: list[str]
) -> None:
    gateway = Gateway(tmp_path, destination=[{"name": "central", "hsot": "a", "port": 99999}])
    done = gateway.verb(*arguments)
    assert done.returncode == EX_CONFIG
    assert "hsot" in done.stderr
    assert "port" in done.stderr
    assert not gateway.state_dir.exists()


def test_the_configuration_may_stand_before_or_after_the_verb(gateway: Gateway) -> None:
    config = str(gateway.folder / "gateway.toml")
    for arguments in (["--config", config, "status"], ["status", "--config", config]):
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            env=os.environ | ENVIRONMENT | {"GATEWAY_CONFIG": "/no/such/file"},
            capture_output=True,
        )
        assert done.returncode == EX_OK


def test_files_are_imported_and_durable_when_the_verb_says_so(
    gateway: Gateway, tmp_path: Path, sample: Callable[[str], Path]
) -> None:
    medium = tmp_path / "medium"
    (medium / "DICOM").mkdir(parents=True)
    shutil.copy(sample("CT_small.dcm"), medium / "DICOM" / "IM0001")
    shutil.copy(sample("MR_small.dcm"), medium / "DICOM" / "IM0002")
    shutil.copy(sample("DICOMDIR"), medium / "DICOMDIR")
    done = gateway.verb("import", str(medium), "--json")
    assert done.returncode == EX_OK, done.stderr
    answer = json.loads(done.stdout)
    assert [one["instance"] for one in answer["taken"]] == [1, 2]
    assert [one["code"] for one in answer["refused"]] == ["dicomdir"]
    assert gateway.status()["instances"]["received"] == 2
    assert {one["door"] for one in gateway.queue()} == {"import"}


def test_what_could_not_be_imported_is_65_and_named_with_its_reason(
    gateway: Gateway, tmp_path: Path, sample: Callable[[str], Path]
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear colleague")
    done = gateway.verb("import", str(letter), str(tmp_path / "nowhere"), "--json")
    assert done.returncode == EX_DATAERR
    refused = json.loads(done.stdout)["refused"]
    assert [one["code"] for one in refused] == ["no-data-set", "no-such-path"]
    done = gateway.verb("import", str(letter), str(sample("CT_small.dcm")))
    assert done.returncode == EX_DATAERR
    assert "[no-data-set]" in done.stderr
    assert "Saved: 1. Not taken: 1." in done.stdout


def test_a_file_name_of_another_encoding_breaks_nothing(
    gateway: Gateway, tmp_path: Path, sample: Callable[[str], Path]
) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    shutil.copy(sample("CT_small.dcm"), os.fsencode(medium) + b"/\xcd\xf5.dcm")  # GBK
    (medium / "letter.txt").write_text("Dear colleague")
    done = gateway.verb("import", str(medium), "--json")
    assert done.returncode == EX_DATAERR, done.stderr
    assert len(json.loads(done.stdout)["taken"]) == 1
    assert gateway.verb("import", str(medium)).returncode == EX_DATAERR


def test_without_room_an_import_is_75_and_says_what_is_saved(
    tmp_path: Path, sample: Callable[[str], Path]
) -> None:
    room = {"reserve_bytes": 1 << 60, "warn_bytes": 1 << 61}
    gateway = Gateway(tmp_path, room=room)
    done = gateway.verb("import", str(sample("CT_small.dcm")), "--json")
    assert done.returncode == EX_TEMPFAIL
    assert json.loads(done.stdout)["refused"][0]["code"] == "no-room"


def test_an_archive_that_answers_is_0_and_one_that_does_not_is_69(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    there = ScriptedArchive()
    gateway = Gateway(
        tmp_path,
        destination=[archive(there.port, "central"), archive(free_port(), "away")],
    )
    done = gateway.verb("echo", "central", "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (EX_OK, "")
    done = gateway.verb("echo", "away", "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (
        EX_UNAVAILABLE,
        "connection-refused",
    )
    assert gateway.verb("echo", "away").returncode == EX_UNAVAILABLE
    there.close()


def test_an_unknown_destination_is_65(gateway: Gateway) -> None:
    done = gateway.verb("echo", "nowhere")
    assert done.returncode == EX_DATAERR
    assert "[unknown-destination]" in done.stderr


def test_check_says_that_nothing_is_in_the_way_and_changes_nothing(gateway: Gateway) -> None:
    answer = gateway.check()
    assert (answer["faults"], answer["spool"]) == ([], {})
    assert not gateway.state_dir.exists()
    gateway.state_dir.mkdir()
    gateway.check()
    assert not list(gateway.state_dir.iterdir())


def test_check_names_a_door_that_cannot_be_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        gateway = Gateway(tmp_path, listen=[{"address": "127.0.0.1", "port": port}])
        done = gateway.verb("check", "--json")
    assert done.returncode == EX_UNAVAILABLE
    assert [one["code"] for one in json.loads(done.stdout)["faults"]] == ["port-in-use"]


def test_check_lists_a_blob_without_a_row(gateway: Gateway, tmp_path: Path) -> None:
    spool = opened(tmp_path, Clock())
    incoming = spool.receiving.begin(arrival())
    incoming.write(b"pixels")
    blob = incoming.keep()
    spool.close()
    answer = gateway.check()
    assert answer["spool"]["integrity"] == "ok"
    assert answer["spool"]["blobs_without_row"] == [blob.name]
    assert blob.path.exists()


def test_check_names_what_is_configured_and_not_built(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, retain={"days": 7})
    assert isinstance(gateway.check()["notices"], list)


def test_a_state_folder_in_use_is_75(gateway: Gateway, tmp_path: Path) -> None:
    spool = opened(tmp_path, Clock())
    lock = spool.lock("receive")
    done = gateway.verb("run", "receive")
    assert done.returncode == EX_TEMPFAIL
    assert "[state-folder-in-use]" in done.stderr
    lock.release()
    spool.close()


def test_a_process_that_nobody_knows_is_64(gateway: Gateway) -> None:
    done = gateway.verb("run", "everything")
    assert done.returncode == EX_USAGE


def test_a_state_folder_that_cannot_be_made_is_71(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    gateway = Gateway(tmp_path, gateway={"state_dir": str(tmp_path / "file" / "state")})
    done = gateway.verb("status")
    assert done.returncode == EX_OSERR
    assert "[state-folder]" in done.stderr


def test_a_damaged_database_is_said_and_no_traceback_is_shown(
    gateway: Gateway, tmp_path: Path
) -> None:
    opened(tmp_path, Clock()).close()
    database = gateway.state_dir / "db" / "spool.db"
    database.write_bytes(b"this was a database" * 1000)
    for verb in ("status", "check"):
        done = gateway.verb(verb)
        assert done.returncode in {EX_SOFTWARE, EX_UNAVAILABLE}
        assert "[database-damaged]" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert database.read_bytes().startswith(b"this was")


def test_migrate_may_run_again_and_again(gateway: Gateway) -> None:
    assert gateway.verb("migrate").returncode == EX_OK
    assert gateway.verb("migrate").returncode == EX_OK


def test_a_reader_that_goes_away_early_breaks_nothing(gateway: Gateway) -> None:
    config = str(gateway.folder / "gateway.toml")
    child = subprocess.Popen(
        [sys.executable, "-m", "gateway", "--config", config, "config", "show"],
        env=os.environ | ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stderr
    child.stdout.close()
    assert child.stderr.read() == ""
    assert child.wait() == EX_OK
    child.stderr.close()
