"""Source: bounded random access to a data set inside a file."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dicom.source import WINDOW_BYTES, Source

BYTES = bytes(range(256)) * 300  # several windows


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "file"
    path.write_bytes(BYTES)
    return path


@given(reads=st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 2 * WINDOW_BYTES))))
def test_reads_in_any_order_give_the_bytes_of_the_file(
    path: Path, reads: list[tuple[int, int]]
) -> None:
    with Source(path, 10, 75_000) as source:
        for at, count in reads:
            if at + count <= source.size:
                assert source.read(at, count) == BYTES[10 + at : 10 + at + count]


def test_without_a_size_the_data_set_reaches_to_the_end_of_the_file(path: Path) -> None:
    with Source(path, 100) as source:
        assert source.size == len(BYTES) - 100


@pytest.mark.parametrize(("at", "count"), [(90, 11), (-1, 2), (101, 0), (0, WINDOW_BYTES * 2)])
def test_bytes_past_the_data_set_are_an_error_and_never_those_behind_it(
    path: Path, at: int, count: int
) -> None:
    with Source(path, 0, 100) as source, pytest.raises(EOFError):
        source.read(at, count)


def test_a_file_shorter_than_it_was_stored_is_told_at_once(path: Path) -> None:
    with pytest.raises(EOFError, match="has 76800 bytes"):
        Source(path, 0, len(BYTES) + 1)


def test_a_file_cut_while_it_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes(BYTES)
    with Source(path) as source:
        os.truncate(path, 10)
        with pytest.raises(EOFError, match="was cut"):
            source.read(0, 20)


def test_the_descriptor_is_given_back_once(path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with Source(path) as source:
        source.close()
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_memory_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 1 << 40)
    with Source(path) as source:
        assert source.read((1 << 40) - 4, 4) == bytes(4)
        assert len(source._window) <= WINDOW_BYTES
