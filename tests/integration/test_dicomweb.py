"""A real Orthanc with its DICOMweb plug-in, and an object too large for memory."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from gateway.config.model import Destination, Settings
from gateway.destinations.archive import ReadBack, Sought
from gateway.destinations.dicomweb import DicomwebArchive
from gateway.dicom.part10 import read_file_meta
from gateway.dicom.status import Verdict
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from spool.model import Blob, Rendition, Role
from tests.fakes import pictures
from tests.fakes.appliance import EAGER
from tests.fakes.narrow_proxy import NarrowProxy
from tests.fakes.objects import new_uid, several
from tests.fakes.orthanc import DICOMWEB, Orthanc

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "Plugins": [DICOMWEB],
    "OverwriteInstances": False,
    "StableAge": 600,
    "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "MainDicomTags"},
}
#: As for other archives, without what only DICOM has.
EAGER_WEB = {key: one for key, one in EAGER.items() if key not in ("host", "ae_title")}


@pytest.fixture
def orthanc(
    program: Callable[[str], str], tmp_path: Path, free_port: Callable[[], int], ending: ExitStack
) -> Orthanc:
    if not Path(DICOMWEB).exists():  # a program of no name is missing in the same way
        program("orthanc-dicomweb")
    archive = Orthanc(program("Orthanc"), tmp_path, free_port, more=SETTINGS)
    ending.callback(archive.close)
    return archive


@pytest.fixture
def archive(orthanc: Orthanc, ending: ExitStack) -> DicomwebArchive:
    destination = Destination(name="web", kind="dicomweb", url=orthanc.dicomweb, answer_s=120)
    made = DicomwebArchive(Settings(), destination)
    ending.callback(made.release)
    return made


def rendition(path: Path, data_set_bytes: int | None = None) -> Rendition:
    meta = read_file_meta(path)
    size = meta.dataset_bytes if data_set_bytes is None else data_set_bytes
    blob = Blob(path.name, path, meta.dataset_offset, size, "")
    syntax = meta.transfer_syntax_uid
    return Rendition(Role.RECEIVED, meta.sop_instance_uid, meta.sop_class_uid, syntax, blob)


def sought(path: Path) -> Sought:
    said = dcmread(path, stop_before_pixels=True)
    uids = (said.SOPClassUID, said.SOPInstanceUID, said.StudyInstanceUID, said.SeriesInstanceUID)
    return Sought(*map(str, uids))


def data_set(one: Rendition | ReadBack) -> str:
    """Return the digest of a data set."""
    place = one.blob if isinstance(one, Rendition) else one
    with place.path.open("rb") as file:
        file.seek(place.dataset_offset)
        return hashlib.file_digest(file, "sha256").hexdigest()


def verdicts(archive: DicomwebArchive, objects: Sequence[Rendition]) -> list[Verdict]:
    return [one.verdict for one in archive.send(objects, tuple)]


PICTURES = ("CT_small.dcm", "MR_small_implicit.dcm", "examples_jpeg2k.dcm", "SC_rgb_rle.dcm")


def test_a_batch_is_sent_found_and_given_back_to_the_byte(archive, sample, tmp_path) -> None:
    archive.probe()
    paths = [sample(name) for name in PICTURES]
    assert archive.find([sought(path) for path in paths]) == frozenset()
    assert archive.read_back(sought(paths[0]), tmp_path) is None
    assert verdicts(archive, [rendition(path) for path in paths]) == [Verdict.SENT] * len(paths)
    uids = {sought(path).sop_instance_uid for path in paths}
    assert archive.find([sought(path) for path in paths]) == uids
    for path in paths:
        back = archive.read_back(sought(path), tmp_path)
        assert back is not None
        assert data_set(back) == data_set(rendition(path))
        assert back.transfer_syntax_uid == rendition(path).transfer_syntax_uid


def test_many_of_one_series_are_found_page_by_page(archive, orthanc, sample, tmp_path) -> None:
    made = dcmread(sample("CT_small.dcm"))
    paths = []
    for nth in range(120):
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.{nth}"
        paths.append(tmp_path / f"{nth}.dcm")
        made.save_as(paths[-1])
    batches = [paths[at : at + 10] for at in range(0, len(paths), 10)]
    for batch in batches:
        assert set(verdicts(archive, [rendition(path) for path in batch])) == {Verdict.SENT}
    orthanc.delete("1.2.826.0.1.7")
    wanted = [sought(path) for path in paths]
    missing = {one.sop_instance_uid for one in wanted} - archive.find(wanted)
    assert missing == {"1.2.826.0.1.7"}


def test_one_bad_among_good_is_refused_alone(archive, sample, tmp_path) -> None:
    good, other = sample("CT_small.dcm"), sample("MR_small.dcm")
    bad = tmp_path / "bad.dcm"
    meta = read_file_meta(good)
    bad.write_bytes(good.read_bytes()[: meta.dataset_offset] + b"no data set at all" * 20)
    objects = [rendition(other), rendition(bad), rendition(sample("examples_jpeg2k.dcm"))]
    answers = archive.send(objects, tuple)
    assert [one.verdict for one in answers] == [Verdict.SENT, Verdict.REFUSED, Verdict.SENT]
    assert answers[1].code == "http-400"


def test_other_pixels_under_the_same_uid_count_as_sent_and_reading_back_tells(
    archive, sample, tmp_path
) -> None:
    first, second = sample("CT_small.dcm"), tmp_path / "second.dcm"
    made = dcmread(first)
    made.PixelData = made.PixelData[:-2] + b"\x01\x02"
    made.save_as(second)
    assert verdicts(archive, [rendition(first)]) == [Verdict.SENT]
    assert verdicts(archive, [rendition(second)]) == [Verdict.SENT]
    back = archive.read_back(sought(second), tmp_path)
    assert back is not None
    assert data_set(back) == data_set(rendition(first)) != data_set(rendition(second))


def test_what_was_lost_there_is_neither_found_nor_given_back(
    archive, orthanc, sample, tmp_path
) -> None:
    path = sample("CT_small.dcm")
    assert verdicts(archive, [rendition(path)]) == [Verdict.SENT]
    orthanc.empty()
    assert archive.find([sought(path)]) == frozenset()
    assert archive.read_back(sought(path), tmp_path) is None


def test_a_proxy_that_takes_little_at_a_time_is_sent_less_and_less(
    orthanc, sample, program, tmp_path, free_port, ending
) -> None:
    proxy = NarrowProxy(program("nginx"), tmp_path, free_port, orthanc.dicomweb, bytes_most=100_000)
    ending.callback(proxy.close)
    archive = DicomwebArchive(Settings(), Destination(name="w", kind="dicomweb", url=proxy.url))
    ending.callback(archive.release)
    small = several(sample("CT_small.dcm"), tmp_path / "many", 8)
    large = cine(tmp_path / "large.dcm", 20)
    answers = archive.send([rendition(path) for path in (*small, large)], tuple)
    assert [one.verdict for one in answers] == [Verdict.SENT] * 8 + [Verdict.HELD]
    assert answers[-1].code == "http-413"
    assert len(orthanc.instances()) == 8
    refused = proxy.refused()
    assert refused > 1
    bytes_most = archive.batch().bytes_most
    size = rendition(small[0]).blob.dataset_bytes
    batch = [rendition(path) for path in small[: max(1, bytes_most // size)]]
    assert [one.verdict for one in archive.send(batch, tuple)] == [Verdict.SENT] * len(batch)
    assert proxy.refused() == refused
    orthanc.close()
    (answer,) = archive.send([rendition(small[0])], tuple)
    assert (answer.verdict, answer.code) == (Verdict.BUSY, "http-502")


#: Reads back what it sent; prints the verdict and the peak of its memory.
WORK = """
import sys
from pathlib import Path
from gateway.config.model import Destination, Settings
from gateway.destinations.archive import Sought
from gateway.destinations.dicomweb import DicomwebArchive
from spool.model import Blob, Rendition, Role
url, path, offset, size, uid, syntax, study, series, folder = sys.argv[1:]
blob = Blob("blob", Path(path), int(offset), int(size), "")
one = Rendition(Role.RECEIVED, uid, "1.2.840.10008.5.1.4.1.1.3.1", syntax, blob)
archive = DicomwebArchive(Settings(), Destination(name="w", kind="dicomweb", url=url, answer_s=240))
(answer,) = archive.send([one], tuple)
back = archive.read_back(Sought(one.sop_class_uid, uid, study, series), Path(folder))
archive.release()
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(answer.verdict, back.path, back.dataset_offset, back.dataset_bytes, peak.split()[1])
"""
#: Pieces of 64 KiB on their way: more than this is something kept by mistake.
MOST_KIB = 40 * 1024


def test_a_cine_of_400_megabytes_needs_no_more_memory_than_a_small_one(
    orthanc, sample, tmp_path
) -> None:
    peaks_kib = []
    for frames in (1, 400):
        path = cine(tmp_path / f"{frames}.dcm", frames)
        meta, uids = read_file_meta(path), sought(path)
        where = (path, meta.dataset_offset, meta.dataset_bytes, uids.sop_instance_uid)
        more = (EXPLICIT_VR_LITTLE_ENDIAN, uids.study_instance_uid, uids.series_instance_uid)
        done = subprocess.run(
            [sys.executable, "-c", WORK, orthanc.dicomweb, *map(str, (*where, *more, tmp_path))],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        verdict, back, offset, size, peak_kib = done.stdout.split()
        assert verdict == Verdict.SENT
        back_there = ReadBack(Path(back), int(offset), int(size), EXPLICIT_VR_LITTLE_ENDIAN)
        assert data_set(back_there) == data_set(rendition(path))
        peaks_kib.append(int(peak_kib))
    assert peaks_kib[1] - peaks_kib[0] < MOST_KIB


def cine(path: Path, frames: int) -> Path:
    """Write a grey ultrasound cine of 1024 x 1024 pixels a frame."""
    picture = pictures.colour("RGB", 8, frames=1)[0, :, :, 1]
    frame = np.resize(picture, (1024, 1024))
    made = pictures.data_set(frame[None], "MONOCHROME2", 8)
    made.NumberOfFrames = frames
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = new_uid()
    made.PixelData = frame.tobytes() * frames
    made.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return path


def test_the_program_sends_batches_and_none_is_lost(
    orthanc, make_gateway, store, sample, tmp_path
) -> None:
    pictures = several(sample("MR_small_implicit.dcm"), tmp_path / "many", 25)
    web = {"name": "web", "kind": "dicomweb", "url": orthanc.dicomweb, "confirm": "none"}
    gateway = make_gateway(destination=[EAGER_WEB | web], compress={"transfer_syntax": "none"})
    running = gateway.start("receive", "prepare")
    assert store(gateway.port, pictures, "-xi").acknowledged == tuple(pictures)
    running.wait_for("prepare ready", 25)
    running.ask_to_end()
    assert running.wait(30) == 0
    running = gateway.start("forward")
    running.wait_for("sent instance=", 25)
    running.ask_to_end()
    assert running.wait(30) == 0
    assert {one["state"] for one in gateway.deliveries("web").values()} == {"sent"}
    arrived = {uid: orthanc.fetch(key) for uid, key in orthanc.instances().items()}
    assert {uid: data_set(rendition(path)) for uid, path in arrived.items()} == {
        sought(path).sop_instance_uid: data_set(rendition(path)) for path in pictures
    }
    asked = orthanc.running.found("POST /dicom-web/studies")
    assert len(asked) == 3, asked


def test_the_program_waits_for_an_archive_that_does_not_know_us(
    orthanc, make_gateway, store, sample
) -> None:
    web = {"name": "web", "kind": "dicomweb", "url": f"{orthanc.dicomweb}/nowhere"}
    gateway = make_gateway(destination=[EAGER_WEB | web | {"confirm": "none"}])
    running = gateway.start()
    store(gateway.port, [sample("CT_small.dcm")], "-xe")
    running.wait_for("forward@web deferred .*http-404")
    running.wait_for("forward@web back")
    running.wait_for("forward@web deferred .*http-404", 2)
    (delivery,) = gateway.deliveries("web").values()
    assert delivery["state"] == "queued"
    assert delivery["error"]["code"] == "http-404"
    assert "no DICOMweb service" in delivery["error"]["text"]
    told = gateway.status()["destinations"]["web"]["last_error"]
    assert told["code"] == "http-404"
    assert "Check the destination's url" in told["text"]
