"""Real pictures in every form that a modality stores them, and what other tools make of ours."""

import copy
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.pixels import convert_color_space, pixel_array
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from gateway.dicom.part10 import read_file_meta
from gateway.prepare.data_set import DataSetAt

Array = NDArray[np.generic]

SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big": ExplicitVRBigEndian,
    "rle": RLELossless,
}


def sample(name: str) -> Path:
    """The path of a sample picture of the pydicom wheel."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), name
    return Path(path)


def place(path: Path) -> DataSetAt:
    """Where the data set of a Part 10 file lies."""
    meta = read_file_meta(path)
    return DataSetAt(path, meta.dataset_offset, meta.dataset_bytes, meta.transfer_syntax_uid)


def grey(bits: int, *, signed: bool, frames: int) -> Array:
    """A real CT slice, stretched over all shades of `bits`; each frame turned another way."""
    pixels = dcmread(sample("CT_small.dcm")).pixel_array.astype("i8")
    pixels = (pixels - pixels.min()) * ((1 << bits) - 1) // int(np.ptp(pixels))
    pixels -= (1 << (bits - 1)) if signed else 0
    cells = pixels.astype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    return stacked(cells, frames)


def colour(photometric: str, bits: int, *, frames: int) -> Array:
    """A real ultrasound picture in colour."""
    pixels = dcmread(sample("examples_rgb_color.dcm")).pixel_array
    if photometric == "YBR_FULL":
        pixels = convert_color_space(pixels, "RGB", "YBR_FULL")
    if bits > 8:
        pixels = pixels.astype("u2") * ((1 << bits) - 1) // 255
    return stacked(pixels, frames)


def palette(*, frames: int) -> Array:
    """The indices of a real ultrasound picture with a palette."""
    return stacked(dcmread(sample("examples_palette.dcm")).pixel_array, frames)


def stacked(pixels: Array, frames: int) -> Array:
    """(frames, rows, columns[, samples]): every second frame upside down."""
    turned = [pixels[:: -1 if number % 2 else 1] for number in range(frames)]
    return np.stack(turned)


def picture(photometric: str, bits: int, *, signed: bool, frames: int) -> Array:
    """Frames of a real picture in this colour model and depth."""
    if photometric.startswith("MONOCHROME"):
        return grey(bits, signed=signed, frames=frames)
    if photometric == "PALETTE COLOR":
        return palette(frames=frames)
    return colour(photometric, bits, frames=frames)


def data_set(pixels: Array, photometric: str, bits: int, *, planar: int = 0) -> FileDataset:
    """A data set around `pixels`, (frames, rows, columns[, samples]), with much else in it."""
    name = "examples_palette.dcm" if photometric == "PALETTE COLOR" else "examples_rgb_color.dcm"
    made = copy.deepcopy(dcmread(sample(name)))
    made.PhotometricInterpretation = photometric
    made.Rows, made.Columns = pixels.shape[1:3]
    made.BitsAllocated = pixels.dtype.itemsize * 8
    made.BitsStored, made.HighBit = bits, bits - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made.SamplesPerPixel = 1 if pixels.ndim == 3 else 3
    _set(made, "PlanarConfiguration", planar if pixels.ndim == 4 else None)
    _set(made, "NumberOfFrames", len(pixels) if len(pixels) > 1 else None)
    put_pixels(made, pixels, planar=planar)
    put_leftovers(made)
    return made


def put_pixels(made: Dataset, pixels: Array, *, planar: int) -> None:
    stored = pixels.transpose(0, 3, 1, 2) if planar and pixels.ndim == 4 else pixels
    value = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    made.PixelData = value + bytes(len(value) % 2)
    made["PixelData"].VR = "OB" if made.BitsAllocated == 8 else "OW"


def put_leftovers(made: Dataset) -> None:
    """Put in what must survive: private elements, a nested sequence of undefined length, UN."""
    block = made.private_block(0x0029, "GATEWAY TEST", create=True)
    block.add_new(0x01, "LO", "private text")
    block.add_new(0x02, "UN", b"\x01\x02\x03\x04")
    inner, outer = Dataset(), Dataset()
    inner.CodeValue, inner.CodingSchemeDesignator, inner.CodeMeaning = "T-1", "99GW", "inner"
    outer.PurposeOfReferenceCodeSequence = [inner]
    outer.ReferencedSOPClassUID, outer.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
    outer.is_undefined_length_sequence_item = True
    made.ReferencedImageSequence = [outer]
    made["ReferencedImageSequence"].is_undefined_length = True


def _set(made: Dataset, keyword: str, value: int | None) -> None:
    if value is not None:
        setattr(made, keyword, value)
    elif keyword in made:
        delattr(made, keyword)


def write(made: FileDataset, path: Path, syntax: str = "explicit") -> Path:
    """Write a Part 10 file in one of `SYNTAXES`; big endian values are swapped here."""
    made = copy.deepcopy(made)
    made.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    if syntax == "rle":
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.set_original_encoding(False, True)
        made.compress(RLELossless, generate_instance_uid=False, encoding_plugin="pydicom")
    if syntax == "big":
        for element in made:
            if element.VR == "OW":
                element.value = swapped(element.value)
    dcmwrite(
        path,
        made,
        enforce_file_format=True,
        implicit_vr=syntax == "implicit",
        little_endian=syntax != "big",
    )
    return path


def swapped(words: bytes) -> bytes:
    """16-bit words in the other byte order."""
    return np.frombuffer(words, "<u2").astype(">u2").tobytes()


def part10(path: Path, like: Path, transfer_syntax_uid: str, encoded: bytes) -> Path:
    """Write a data set of ours as a file that other tools read."""
    meta = FileMetaDataset()
    original = dcmread(like, stop_before_pixels=True)
    meta.MediaStorageSOPClassUID = original.SOPClassUID
    meta.MediaStorageSOPInstanceUID = original.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax_uid
    empty = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    implicit = transfer_syntax_uid == ImplicitVRLittleEndian
    dcmwrite(path, empty, enforce_file_format=True, implicit_vr=implicit, little_endian=True)
    with path.open("ab") as file:
        file.write(encoded)
    return path


def frames_of(path: Path) -> Array:
    """The frames as pydicom reads them, without a change of colour model.

    pydicom finds the codestreams; its JPEG 2000 decoder asks for packages that are not needed here.
    """
    made = dcmread(path)
    frames = int(made.get("NumberOfFrames", 1))
    if made.file_meta.TransferSyntaxUID == JPEG2000Lossless:
        found = generate_frames(made.PixelData, number_of_frames=frames)
        pixels = np.stack([decode(codestream) for codestream in found])
        kind = "i" if made.PixelRepresentation else "u"
        assert pixels.dtype.kind == kind
        pixels = pixels.astype(f"{kind}{made.BitsAllocated // 8}")
    else:
        pixels = pixel_array(path, raw=True)
    shape = (frames, made.Rows, made.Columns)
    return pixels.reshape(*shape, *([3] if made.SamplesPerPixel == 3 else []))


def gdcm_frames(path: Path, out: Path) -> Array:
    """The frames as GDCM decodes them."""
    run("gdcmconv", "--raw", str(path), str(out))
    return frames_of(out)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-400:]}{done.stderr[-400:]}"
    return done.stdout + done.stderr


def complaints(path: Path) -> set[str]:
    """The errors of dciodvfy, one line each."""
    command = ("dciodvfy", str(path))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {line for line in done.stderr.splitlines() if line.startswith("Error")}
