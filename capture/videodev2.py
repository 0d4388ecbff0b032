"""videodev2: the kernel's video interface as data: structures and constants.

Takes      nothing: linux/videodev2.h, for 64-bit machines
Gives      ctypes structures in the header's order; names are the header's, without their prefixes
Holds      nothing

x86-64 and aarch64 lay them out alike. The request numbers are in video_requests.py.

References: linux/videodev2.h, linux/v4l2-dv-timings.h.
"""

import ctypes
import enum
from ctypes import c_char, c_int32, c_int64, c_long, c_uint8, c_uint32, c_uint64, c_void_p

BUF_TYPE_VIDEO_CAPTURE = 1
MEMORY_MMAP = 1

CAP_VIDEO_CAPTURE, CAP_STREAMING, CAP_DEVICE_CAPS = 0x1, 0x04000000, 0x80000000
IN_CAP_DV_TIMINGS, IN_CAP_STD = 0x2, 0x4
BUF_FLAG_ERROR = 0x40
BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0xE000, 0x2000
BUF_FLAG_TSTAMP_SRC_MASK, BUF_FLAG_TSTAMP_SRC_SOE = 0x70000, 0x10000
EVENT_SOURCE_CHANGE = 5
CTRL_FLAG_NEXT_CTRL = 0x80000000
DV_BT_656_1120 = 0
DV_INTERLACED = 1

#: v4l2_input.status
IN_ST_NO_POWER, IN_ST_NO_SIGNAL, IN_ST_NO_COLOR = 0x1, 0x2, 0x4
IN_ST_NO_H_LOCK, IN_ST_COLOR_KILL, IN_ST_NO_V_LOCK, IN_ST_NO_STD_LOCK = 0x100, 0x200, 0x400, 0x800
IN_ST_NO_SYNC, IN_ST_NO_EQU, IN_ST_NO_CARRIER = 0x10000, 0x20000, 0x40000

STD_PAL, STD_NTSC, STD_SECAM = 0x000000FF, 0x0000B000, 0x00FF0000
STD_525_60, STD_625_50 = 0x0000F900, 0x00FF06FF


class Field(enum.IntEnum):
    """enum v4l2_field: which lines of a frame a buffer holds, and in what order."""

    ANY = 0
    NONE = 1  #: progressive
    TOP = 2
    BOTTOM = 3
    INTERLACED = 4  #: the older field is what the standard says: bottom for 525 lines, else top
    SEQ_TB = 5
    SEQ_BT = 6
    ALTERNATE = 7
    INTERLACED_TB = 8
    INTERLACED_BT = 9


class Colorspace(enum.IntEnum):
    """enum v4l2_colorspace, as far as grabbers say it."""

    DEFAULT = 0
    SMPTE170M = 1
    SMPTE240M = 2
    REC709 = 3
    BT878 = 4
    SYSTEM_525_60 = 5
    SYSTEM_625_50 = 6
    JPEG = 7
    SRGB = 8
    OPRGB = 9
    BT2020 = 10
    RAW = 11
    DCI_P3 = 12


class YcbcrEncoding(enum.IntEnum):
    """enum v4l2_ycbcr_encoding."""

    DEFAULT = 0
    BT601 = 1
    BT709 = 2
    XV601 = 3
    XV709 = 4
    SYCC = 5
    BT2020 = 6


class Quantization(enum.IntEnum):
    """enum v4l2_quantization."""

    DEFAULT = 0
    FULL = 1
    LIMITED = 2


class Structure(ctypes.Structure):
    """One of the header's; made of zeros."""


class Capability(Structure):
    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class Fmtdesc(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FrmsizeDiscrete(Structure):
    _fields_ = (("width", c_uint32), ("height", c_uint32))


class FrmsizeStepwise(Structure):
    _fields_ = (
        ("min_width", c_uint32),
        ("max_width", c_uint32),
        ("step_width", c_uint32),
        ("min_height", c_uint32),
        ("max_height", c_uint32),
        ("step_height", c_uint32),
    )


class _FrmsizeUnion(ctypes.Union):
    _fields_ = (("discrete", FrmsizeDiscrete), ("stepwise", FrmsizeStepwise))


class Frmsizeenum(Structure):
    _anonymous_ = ("size",)
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("size", _FrmsizeUnion),
        ("reserved", c_uint32 * 2),
    )


class Fract(Structure):
    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class FrmivalStepwise(Structure):
    _fields_ = (("min", Fract), ("max", Fract), ("step", Fract))


class _FrmivalUnion(ctypes.Union):
    _fields_ = (("discrete", Fract), ("stepwise", FrmivalStepwise))


class Frmivalenum(Structure):
    _anonymous_ = ("interval",)
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("interval", _FrmivalUnion),
        ("reserved", c_uint32 * 2),
    )


class PixFormat(Structure):
    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixelformat", c_uint32),
        ("field", c_uint32),
        ("bytesperline", c_uint32),
        ("sizeimage", c_uint32),
        ("colorspace", c_uint32),
        ("priv", c_uint32),
        ("flags", c_uint32),
        ("ycbcr_enc", c_uint32),
        ("quantization", c_uint32),
        ("xfer_func", c_uint32),
    )


class _FormatUnion(ctypes.Union):
    # The header's union holds a pointer elsewhere (struct v4l2_window), hence its alignment.
    _fields_ = (("pix", PixFormat), ("raw_data", c_uint8 * 200), ("window", c_void_p))


class Format(Structure):
    _anonymous_ = ("fmt",)
    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


