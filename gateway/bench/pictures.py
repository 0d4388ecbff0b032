"""pictures: what is sent and what is compressed: real ones, from the pydicom wheel.

Takes      the public sample pictures of the pydicom wheel
Gives      Part 10 files, uncompressed, each with a SOP Instance UID of its own
Holds      nothing: a picture is cut out of a real one, or repeats it; no pixel is made up

Imported only where it is measured: it brings pydicom and numpy.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

OBJECT_BYTES = 512 * 1024  #: what one object measures, within a hundredth
CINE_FRAMES = 73  #: 64 MiB of 640 x 480 RGB
_COLUMNS = 363  #: of 480 rows in RGB: half a MiB of pixels and attributes
_STEP = 7  #: columns from one cut to the next: no two neighbours are equal
_DOPPLER = "examples_jpeg2k.dcm"

#: What they show, and the sample that shows it.
PICTURES = {
    "US 320x240 RGB": "examples_rgb_color.dcm",
    "US 640x480 RGB": _DOPPLER,
    "US 800x350 palette": "examples_palette.dcm",
    "MR 484x300 12 bit": "examples_overlay.dcm",
    "CT 128x128 16 bit": "CT_small.dcm",
    "SC 256x256 RGB": "SC_rgb_jpeg_dcmd.dcm",
}


@contextmanager
def quiet_samples() -> Iterator[None]:
    """Keep pydicom's remarks on what old modalities wrote off the screen."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield


def make_objects(folder: Path, count: int) -> int:
    """Write `count` ultrasound images of half a MiB to `folder`; return their bytes in all."""
    whole, dataset = _doppler()
    places = whole.shape[1] - _COLUMNS + 1
    for number in range(count):
        left = number * _STEP % places
        _put(dataset, whole[:, left : left + _COLUMNS])
        _save(dataset, folder / f"{number:06}.dcm")
    return sum(path.stat().st_size for path in folder.iterdir())


def make_cine(path: Path) -> None:
    """Write one multi-frame ultrasound image of `CINE_FRAMES` frames: the same one moved along."""
    whole, dataset = _doppler()
    frames = [np.roll(whole, number * _STEP, axis=1) for number in range(CINE_FRAMES)]
    _put(dataset, whole)
    dataset.NumberOfFrames = CINE_FRAMES
    dataset.PixelData = b"".join(frame.tobytes() for frame in frames)
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    _save(dataset, path)


def make_picture(name: str, path: Path) -> None:
    """Write the picture `name` of `PICTURES` to `path`."""
    sample = PICTURES[name]
    if sample == _DOPPLER:
        whole, dataset = _doppler()
        _put(dataset, whole)
        _save(dataset, path)
    else:
        path.write_bytes(_sample(sample).read_bytes())


def _sample(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


def _doppler() -> tuple[NDArray[np.uint8], Dataset]:
    """Return a colour Doppler picture, (rows, columns, 3) uint8, and its attributes.

    JPEG 2000 gives back the colours from before its component transform (PS3.5 8.2.4).
    """
    dataset = dcmread(_sample(_DOPPLER))
    assert dataset.file_meta.TransferSyntaxUID == JPEG2000Lossless  # noqa: S101  as in the wheel
    dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole: NDArray[np.uint8] = decode(get_frame(dataset.PixelData, 0, number_of_frames=1))
    return whole, dataset


def _put(dataset: Dataset, pixels: NDArray[np.uint8]) -> None:
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = False


def _save(dataset: Dataset, path: Path) -> None:
    uid = generate_uid(prefix=None)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.save_as(path, enforce_file_format=True)
