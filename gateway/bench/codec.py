"""codec: milliseconds and ratio of JPEG 2000 Lossless a frame, beside the way of pydicom.

Takes      the sample pictures, how many rounds
Gives      one row a picture: time to encode, time to prove, ratio; pydicom's time and ratio
Holds      CodecError: a picture that cannot be compressed without loss

Both use the same OpenJPEG in this process; times are processor time, the median of `REPEATS`, so
that a neighbour on the core is not counted. The gateway applies the multi-component transform to
RGB and decodes each frame again to prove it. pydicom's `Dataset.compress` does neither: the encoder
is called with the arguments that its pylibjpeg plugin gives, for which the package pylibjpeg, that
nothing else here needs, may be absent.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from openjpeg.utils import encode_pixel_data

from gateway.bench.pictures import PICTURES, make_picture
from gateway.bench.result import Column, Hear, Measurement, Row
from gateway.codec import jpeg2000
from gateway.codec.cells import Cells, from_raw
from gateway.codec.child import read
from gateway.codec.frames import Geometry
from gateway.dicom.part10 import read_file_meta
from gateway.language import N_, _
from gateway.prepare.data_set import DataSetAt, open_data_set

REPEATS = 5
COLUMNS = (
    Column("encode_ms", N_("CPU ms/frame"), 1, spread=True),
    Column("prove_ms", N_("its proof ms"), 1),
    Column("ratio", N_("ratio"), 2),
    Column("pydicom_ms", N_("pydicom ms"), 1, spread=True),
    Column("pydicom_ratio", N_("pydicom ratio"), 2),
    Column("time_beside_pydicom", N_("time × pydicom"), 2),
    Column("bytes_beside_pydicom", N_("bytes × pydicom"), 2),
)


def measure(folder: Path, *, rounds: int, hear: Hear) -> list[Measurement]:
    """Return one table: `rounds` runs over all pictures, the two encoders by turns."""
    paths = [folder / f"{number}.dcm" for number in range(len(PICTURES))]
    for name, path in zip(PICTURES, paths, strict=True):
        make_picture(name, path)
    rows = [Row(name) for name in PICTURES]
    for number in range(1, rounds + 1):
        for row, path in zip(rows, paths, strict=True):
            hear(number, row.name)
            row.runs.append(_run(path))
    title = _("JPEG 2000 Lossless, one frame on one core; each frame proved by decoding it again")
    return [Measurement("codec", title, COLUMNS, rows, {"pictures": PICTURES})]


def _run(path: Path) -> dict[str, float]:
    picture, geometry = _picture(path)
    ours, theirs = _gateway(picture, geometry), _pydicom(picture, geometry)
    return {
        **ours,
        **theirs,
        "time_beside_pydicom": ours["encode_ms"] / theirs["pydicom_ms"],
        "bytes_beside_pydicom": theirs["pydicom_ratio"] / ours["ratio"],
    }


def _picture(path: Path) -> tuple[Cells, Geometry]:
    """Return the one frame of `path` as `prepare` reads it."""
    meta = read_file_meta(path)
    place = DataSetAt(path, meta.dataset_offset, meta.dataset_bytes, meta.transfer_syntax_uid)
    with open_data_set(place) as data_set:
        pixels = data_set.pixels()
        (frame,) = pixels.frames()
        return from_raw(read(frame, pixels.geometry), pixels.geometry), pixels.geometry


def _gateway(picture: Cells, geometry: Geometry) -> dict[str, float]:
    """Encode and prove as a codec child does, then decode once more to know the proof's share."""
    encoded = jpeg2000.encode(picture, geometry)
    whole_ms = _cpu_ms(lambda: jpeg2000.encode(picture, geometry))
    prove_ms = _cpu_ms(lambda: jpeg2000.decode(encoded, geometry))
    return {
        "encode_ms": whole_ms - prove_ms,
        "prove_ms": prove_ms,
        "ratio": picture.nbytes / len(encoded),
    }


def _pydicom(picture: Cells, geometry: Geometry) -> dict[str, float]:
    """Encode as `pydicom.pixels.encoders.pylibjpeg` asks for it: RGB without the transform."""
    frame = picture.tobytes()
    asked = {
        "rows": geometry.rows,
        "columns": geometry.columns,
        "samples_per_pixel": geometry.samples,
        "bits_stored": geometry.bits_stored,
        "pixel_representation": int(geometry.signed),
        "photometric_interpretation": "RGB" if geometry.samples > 1 else "MONOCHROME2",
        "use_mct": False,
    }
    encoded = encode_pixel_data(frame, **asked)
    took_ms = _cpu_ms(lambda: encode_pixel_data(frame, **asked))
    return {"pydicom_ms": took_ms, "pydicom_ratio": len(frame) / len(encoded)}


def _cpu_ms(work: Callable[[], object]) -> float:
    """Return the processor time of `work`, the median of `REPEATS`."""
    took_ns = []
    for _again in range(REPEATS):
        began_ns = time.thread_time_ns()
        work()
        took_ns.append(time.thread_time_ns() - began_ns)
    return statistics.median(took_ns) / 1e6
