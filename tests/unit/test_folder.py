"""A stick: what lies on it is whole, its index opens, and nothing of what was there is harmed."""

import contextlib
import errno
import os
import shutil
import subprocess
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pydicom
import pytest
from pydicom.fileset import FileSet

from gateway.config.model import Destination
from gateway.destinations.archive import Answer, ArchiveAway, Sought
from gateway.destinations.folder import FolderArchive
from gateway.destinations.folder_files import name_of
from gateway.dicom.request import UnreadableFile
from gateway.dicom.status import Verdict
from spool.model import Rendition
from tests.fakes.renditions import data_set_of, rendition_of
from tests.fakes.sticks import another, copies_of, count, file_of, kept, no_others, sought, uids


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


@pytest.fixture
def archive(stick: Path) -> FolderArchive:
    return FolderArchive(Destination(name="usb", kind="folder", path=stick))


@pytest.fixture
def copies(sample: Callable[[str], Path], tmp_path: Path) -> Callable[[int], list[Rendition]]:
    """Return a function that gives so many objects of one series."""
    return partial(copies_of, sample("CT_small.dcm"), tmp_path)


def test_further_batches_extend_what_is_ours(copies, stick, archive):
    ones = copies(6)
    archive.send(ones[:2], no_others)
    archive.send(ones[2:3], no_others)
    another(stick).send(ones[3:], no_others)
    assert kept(archive, ones) == uids(ones)
    assert count(stick) == 6
    assert sorted(path.name for path in stick.iterdir()) == ["DICOM", "DICOMDIR"]


def test_what_is_there_already_is_not_written_again(copies, stick, archive):
    [one] = copies(1)
    archive.send([one], no_others)
    before = {path: path.stat().st_mtime_ns for path in stick.rglob("*")}
    [answer] = another(stick).send([one], no_others)
    assert answer.verdict is Verdict.SENT
    assert before == {path: path.stat().st_mtime_ns for path in stick.rglob("*")}


def test_another_object_under_the_same_uid_waits_for_a_person(copies, archive, tmp_path):
    [one] = copies(1)
    archive.send([one], no_others)
    ds = pydicom.dcmread(one.blob.path)
    ds.PatientName = "Another^One"
    ds.save_as(tmp_path / "other.dcm")
    other = rendition_of(tmp_path / "other.dcm")
    [answer] = archive.send([other], no_others)
    assert (answer.verdict, answer.code) == (Verdict.HELD, "medium-has-another")
    assert kept(archive, [one]) == uids([one])


@pytest.mark.parametrize("harm", ["a bit", "the end", "the file", "the head", "another file"])
def test_what_is_no_longer_what_was_written_is_not_found_and_written_again(
    copies, stick, archive, harm
):
    one, other = copies(2)
    archive.send([one, other], no_others)
    path = file_of(stick, one)
    whole = bytearray(path.read_bytes())
    if harm == "a bit":
        whole[-9] ^= 1
        path.write_bytes(whole)
    elif harm == "the end":
        os.truncate(path, len(whole) - 1)
    elif harm == "the head":
        whole[140] ^= 1
        path.write_bytes(whole)
    elif harm == "another file":
        shutil.copy(file_of(stick, other), path)
    else:
        path.unlink()
    for asked in (archive, another(stick)):
        assert kept(asked, [one, other]) == uids([other])
    assert archive.send([one], no_others)[0].verdict is Verdict.SENT
    assert kept(another(stick), [one, other]) == uids([one, other])
    assert count(stick) == 2


def test_an_object_is_read_back_as_it_lies_there(copies, stick, archive, tmp_path):
    [one] = copies(1)
    archive.send([one], no_others)
    back = archive.read_back(sought(one), tmp_path)
    assert back is not None and back.transfer_syntax_uid == one.transfer_syntax_uid
    assert back.path.read_bytes()[back.dataset_offset :] == data_set_of(one)
    assert back.dataset_bytes == one.blob.dataset_bytes
    file_of(stick, one).unlink()
    assert archive.read_back(sought(one), tmp_path) is None
    assert archive.read_back(Sought("1.2", "1.2.3.99", "", ""), tmp_path) is None


def away(archive: FolderArchive, ones: list[Rendition]) -> str:
    with pytest.raises(ArchiveAway) as probed:
        archive.probe()
    with pytest.raises(ArchiveAway) as sent:
        archive.send(ones, no_others)
    assert sent.value.code == probed.value.code and sent.value.whole
    return sent.value.code


