"""rewriting: one data set put in another transfer syntax, and read again by pydicom."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path

import pydicom

from gateway.dicom.rewrite import PixelData, rewrite
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    syntax_of,
)
from tests.fakes.data_sets import BIG, EXPLICIT, IMPLICIT, WORDS

UIDS = {
    IMPLICIT: IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT: EXPLICIT_VR_LITTLE_ENDIAN,
    BIG: EXPLICIT_VR_BIG_ENDIAN,
}


def rewritten(
    path: Path,
    uid_in: str,
    uid_out: str,
    changes: Mapping[int, tuple[str, bytes] | None] | None = None,
    pixel_data: PixelData | None = None,
    offset: int = 0,
) -> bytes:
    out = BytesIO()
    with Source(path, offset) as source:
        rewrite(
            source,
            syntax_of(uid_in),
            out.write,
            syntax_of(uid_out),
            changes=changes or {},
            pixel_data=pixel_data,
        )
    return out.getvalue()


def of_bytes(tmp_path: Path, data: bytes, uid_in: str, uid_out: str, **more) -> bytes:
    (tmp_path / "data").write_bytes(data)
    return rewritten(tmp_path / "data", uid_in, uid_out, **more)


def as_read(data: bytes, uid: str) -> pydicom.Dataset:
    syntax = syntax_of(uid)
    return pydicom.filereader.read_dataset(BytesIO(data), not syntax.explicit, syntax.little)


def flat(
    data_set: pydicom.Dataset, uid: str, path: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], bytes]]:
    """Yield (path, raw value in little endian) of every element but the group lengths."""
    tags = data_set.keys()
    raws = {tag: data_set.get_item(tag) for tag in tags}  # all before the first is converted
    for tag, raw in raws.items():
        here = (*path, int(tag))
        if data_set[tag].VR == "SQ":
            for number, nested in enumerate(data_set[tag].value):
                yield from flat(nested, uid, (*here, number))
        elif tag.element != 0:
            word = 1 if syntax_of(uid).little else WORDS.get(raw.VR, 1)
            value = raw.value or b""
            yield here, b"".join(value[at : at + word][::-1] for at in range(0, len(value), word))
