"""sticks: a folder as a stick, and what lies on it, looked at as others do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet

from gateway.config.model import Destination
from gateway.destinations.archive import Sought
from gateway.destinations.folder import FolderArchive
from spool.model import Rendition
from tests.fakes.renditions import rendition_of


def no_others() -> tuple[()]:
    """Stand for what is next, which a stick does not ask for."""
    return ()


@contextlib.contextmanager
def opened(stick: Path) -> Iterator[FileSet]:
    """Open a file-set as a viewer written with pydicom does; it makes a folder for its changes."""
    one = FileSet(stick / "DICOMDIR")
    try:
        yield one
    finally:
        one._stage["t"].cleanup()


def count(stick: Path) -> int:
    with opened(stick) as one:
        return len(one)


def another(stick: Path, **keys: object) -> FolderArchive:
    """Return what a restart would begin with."""
    return FolderArchive(Destination(name="usb", kind="folder", path=stick, **keys))  # type: ignore[arg-type]


def copies_of(picture: Path, folder: Path, many: int) -> list[Rendition]:
    """Return so many objects of one series."""
    made = []
    for nth in range(many):
        ds = pydicom.dcmread(picture)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{nth + 1}"
        ds.InstanceNumber = nth + 1
        path = folder / f"copy-{nth}.dcm"
        ds.save_as(path)
        made.append(rendition_of(path))
    return made


def sought(one: Rendition) -> Sought:
    return Sought(one.sop_class_uid, one.sop_instance_uid, "", "")


def kept(archive: FolderArchive, ones: list[Rendition]) -> set[str]:
    return set(archive.find([sought(one) for one in ones]))


def uids(ones: list[Rendition]) -> set[str]:
    return {one.sop_instance_uid for one in ones}


def file_of(stick: Path, one: Rendition) -> Path:
    index = pydicom.dcmread(stick / "DICOMDIR")
    [found] = [
        record
        for record in index.DirectoryRecordSequence
        if record.get("ReferencedSOPInstanceUIDInFile") == one.sop_instance_uid
    ]
    return stick.joinpath(*found.ReferencedFileID)


def linked(index: Path) -> Iterator[Dataset]:
    """Yield the records by their links, not in the order of the file."""
    ds = pydicom.dcmread(index)
    at = {record.seq_item_tell: record for record in ds.DirectoryRecordSequence}

    def below(offset: int) -> Iterator[Dataset]:
        while offset:
            record = at[offset]
            yield record
            yield from below(record.OffsetOfReferencedLowerLevelDirectoryEntity)
            offset = record.OffsetOfTheNextDirectoryRecord

    yield from below(ds.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity)
