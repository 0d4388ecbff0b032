"""forms: what a V4L2 format says about the bytes of its frames.

Takes      struct v4l2_pix_format, and what the driver says of pixel aspect and rate
Gives      a `Form`
Raises     `UnknownFormat`: none of those that can be read here
Holds      nothing

References: linux/videodev2.h: V4L2_MAP_YCBCR_ENC_DEFAULT, V4L2_MAP_QUANTIZATION_DEFAULT.
"""

from collections.abc import Iterable

from capture import videodev2 as v4l2
from capture.frame import Form, Matrix, PixelFormat
from capture.videodev2 import Colorspace, Quantization, YcbcrEncoding

#: What is asked for first: nothing lost, most chroma, fewest bytes. MJPG is lossy: last.
PREFERRED = (
    PixelFormat.UYVY,
    PixelFormat.YUYV,
    PixelFormat.RGB24,
    PixelFormat.BGR24,
    PixelFormat.NV12,
    PixelFormat.GREY,
    PixelFormat.Y16,
    PixelFormat.MJPG,
)

_RGB = (PixelFormat.RGB24, PixelFormat.BGR24)
_GREY = (PixelFormat.GREY, PixelFormat.Y16)


class UnknownFormat(Exception):
    """The device gives a pixel format that is not read here; `args[0]` is its four characters."""


def preferred(offered: Iterable[str]) -> PixelFormat:
    """Return the format to ask for, of those the device offers.

    Raises
    ------
    UnknownFormat
        None of them is read here; the text names what it offers.
    """
    codes = list(offered)
    for one in PREFERRED:
        if one in codes:
            return one
    raise UnknownFormat(" ".join(codes) or "none")


def form_of(
    pix: v4l2.PixFormat, *, pixel_aspect: tuple[int, int] = (1, 1), frame_interval_ns: int = 0
) -> Form:
    """Return the form of frames in this format.

    Raises
    ------
    UnknownFormat
    """
    code = v4l2.code_of(pix.pixelformat)
    if code not in PREFERRED:
        raise UnknownFormat(code)
    kind = PixelFormat(code)
    return Form(
        kind,
        pix.width,
        pix.height,
        0 if kind is PixelFormat.MJPG else pix.bytesperline,
        v4l2.Field(pix.field),
        _matrix(kind, pix),
        _is_full(kind, pix),
        pixel_aspect,
        frame_interval_ns,
    )


def _matrix(kind: PixelFormat, pix: v4l2.PixFormat) -> Matrix:
    if kind in _RGB or kind in _GREY:
        return Matrix.NONE
    if pix.ycbcr_enc in (YcbcrEncoding.BT709, YcbcrEncoding.XV709):
        return Matrix.BT709
    is_default = pix.ycbcr_enc == YcbcrEncoding.DEFAULT
    if is_default and pix.colorspace in (Colorspace.REC709, Colorspace.DCI_P3):
        return Matrix.BT709
    return Matrix.BT601


def _is_full(kind: PixelFormat, pix: v4l2.PixFormat) -> bool:
    if pix.quantization != Quantization.DEFAULT:
        return bool(pix.quantization == Quantization.FULL)
    is_jpeg = kind is PixelFormat.MJPG or pix.colorspace == Colorspace.JPEG
    return kind in _RGB or kind in _GREY or is_jpeg
