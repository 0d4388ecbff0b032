"""C-FIND, C-GET, C-MOVE: real archives are asked what they have, and give it back bit for bit.

Against DCMTK's dcmqrscp and Orthanc; C-MOVE brings the object to our own port, which runs here.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from gateway.config.model import Destination
from gateway.destinations.archive import ArchiveAway, NotAnswered, Sought
from gateway.destinations.dicom import DicomArchive
from spool.store import Spool
from tests.fakes.orthanc import Orthanc
from tests.fakes.port import Port
from tests.fakes.qrscp import Dcmqrscp
from tests.fakes.spools import opened

NAMES = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm")
ABSENT = "1.2.826.0.1.3680043.8.498.404"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return opened(tmp_path)


@pytest.fixture
def port(spool: Spool, ending: ExitStack) -> Port:
    one = Port(spool)
    ending.callback(one.close)
    return one


@pytest.fixture(params=["dcmqrscp", "Orthanc"])
def archive_port(
    request: pytest.FixtureRequest,
    program: Callable[[str], str],
    tmp_path: Path,
    free_port: Callable[[], int],
    ending: ExitStack,
    port: Port,
) -> int:
    """Return the port of an archive that moves to the title EDGE."""
    path = program(request.param)
    archive: Dcmqrscp | Orthanc
    if request.param == "dcmqrscp":
        archive = Dcmqrscp(path, tmp_path, free_port, port.port, "+xw", "-xw")
    else:
        edge = ["EDGE", "127.0.0.1", port.port]
        more = {"DicomModalities": {"edge": edge}, "DicomAlwaysAllowGet": True}
        archive = Orthanc(path, tmp_path, free_port, more=more)
    ending.callback(archive.close)
    return archive.port


@pytest.fixture
def destination(archive_port: int) -> Destination:
    return Destination(
        name="archive", host="127.0.0.1", port=archive_port, ae_title="ARCHIVE", answer_s=20
    )


@pytest.fixture
def kept(
    archive_port: int, sample: Callable[[str], Path], store: Callable[..., object]
) -> list[pydicom.Dataset]:
    """Return what the archive has."""
    files = [sample(name) for name in NAMES]
    for file in files:
        options = ["-aec", "ARCHIVE"] + (["-xw"] if file.name.startswith("JPEG2000") else [])
        assert store(archive_port, [file], *options).acknowledged == (file,)  # type: ignore[attr-defined]
    return [pydicom.dcmread(file) for file in files]


@pytest.fixture
def opened_archive(
    destination: Destination, spool: Spool, ending: ExitStack
) -> Callable[..., DicomArchive]:
    def make(**keys: object) -> DicomArchive:
        one = DicomArchive(replace(destination, **keys), "EDGE", spool)  # type: ignore[arg-type]
        ending.callback(one.release)
        return one

    return make


def sought_of(one: pydicom.Dataset, uid: str = "") -> Sought:
    return Sought(
        str(one.SOPClassUID),
        uid or str(one.SOPInstanceUID),
        str(one.StudyInstanceUID),
        str(one.SeriesInstanceUID),
        str(one.file_meta.TransferSyntaxUID),
    )


def is_beyond_dcmtk(request: pytest.FixtureRequest, one: pydicom.Dataset) -> bool:
    """dcmqrscp offers one context with all syntaxes, cannot convert, and our port picks one."""
    return "dcmqrscp" in request.node.name and one.file_meta.TransferSyntaxUID.is_compressed


def test_it_names_what_the_archive_has_and_nothing_else(
    opened_archive: Callable[..., DicomArchive], kept: list[pydicom.Dataset]
) -> None:
    archive = opened_archive()
    there = [sought_of(one) for one in kept]
    missing = [sought_of(one, f"{ABSENT}.{nth}") for nth, one in enumerate(kept)]
    assert archive.find([*there, *missing]) == {one.sop_instance_uid for one in there}
    assert archive.find(missing) == frozenset()


@pytest.mark.parametrize("retrieve", ["get", "move", "auto"])
def test_it_gives_back_what_was_stored(
    opened_archive: Callable[..., DicomArchive],
    kept: list[pydicom.Dataset],
    spool: Spool,
    tmp_path: Path,
    retrieve: str,
    request: pytest.FixtureRequest,
) -> None:
    archive = opened_archive(retrieve=retrieve)
    for one in kept:
        if retrieve == "move" and is_beyond_dcmtk(request, one):
            continue
        back = archive.read_back(sought_of(one), tmp_path)
        assert back
        assert back.dataset_bytes == back.path.stat().st_size - back.dataset_offset
        syntax = pydicom.uid.UID(back.transfer_syntax_uid)
        with back.path.open("rb") as file:
            file.seek(back.dataset_offset)
            again = pydicom.filereader.read_dataset(
                file, syntax.is_implicit_VR, syntax.is_little_endian
            )
        assert again.SOPInstanceUID == one.SOPInstanceUID
        if back.transfer_syntax_uid == one.file_meta.TransferSyntaxUID:
            assert again.PixelData == one.PixelData
    assert spool.counting.instances()["received"] == 0, "what was asked back is no arrival"


@pytest.mark.parametrize("retrieve", ["get", "move", "auto"])
def test_what_the_archive_does_not_have_is_not_given_back(
    opened_archive: Callable[..., DicomArchive],
    kept: list[pydicom.Dataset],
    tmp_path: Path,
    retrieve: str,
) -> None:
    archive = opened_archive(retrieve=retrieve)
    assert archive.read_back(sought_of(kept[0], ABSENT), tmp_path) is None
    assert not [*tmp_path.glob("*.part")]


def test_an_archive_that_cannot_move_what_it_has_is_told_with_its_status(
    opened_archive: Callable[..., DicomArchive],
    kept: list[pydicom.Dataset],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    beyond = [one for one in kept if is_beyond_dcmtk(request, one)]
    for one in beyond:
        with pytest.raises(NotAnswered) as told:
            opened_archive(retrieve="move").read_back(sought_of(one), tmp_path)
        assert (told.value.code, told.value.detail[:4]) == ("readback-refused", "A702")


def test_an_archive_that_does_not_know_our_title_is_told_with_its_status(
    destination: Destination, spool: Spool, kept: list[pydicom.Dataset], tmp_path: Path
) -> None:
    stranger = replace(destination, retrieve="move", calling_ae_title="STRANGER")
    archive = DicomArchive(stranger, "EDGE", spool)
    with pytest.raises((NotAnswered, ArchiveAway)) as told:
        archive.read_back(sought_of(kept[0]), tmp_path)
    code = getattr(told.value, "code", "")
    assert code in ("readback-refused", "aborted"), "Orthanc aborts"
    archive.release()


def test_nobody_there_is_told_as_away_as_a_whole(
    opened_archive: Callable[..., DicomArchive],
    free_port: Callable[[], int],
    kept: list[pydicom.Dataset],
    tmp_path: Path,
) -> None:
    archive = opened_archive(ask_port=free_port())
    for ask in (
        lambda: archive.find([sought_of(kept[0])]),
        lambda: archive.read_back(sought_of(kept[0]), tmp_path),
        lambda: archive.commit("2.25.1", [sought_of(kept[0])]),
    ):
        with pytest.raises(ArchiveAway) as away:
            ask()
        assert (away.value.code, away.value.whole) == ("connection-refused", True)
    archive.probe()  # who answers questions is another than who stores
