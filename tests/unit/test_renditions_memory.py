"""Memory follows the frames on their way: a short and a long cine of real pictures."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filewriter import dcmwrite

import gateway
from gateway.dicom.syntaxes import HTJ2K_LOSSLESS, JPEG_2000_LOSSLESS
from tests.fakes import pictures

ROOT = Path(gateway.__file__).parents[1]

#: The frames on their way are small: more than this is something kept by mistake.
MOST_KIB = 20 * 1024

WORK = """
import sys
from gateway.codec.pool import Codec
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.lossy import compress_with_loss
from gateway.prepare.proof import prove
from gateway.prepare.renditions import compress
path, offset, size, uid, folder, kind = sys.argv[1:]
codec = Codec(workers=2, memory_bytes=1 << 30, cpu_s=60, frame_bytes_most=1 << 28)
received = DataSetAt(path, int(offset), int(size), uid)
with open(folder + "/j2k", "wb") as file:
    how = {"scratch_dir": folder, "out": file.write}
    if kind == "lossy":
        recipe = compress_with_loss(received, codec, 4, **how)
    else:
        recipe = compress(received, codec, target_uid=kind, **how)
    size = file.tell()
if kind != "lossy":
    made = DataSetAt(folder + "/j2k", 0, size, recipe.transfer_syntax_uid)
    prove(received, made, codec)
codec.close()
# Not ru_maxrss: across vfork and exec it keeps what the test runner had.
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(recipe.frames, peak.split()[1])
"""


def cine(path: Path, frames: int) -> Path:
    """A grey ultrasound cine of 64 x 80 pixels, every frame a crop further to the right."""
    picture = pictures.colour("RGB", 8, frames=1)[0, :, :, 1]
    made = pictures.data_set(picture[None, :64, :80], "MONOCHROME2", 8)
    made.NumberOfFrames = frames
    crops = (picture[100:164, at % 200 : at % 200 + 80].tobytes() for at in range(frames))
    made.PixelData = b"".join(crops)
    dcmwrite(path, made, enforce_file_format=True, implicit_vr=False, little_endian=True)
    assert dcmread(path).NumberOfFrames == frames
    return path


@pytest.mark.parametrize("kind", [JPEG_2000_LOSSLESS, HTJ2K_LOSSLESS, "lossy"])
def test_a_cine_of_3000_frames_needs_no_more_memory_than_one_of_120(
    tmp_path: Path, kind: str
) -> None:
    peaks_kib = []
    for frames in (120, 3000):
        place = pictures.place(cine(tmp_path / f"{frames}.dcm", frames))
        where = (place.path, place.dataset_offset, place.dataset_bytes, place.transfer_syntax_uid)
        done = subprocess.run(
            [sys.executable, "-c", WORK, *map(str, where), str(tmp_path), kind],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        worked, peak_kib = map(int, done.stdout.split())
        assert worked == frames
        peaks_kib.append(peak_kib)
    assert abs(peaks_kib[1] - peaks_kib[0]) < MOST_KIB
