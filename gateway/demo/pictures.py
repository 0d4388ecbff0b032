"""The pictures the demo sends: real ones, as files, in the syntaxes old modalities speak.

Takes      the public sample pictures of the pydicom wheel
Gives      one Part 10 file a picture, each with a SOP Instance UID of its own
Holds      nothing: a picture re-encoded here is a lossless copy of a real one, never made up
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from gateway.demo.pixels import pixels


@dataclass(frozen=True, slots=True)
class Recipe:
    """One picture to send: a sample as it is, or a lossless copy of it in `syntax`."""

    name: str
    sample: str
    syntax: UID | None = None


#: The largest stands in the middle, where the demo cuts the wire.
RECIPES = (
    Recipe("rgb", "examples_rgb_color.dcm"),
    Recipe("rgb-big-endian", "ExplVR_BigEnd.dcm"),
    Recipe("cine-jpeg", "examples_ybr_color.dcm"),
    Recipe("fetal-palette", "examples_palette.dcm"),
    Recipe("rgb-implicit", "examples_rgb_color.dcm", ImplicitVRLittleEndian),
    Recipe("doppler", "examples_jpeg2k.dcm", ExplicitVRLittleEndian),
    Recipe("doppler-j2k", "examples_jpeg2k.dcm"),
    Recipe("rgb-rle", "examples_rgb_color.dcm", RLELossless),
    Recipe("fetal-implicit", "examples_palette.dcm", ImplicitVRLittleEndian),
    Recipe("fetal-rle", "examples_palette.dcm", RLELossless),
    Recipe("mr-12-bit", "examples_overlay.dcm"),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One file as the modality sends it."""

    name: str
    path: Path
    sop_class_uid: str  #: (0008,0016)
    sop_instance_uid: str  #: (0008,0018)
    transfer_syntax_uid: str  #: (0002,0010)
    dataset_bytes: int


def make_pictures(folder: Path) -> list[Picture]:
    """Return every picture of `RECIPES`, in that order, as a file in `folder`."""
    return [read_picture(recipe.name, path) for recipe, path in _files(folder)]


def read_picture(name: str, path: Path) -> Picture:
    """Return what `path`, a Part 10 file, says of itself."""
    meta = dcmread(path, stop_before_pixels=True).file_meta
    return Picture(
        name=name,
        path=path,
        sop_class_uid=meta.MediaStorageSOPClassUID,
        sop_instance_uid=meta.MediaStorageSOPInstanceUID,
        transfer_syntax_uid=meta.TransferSyntaxUID,
        dataset_bytes=path.stat().st_size - dataset_offset(meta),
    )


def dataset_offset(meta: Dataset) -> int:
    """Return where the data set begins: preamble, prefix, group length, file meta (PS3.10 7.1)."""
    return 128 + 4 + 12 + int(meta.FileMetaInformationGroupLength)


def _files(folder: Path) -> Iterator[tuple[Recipe, Path]]:
    for recipe in RECIPES:
        path = folder / f"{recipe.name}.dcm"
        sample = get_testdata_file(recipe.sample, download=False)
        if recipe.syntax is None:
            path.write_bytes(Path(str(sample)).read_bytes())
        else:
            _copy_in(recipe.syntax, dcmread(str(sample)), path)
        yield recipe, path


def _copy_in(syntax: UID, dataset: Dataset, path: Path) -> None:
    """Write `dataset` to `path` in `syntax` under a new SOP Instance UID, pixels untouched."""
    if dataset.file_meta.TransferSyntaxUID == JPEG2000Lossless:
        _unpack(dataset)
    uid = generate_uid(prefix=None)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)


def _unpack(dataset: Dataset) -> None:
    """Put plain pixels in the place of JPEG 2000; YBR_RCT becomes RGB (PS3.5 8.2.4)."""
    dataset.PixelData = pixels(dataset).tobytes()
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = False
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
