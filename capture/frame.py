"""frame: one picture as the device gave it, with what is known of its form and its moment.

Takes      nothing
Gives      `Form`, what all frames of a stream have in common; `Frame`, one of them
Holds      nothing

Bytes are kept as they came: what is converted is made anew (convert.py), so a form that is not
understood is still not lost.

References: linux/videodev2.h (pixel formats, enum v4l2_field), ITU-R BT.601-7, BT.709-6.
"""

import enum
from dataclasses import dataclass

from capture.videodev2 import Field


class PixelFormat(enum.StrEnum):
    """The four characters of videodev2.h."""

    YUYV = "YUYV"  #: 4:2:2, Y0 Cb Y1 Cr
    UYVY = "UYVY"  #: 4:2:2, Cb Y0 Cr Y1
    NV12 = "NV12"  #: 4:2:0, a plane of Y, then one of Cb Cr at half the rows and columns
    RGB24 = "RGB3"  #: 8 bits each, R G B
    BGR24 = "BGR3"  #: 8 bits each, B G R
    MJPG = "MJPG"  #: a JPEG a frame: what it shows has been lossy since the grabber
    GREY = "GREY"  #: 8 bits
    Y16 = "Y16"  #: 16 bits, little-endian


class Matrix(enum.StrEnum):
    """How Y, Cb, Cr were made of R, G, B; "" where there is nothing to undo."""

    NONE = ""
    BT601 = "601"
    BT709 = "709"


@dataclass(frozen=True, slots=True)
class Form:
    """What the frames of a stream have in common."""

    pixel_format: PixelFormat
    columns: int
    rows: int  #: of a buffer: half a picture where `field` is TOP, BOTTOM or ALTERNATE
    bytes_per_line: int  #: of the first plane, its padding included; 0: compressed
    field: Field = Field.NONE
    matrix: Matrix = Matrix.NONE
    full_range: bool = False  #: 0 to 255; False: 16 to 235 (240 for Cb and Cr)
    pixel_aspect: tuple[int, int] = (1, 1)  #: vertical, horizontal: (0028,0034)
    frame_interval_ns: int = 0  #: nominal, of whole pictures; 0: not known

    @property
    def is_lossy(self) -> bool:
        """Tell whether the device compressed with loss before it gave the frame."""
        return self.pixel_format is PixelFormat.MJPG


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture, or one field of it."""

    form: Form
    data: bytes
    sequence: int  #: counted by the device; a gap is a lost frame
    captured_at_ns: int  #: CLOCK_MONOTONIC
    field: Field = Field.NONE  #: which field this is, where `form.field` is ALTERNATE
    is_damaged: bool = False  #: the device says that some of it is not what it was
    lost_before: int = 0  #: frames that the device dropped before this one
