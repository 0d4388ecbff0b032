"""pictures: real ultrasound pictures, each of its own, and whether what arrived is the same.

Gives      as many as are asked for: parts of one public sample, none of them like another
"""

import copy
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.filereader import read_dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import generate_uid

from tests.fakes.pictures import sample
from tests.fakes.scripted_archive import Took
from tests.fakes.upper_layer import JPEG_2000_LOSSLESS

ROWS, COLUMNS = 64, 80


@dataclass(frozen=True, slots=True)
class Picture:
    """One object as the modality has it: Ultrasound Image, Explicit VR Little Endian, RGB."""

    uid: str
    data: bytes  #: the data set
    pixels: NDArray[np.uint8]  #: (rows, columns, samples)


def pictures() -> Iterator[Picture]:
    """Give pictures without end, under UIDs that were never used before."""
    whole = dcmread(sample("examples_rgb_color.dcm"))
    pixels = whole.pixel_array
    del whole.PixelData
    whole.Rows, whole.Columns = ROWS, COLUMNS
    tops = range(pixels.shape[0] - ROWS)
    lefts = range(pixels.shape[1] - COLUMNS)
    for top, left in itertools.cycle(itertools.product(tops, lefts)):
        yield _picture(whole, pixels[top : top + ROWS, left : left + COLUMNS])


def _picture(whole: Dataset, pixels: NDArray[np.uint8]) -> Picture:
    made = Dataset(copy.copy(dict(whole.items())))
    made.SOPInstanceUID = generate_uid(None)
    made.PixelData = pixels.tobytes()
    made["PixelData"].VR = "OW"
    written = io.BytesIO()
    dcmwrite(written, made, implicit_vr=False, little_endian=True)
    return Picture(made.SOPInstanceUID, written.getvalue(), pixels)


def arrived_equal(took: Took, picture: Picture) -> bool:
    """Tell whether the archive got the very pixels of `picture`."""
    made = read_dataset(io.BytesIO(took.data), False, True)
    if took.transfer_syntax_uid != JPEG_2000_LOSSLESS:
        return bool(made.PixelData == picture.pixels.tobytes())
    (codestream,) = generate_frames(made.PixelData, number_of_frames=1)
    return bool(np.array_equal(decode(codestream), picture.pixels))
