"""filing: a file becomes an instance, or is refused with a code; the file itself is only read."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from gateway.dicom.part10 import read_file_meta
from gateway.filing import Refused, file_in, is_whole
from spool.errors import SpoolFull
from spool.model import Priority
from spool.store import Spool
from tests.fakes.spools import claimed, opened


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path)
    yield found
    found.close()


def test_the_data_set_is_kept_byte_for_byte(spool: Spool, sample: Callable[[str], Path]) -> None:
    path = sample("CT_small.dcm")
    before = path.read_bytes()
    filed = file_in(spool, path, "import", priority=Priority.STAT)
    instance = claimed(spool)
    blob = instance.received.blob
    assert before.endswith(blob.path.read_bytes()[blob.dataset_offset :])
    assert blob.dataset_bytes == filed.dataset_bytes
    assert (instance.id, instance.arrival.door) == (filed.instance_id, "import")
    assert instance.arrival.priority is Priority.STAT
    assert instance.arrival.sop_instance_uid == pydicom.dcmread(path).SOPInstanceUID
    assert path.read_bytes() == before


def test_a_bare_data_set_of_legacy_software_is_taken(
    spool: Spool, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    path, bare = sample("CT_small.dcm"), tmp_path / "IM0001"
    bare.write_bytes(path.read_bytes()[read_file_meta(path).dataset_offset :])
    filed = file_in(spool, bare, "folder:export")
    assert filed.dataset_bytes == bare.stat().st_size
    assert filed.sop_instance_uid == pydicom.dcmread(path).SOPInstanceUID


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no-data-set"),
        (b"no DICOM at all, but a text that somebody left here", "no-data-set"),
        (bytes(4096), "no-data-set"),
        (bytes(128) + b"DICM" + b"\x02\0\x10\0XX", "uid-missing"),
    ],
)
def test_what_is_no_dicom_object_is_refused_with_its_reason(
    spool: Spool, tmp_path: Path, content: bytes, code: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        file_in(spool, path, "import")
    assert caught.value.code == code
    assert not list(spool.blobs.names())


def with_meta(path: Path, keyword: str, value: bytes) -> Path:
    """Replace a value of the file meta by one of the same length."""
    content = path.read_bytes()
    old = getattr(pydicom.dcmread(path).file_meta, keyword).encode()
    changed = path.with_suffix(".changed")
    changed.write_bytes(content.replace(old, value.ljust(len(old), b"1")[: len(old)], 1))
    return changed


@pytest.fixture
def copy(tmp_path: Path, sample: Callable[[str], Path]) -> Path:
    path = tmp_path / "copy.dcm"
    path.write_bytes(sample("CT_small.dcm").read_bytes())
    return path


@pytest.mark.parametrize("value", [b"1.2.\xcd\xf5", b"../../etc", b"1.2\n3"])
def test_a_transfer_syntax_that_is_no_uid_is_refused_and_breaks_nothing(
    spool: Spool, copy: Path, value: bytes
) -> None:
    with pytest.raises(Refused) as caught:
        file_in(spool, with_meta(copy, "TransferSyntaxUID", value), "import")
    assert caught.value.code == "meta-broken"


def test_a_sop_instance_uid_that_is_none_is_refused(spool: Spool, copy: Path) -> None:
    with pytest.raises(Refused) as caught:
        file_in(spool, with_meta(copy, "MediaStorageSOPInstanceUID", b"1.2; rm -rf"), "import")
    assert caught.value.code == "uid-missing"


def test_the_index_of_a_medium_is_refused_as_what_it_is(
    spool: Spool, sample: Callable[[str], Path]
) -> None:
    with pytest.raises(Refused) as caught:
        file_in(spool, sample("DICOMDIR"), "import")
    assert caught.value.code == "dicomdir"


def test_without_room_nothing_is_kept(tmp_path: Path, sample: Callable[[str], Path]) -> None:
    spool = opened(tmp_path / "full", refuse_bytes=1 << 62)
    with pytest.raises(SpoolFull):
        file_in(spool, sample("CT_small.dcm"), "import")
    assert spool.counting.instances()["received"] == 0
    assert not list(spool.blobs.names())
    spool.close()


def test_a_file_is_whole_when_its_data_set_ends_at_its_last_byte(copy: Path) -> None:
    assert is_whole(copy)
    content = copy.read_bytes()
    for cut in (1, 100, len(content) // 2):
        copy.write_bytes(content[:-cut])
        assert not is_whole(copy)


def test_what_cannot_be_walked_counts_as_whole(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear colleague,")
    assert is_whole(path)
