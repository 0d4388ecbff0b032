"""The proof: what the archive holds against what the modality had.

Takes      a picture as it was sent, and the archive's copies of it
Gives      one `Evidence` an object
Holds      nothing: a copy that cannot be read is evidence, too, and says why
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from gateway.demo.peers import Stored
from gateway.demo.pictures import Picture, dataset_offset
from gateway.demo.pixels import NoDecoder, pixels

PIXEL_DATA = 0x7FE00010
PHOTOMETRIC_INTERPRETATION = 0x00280004

#: What must change when pixels are coded anew (PS3.5 8.2.4, A.4.4; PS3.3 C.7.6.3): Photometric
#: Interpretation and Pixel Data are judged by rules of their own, Planar Configuration and the
#: offset tables follow from the coding. Group lengths (gggg,0000) follow from the encoding.
OWN_RULE = {PHOTOMETRIC_INTERPRETATION, 0x00280006, 0x7FE00001, 0x7FE00002, PIXEL_DATA}

#: PS3.5 8.2.4: RGB that went through the reversible component transform is called YBR_RCT.
SAME_COLOURS = {("RGB", "YBR_RCT"), ("YBR_RCT", "RGB")}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is proved of one object."""

    picture: Picture
    archived: Path | None = None  #: None: it never came
    transfer_syntax_uid: str = ""  #: (0002,0010) of the archive's copy
    dataset_bytes: int = 0
    identical: bool = False  #: the whole data set is the one sent, byte for byte
    pixels_equal: bool = False
    differing: tuple[str, ...] = ()  #: elements that changed and must not, or why it is unreadable
    times: int = 0  #: how often it came
    repeats_equal: bool = False  #: each repeat was byte-equal to the first

    @property
    def proved(self) -> bool:
        """Whether the object arrived, whole and unaltered."""
        return self.pixels_equal and not self.differing and self.repeats_equal and self.times > 0

    @property
    def ratio(self) -> float:
        """Bytes sent by the modality for each byte the archive holds; 0 when it never came."""
        return self.picture.dataset_bytes / self.dataset_bytes if self.dataset_bytes else 0.0


def prove(
    picture: Picture, stored: Stored | None, dropped: frozenset[int] = frozenset()
) -> Evidence:
    """Return the evidence for `picture`.

    Parameters
    ----------
    stored
        None when the archive does not know the object.
    dropped
        Tags that the modality or the archive leave out by themselves; they are not compared.
    """
    if stored is None:
        return Evidence(picture)
    sent, held = dataset_bytes_of(picture.path), dataset_bytes_of(stored.copies[0])
    after = dcmread(stored.copies[0])
    equal, differing = _compare(dcmread(picture.path), after, dropped)
    return Evidence(
        picture=picture,
        archived=stored.copies[0],
        transfer_syntax_uid=after.file_meta.TransferSyntaxUID,
        dataset_bytes=len(held),
        identical=sent == held,
        pixels_equal=equal,
        differing=differing,
        times=stored.times,
        repeats_equal=all(dataset_bytes_of(copy) == held for copy in stored.copies[1:]),
    )


def dataset_bytes_of(path: Path) -> bytes:
    """Return the data set of a Part 10 file, without its file meta."""
    return path.read_bytes()[dataset_offset(dcmread(path, stop_before_pixels=True).file_meta) :]


def _compare(
    before: Dataset, after: Dataset, dropped: frozenset[int]
) -> tuple[bool, tuple[str, ...]]:
    """Return whether the pixels are equal, and what else differs."""
    for tag in dropped & before.keys():
        del before[tag]
    differing = tuple(_differing(dict(_elements(before)), dict(_elements(after))))
    if not _same_colours(before, after):
        differing += ("(0028,0004)",)
    try:
        return _same_pixels(before, after), differing
    except (NoDecoder, ValueError, RuntimeError, AttributeError) as error:
        return False, (*differing, str(error))


def _same_pixels(before: Dataset, after: Dataset) -> bool:
    """Compare coded bytes where the coding is the same, decoded pixels where it is not."""
    if before.file_meta.TransferSyntaxUID == after.file_meta.TransferSyntaxUID:
        return bool(before.PixelData == after.PixelData)
    return np.array_equal(pixels(before), pixels(after))


def _same_colours(before: Dataset, after: Dataset) -> bool:
    was, now = before.PhotometricInterpretation, after.PhotometricInterpretation
    return was == now or (was, now) in SAME_COLOURS


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    for place in sorted(before.keys() | after.keys()):
        if place not in before or place not in after or before[place] != after[place]:
            yield place


def _elements(dataset: Dataset, inside: str = "") -> Iterator[tuple[str, object]]:
    """Yield the place and value of every element that may not change, sequences item by item."""
    for element in dataset:
        if element.tag.element == 0 or element.tag in OWN_RULE:
            continue
        place = f"{inside}{element.tag}"
        if element.VR != "SQ":
            yield place, element.value
            continue
        yield place, len(element.value)
        for number, item in enumerate(element.value):
            yield from _elements(item, f"{place}[{number}]")