class Captureparm(Structure):
    _fields_ = (
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("timeperframe", Fract),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class _ParmUnion(ctypes.Union):
    _fields_ = (("capture", Captureparm), ("raw_data", c_uint8 * 200))


class Streamparm(Structure):
    _anonymous_ = ("parm",)
    _fields_ = (("type", c_uint32), ("parm", _ParmUnion))


class Requestbuffers(Structure):
    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    )


class Timeval(Structure):
    _fields_ = (("tv_sec", c_long), ("tv_usec", c_long))


class Timecode(Structure):
    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("frames", c_uint8),
        ("seconds", c_uint8),
        ("minutes", c_uint8),
        ("hours", c_uint8),
        ("userbits", c_uint8 * 4),
    )


class _BufferUnion(ctypes.Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_long), ("fd", c_int32))


class Buffer(Structure):
    _anonymous_ = ("m",)
    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", Timeval),
        ("timecode", Timecode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _BufferUnion),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
    )


class Standard(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("id", c_uint64),
        ("name", c_char * 24),
        ("frameperiod", Fract),
        ("framelines", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class Input(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("name", c_char * 32),
        ("type", c_uint32),
        ("audioset", c_uint32),
        ("tuner", c_uint32),
        ("std", c_uint64),
        ("status", c_uint32),
        ("capabilities", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class Queryctrl(Structure):
    _fields_ = (
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
        ("minimum", c_int32),
        ("maximum", c_int32),
        ("step", c_int32),
        ("default_value", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 2),
    )


class Control(Structure):
    _fields_ = (("id", c_uint32), ("value", c_int32))


class Rect(Structure):
    _fields_ = (("left", c_int32), ("top", c_int32), ("width", c_uint32), ("height", c_uint32))


class Cropcap(Structure):
    _fields_ = (
        ("type", c_uint32),
        ("bounds", Rect),
        ("defrect", Rect),
        ("pixelaspect", Fract),
    )


class BtTimings(Structure):
    _pack_ = 1  # __attribute__ ((packed))
    _fields_ = (
        ("width", c_uint32),
        ("height", c_uint32),
        ("interlaced", c_uint32),
        ("polarities", c_uint32),
        ("pixelclock", c_uint64),
        ("hfrontporch", c_uint32),
        ("hsync", c_uint32),
        ("hbackporch", c_uint32),
        ("vfrontporch", c_uint32),
        ("vsync", c_uint32),
        ("vbackporch", c_uint32),
        ("il_vfrontporch", c_uint32),
        ("il_vsync", c_uint32),
        ("il_vbackporch", c_uint32),
        ("standards", c_uint32),
        ("flags", c_uint32),
        ("picture_aspect", Fract),
        ("cea861_vic", c_uint8),
        ("hdmi_vic", c_uint8),
        ("reserved", c_uint8 * 46),
    )


class _TimingsUnion(ctypes.Union):
    _pack_ = 1
    _fields_ = (("bt", BtTimings), ("reserved", c_uint32 * 32))


class DvTimings(Structure):
    _pack_ = 1
    _anonymous_ = ("timings",)
    _fields_ = (("type", c_uint32), ("timings", _TimingsUnion))


class EnumDvTimings(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("pad", c_uint32),
        ("reserved", c_uint32 * 2),
        ("timings", DvTimings),
    )


class BtTimingsCap(Structure):
    _pack_ = 1
    _fields_ = (
        ("min_width", c_uint32),
        ("max_width", c_uint32),
        ("min_height", c_uint32),
        ("max_height", c_uint32),
        ("min_pixelclock", c_uint64),
        ("max_pixelclock", c_uint64),
        ("standards", c_uint32),
        ("capabilities", c_uint32),
        ("reserved", c_uint32 * 16),
    )


class _CapUnion(ctypes.Union):
    _fields_ = (("bt", BtTimingsCap), ("raw_data", c_uint32 * 32))


class DvTimingsCap(Structure):
    _anonymous_ = ("cap",)
    _fields_ = (
        ("type", c_uint32),
        ("pad", c_uint32),
        ("reserved", c_uint32 * 2),
        ("cap", _CapUnion),
    )


class Edid(Structure):
    _fields_ = (
        ("pad", c_uint32),
        ("start_block", c_uint32),
        ("blocks", c_uint32),
        ("reserved", c_uint32 * 5),
        ("edid", ctypes.POINTER(c_uint8)),
    )


class Timespec(Structure):
    _fields_ = (("tv_sec", c_long), ("tv_nsec", c_long))


class _EventUnion(ctypes.Union):
    _fields_ = (("changes", c_uint32), ("data", c_uint8 * 64), ("value64", c_int64))


class Event(Structure):
    _anonymous_ = ("u",)
    _fields_ = (
        ("type", c_uint32),
        ("u", _EventUnion),
        ("pending", c_uint32),
        ("sequence", c_uint32),
        ("timestamp", Timespec),
        ("id", c_uint32),
        ("reserved", c_uint32 * 8),
    )


class EventSubscription(Structure):
    _fields_ = (
        ("type", c_uint32),
        ("id", c_uint32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 5),
    )


def fourcc(code: str) -> int:
    """Return a pixel format's number: v4l2_fourcc of four characters."""
    return int.from_bytes(code.ljust(4).encode("ascii"), "little")


def code_of(pixelformat: int) -> str:
    """Return a pixel format's four characters; bit 31 marks big-endian ones ("-BE")."""
    text = (pixelformat & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace").rstrip()
    return f"{text}-BE" if pixelformat >> 31 else text