def test_an_index_of_another_program_is_left_alone(copies, stick, archive, tmp_path):
    theirs = FileSet()
    theirs.add(pydicom.dcmread(copies(1)[0].blob.path))
    theirs.write(tmp_path / "theirs")
    theirs._stage["t"].cleanup()
    theirs = (tmp_path / "theirs" / "DICOMDIR").read_bytes()
    (stick / "DICOMDIR").write_bytes(theirs)
    assert away(archive, copies(1)) == "medium-foreign"
    assert [path.name for path in stick.iterdir()] == ["DICOMDIR"]
    assert (stick / "DICOMDIR").read_bytes() == theirs


@pytest.mark.parametrize("harm", [b"x", b"x" * 200, "short", "bit", "more"])
def test_an_index_that_is_not_what_we_wrote_is_left_alone(copies, stick, archive, harm):
    ones = copies(2)
    archive.send(ones[:1], no_others)
    whole = (stick / "DICOMDIR").read_bytes()
    if harm == "short":
        harm = whole[:-20]
    elif harm == "bit":
        harm = whole[:-300] + bytes([whole[-300] ^ 1]) + whole[-299:]
    elif harm == "more":
        harm = whole + b"\0" * 8
    (stick / "DICOMDIR").write_bytes(harm)
    code = away(another(stick), ones[1:])
    assert code == ("medium-foreign" if harm in (b"x", b"x" * 200) else "medium-damaged")
    assert (stick / "DICOMDIR").read_bytes() == harm


def test_files_of_others_are_left_alone(copies, stick, archive):
    [one] = copies(1)
    archive.send([one], no_others)
    name = file_of(stick, one).relative_to(stick)
    shutil.rmtree(stick / "DICOM")
    (stick / "DICOMDIR").unlink()
    (stick / "holiday.jpg").write_bytes(b"jpeg")
    (stick / name).parent.mkdir(parents=True)
    (stick / name).write_bytes(b"theirs")
    fresh = another(stick)
    assert fresh.send([one], no_others)[0].verdict is Verdict.SENT
    assert (stick / name).read_bytes() == b"theirs"
    assert (stick / "holiday.jpg").read_bytes() == b"jpeg"
    assert kept(fresh, [one]) == uids([one])


@pytest.mark.parametrize("name", ["DICOM", "DICOMDIR", "DICOM/NEWFILE", "folder", "file"])
def test_a_link_on_a_stick_leads_nowhere(copies, stick, archive, tmp_path, name):
    [one] = copies(1)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").write_text("theirs")
    wanted = Path(*name_of(one.sop_instance_uid, 0))
    place = {"folder": wanted.parent, "file": wanted}.get(name, Path(name))
    (stick / place).parent.mkdir(exist_ok=True, parents=True)
    (stick / place).symlink_to(outside if name in ("DICOM", "folder") else outside / "theirs")
    with pytest.raises(ArchiveAway, match="medium-foreign"):
        archive.send([one], no_others)
    assert [path.name for path in outside.iterdir()] == ["theirs"]
    assert (outside / "theirs").read_text() == "theirs"


def test_a_stick_that_is_not_there_is_said_to_be_missing(copies, stick, archive, tmp_path):
    ones = copies(1)
    stick.rename(tmp_path / "gone")
    assert away(archive, ones) == "medium-missing"
    stick.write_text("no folder")
    assert away(archive, ones) == "medium-missing"
    stick.unlink()
    (tmp_path / "gone").rename(stick)
    assert archive.send(ones, no_others)[0].verdict is Verdict.SENT


@pytest.mark.parametrize(
    ("label", "code"),
    [("usb7", ""), ("USB7", ""), ("other", "other"), ("", "other"), (None, "unknown")],
)
def test_a_stick_with_another_label_is_left_alone(copies, stick, monkeypatch, label, code):
    monkeypatch.setattr("gateway.destinations.medium.label_of", lambda _fd: label)
    monkeypatch.setattr("gateway.destinations.medium.ROOT", Path("/proc"))
    archive, ones = another(stick, volume="USB7"), copies(1)
    if code:
        assert away(archive, ones) == f"medium-{code}"
        assert not list(stick.iterdir())
    else:
        assert "usb7" in archive.send(ones, no_others)[0].text.casefold()


def test_an_empty_place_where_a_stick_belongs_is_not_written(copies, stick):
    """The folder beneath lies on the system's own disk."""
    root = Path("/").stat().st_dev
    if stick.stat().st_dev != root:
        stick = Path("/var/tmp")  # noqa: S108 - nothing is written there
    if stick.stat().st_dev != root:
        pytest.skip("no folder on the root file system")
    assert away(another(stick, volume="USB7"), copies(1)) == "medium-missing"


@pytest.fixture
def small_stick(stick: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(stick)]
    subprocess.run(command, check=True, timeout=20)
    yield stick
    subprocess.run(["/bin/umount", str(stick)], check=True, timeout=20)


def test_what_does_not_fit_is_not_begun_and_what_came_before_counts(small_stick, copies):
    archive, ones = another(small_stick), copies(3)
    filler = small_stick / "filler"
    filler.write_bytes(bytes((3 << 20) - 60_000))
    answers = archive.send(ones, no_others)
    assert [one.verdict for one in answers] == [Verdict.SENT, *[Verdict.BUSY] * 2]
    assert {one.code for one in answers[1:]} == {"medium-full"}
    assert away(archive, ones[1:]) == "medium-full"
    assert kept(another(small_stick), ones) == uids(ones[:1])
    assert not (small_stick / "DICOM" / "NEWFILE").exists()
    filler.unlink()
    archive.probe()
    assert {one.verdict for one in archive.send(ones[1:], no_others)} == {Verdict.SENT}
    assert kept(another(small_stick), ones) == uids(ones)


def test_a_locked_stick_is_read_but_not_written(small_stick, copies):
    archive, ones = another(small_stick), copies(2)
    archive.send(ones[:1], no_others)
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(small_stick)], check=True, timeout=20)
    assert away(archive, ones[1:]) == "medium-read-only"
    assert kept(archive, ones) == uids(ones[:1])


CALLS = ("open", "write", "fsync", "rename", "unlink", "mkdir", "preadv")


class Pulled:
    """A medium that fails at the nth call and at all that follow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left, self.calls = after, 0
        for name in CALLS:
            monkeypatch.setattr(medium_os, name, partial(self._call, getattr(os, name)))

    def _call(self, real, *arguments, **options):
        self.calls += 1
        if self.calls > self.left:
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments, **options)


class _Os(types.ModuleType):
    """The module `os` as `medium` sees it, so that others go on with theirs."""

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


medium_os = _Os("os")


def test_pulled_out_at_any_moment_no_index_is_lost_and_nothing_is_said_too_early(
    copies, stick, monkeypatch
):
    monkeypatch.setattr("gateway.destinations.medium.os", medium_os)
    ones, after = copies(4), 0
    another(stick).send(ones[:1], no_others)
    first = {path: path.read_bytes() for path in stick.rglob("*") if path.is_file()}
    while True:
        with monkeypatch.context() as patch:
            pulled = Pulled(patch, after)
            archive, said = another(stick), list[Answer]()
            with contextlib.suppress(ArchiveAway):
                said = list(archive.send(ones[1:], no_others))
        sent = [
            one for one, answer in zip(ones[1:], said, strict=False) if answer.verdict == "sent"
        ]
        assert uids([ones[0], *sent]) <= kept(another(stick), ones), after
        assert {one.verdict for one in archive.send(ones[1:], no_others)} == {Verdict.SENT}
        assert kept(another(stick), ones) == uids(ones)
        assert count(stick) == 4
        # Pulled out as the last thing was done, the old index is left; the next batch clears it.
        assert {path.name for path in stick.iterdir()} <= {"DICOM", "DICOMDIR", "DICOMOLD"}
        if pulled.calls <= after:
            break
        shutil.rmtree(stick / "DICOM")
        (stick / "DICOMDIR").unlink()
        for path, whole in first.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(whole)
        after += 1
    assert after > 25


@pytest.mark.parametrize(
    ("whole", "torn"), [("DICOMNEW", "none"), ("DICOMOLD", "DICOMNEW"), ("DICOMOLD", "empty")]
)
def test_an_index_under_its_other_names_is_taken_up(copies, stick, archive, whole, torn):
    ones = copies(2)
    archive.send(ones[:1], no_others)
    (stick / "DICOMDIR").rename(stick / whole)
    if torn == "empty":
        (stick / "DICOMDIR").touch()
    else:
        (stick / torn).write_bytes((stick / whole).read_bytes()[:-50])
    fresh = another(stick)
    assert kept(fresh, ones) == uids(ones[:1])
    fresh.send(ones[1:], no_others)
    assert count(stick) == 2


def test_a_stopped_gateway_leaves_at_once(copies, archive):
    archive.interrupt()
    with pytest.raises(ArchiveAway, match="stopped"):
        archive.send(copies(1), no_others)


def test_a_lost_file_of_ours_is_not_the_fault_of_the_stick(copies, stick, archive):
    one, other = copies(2)
    one.blob.path.unlink()
    with pytest.raises(UnreadableFile):
        archive.send([other, one], no_others)
    assert archive.send([other], no_others)[0].verdict is Verdict.SENT
    assert kept(another(stick), [other]) == uids([other])
