"""video_requests: the numbers of the ioctl requests, packed from the structures' sizes.

Takes      nothing: asm-generic/ioctl.h and linux/videodev2.h
Gives      VIDIOC_… -> number, and which of our structures is which of the header's
Holds      nothing

A structure of a wrong size makes another number, and the kernel answers ENOTTY.

References: asm-generic/ioctl.h, linux/videodev2.h.
"""

import ctypes
from ctypes import c_int32

from capture.videodev2 import (
    BtTimings,
    BtTimingsCap,
    Buffer,
    Capability,
    Captureparm,
    Control,
    Cropcap,
    DvTimings,
    DvTimingsCap,
    Edid,
    EnumDvTimings,
    Event,
    EventSubscription,
    Fmtdesc,
    Format,
    Fract,
    Frmivalenum,
    Frmsizeenum,
    Input,
    PixFormat,
    Queryctrl,
    Rect,
    Requestbuffers,
    Standard,
    Streamparm,
    Timecode,
)

_WRITE, _READ = 1, 2
_V = ord("V")


def _request(direction: int, number: int, argument: type[ctypes.Structure] | type[c_int32]) -> int:
    """Return a request number as asm-generic/ioctl.h packs it: direction, size, type, number."""
    return direction << 30 | ctypes.sizeof(argument) << 16 | _V << 8 | number


_BOTH = _READ | _WRITE

#: VIDIOC_…: name -> request number.
REQUESTS = {
    "QUERYCAP": _request(_READ, 0, Capability),
    "ENUM_FMT": _request(_BOTH, 2, Fmtdesc),
    "G_FMT": _request(_BOTH, 4, Format),
    "S_FMT": _request(_BOTH, 5, Format),
    "REQBUFS": _request(_BOTH, 8, Requestbuffers),
    "QUERYBUF": _request(_BOTH, 9, Buffer),
    "QBUF": _request(_BOTH, 15, Buffer),
    "DQBUF": _request(_BOTH, 17, Buffer),
    "STREAMON": _request(_WRITE, 18, c_int32),
    "STREAMOFF": _request(_WRITE, 19, c_int32),
    "G_PARM": _request(_BOTH, 21, Streamparm),
    "S_PARM": _request(_BOTH, 22, Streamparm),
    "G_STD": _READ << 30 | 8 << 16 | _V << 8 | 23,
    "S_STD": _WRITE << 30 | 8 << 16 | _V << 8 | 24,
    "ENUMSTD": _request(_BOTH, 25, Standard),
    "ENUMINPUT": _request(_BOTH, 26, Input),
    "G_CTRL": _request(_BOTH, 27, Control),
    "S_CTRL": _request(_BOTH, 28, Control),
    "QUERYCTRL": _request(_BOTH, 36, Queryctrl),
    "G_INPUT": _request(_READ, 38, c_int32),
    "S_INPUT": _request(_BOTH, 39, c_int32),
    "G_EDID": _request(_BOTH, 40, Edid),
    "S_EDID": _request(_BOTH, 41, Edid),
    "CROPCAP": _request(_BOTH, 58, Cropcap),
    "QUERYSTD": _READ << 30 | 8 << 16 | _V << 8 | 63,
    "ENUM_FRAMESIZES": _request(_BOTH, 74, Frmsizeenum),
    "ENUM_FRAMEINTERVALS": _request(_BOTH, 75, Frmivalenum),
    "S_DV_TIMINGS": _request(_BOTH, 87, DvTimings),
    "G_DV_TIMINGS": _request(_BOTH, 88, DvTimings),
    "DQEVENT": _request(_READ, 89, Event),
    "SUBSCRIBE_EVENT": _request(_WRITE, 90, EventSubscription),
    "UNSUBSCRIBE_EVENT": _request(_WRITE, 91, EventSubscription),
    "ENUM_DV_TIMINGS": _request(_BOTH, 98, EnumDvTimings),
    "QUERY_DV_TIMINGS": _request(_READ, 99, DvTimings),
    "DV_TIMINGS_CAP": _request(_BOTH, 100, DvTimingsCap),
}

#: Our class -> the header's name.
STRUCTURES: dict[type[ctypes.Structure], str] = {
    Capability: "v4l2_capability",
    Fmtdesc: "v4l2_fmtdesc",
    Frmsizeenum: "v4l2_frmsizeenum",
    Fract: "v4l2_fract",
    Frmivalenum: "v4l2_frmivalenum",
    PixFormat: "v4l2_pix_format",
    Format: "v4l2_format",
    Captureparm: "v4l2_captureparm",
    Streamparm: "v4l2_streamparm",
    Requestbuffers: "v4l2_requestbuffers",
    Timecode: "v4l2_timecode",
    Buffer: "v4l2_buffer",
    Standard: "v4l2_standard",
    Input: "v4l2_input",
    Queryctrl: "v4l2_queryctrl",
    Control: "v4l2_control",
    Rect: "v4l2_rect",
    Cropcap: "v4l2_cropcap",
    BtTimings: "v4l2_bt_timings",
    DvTimings: "v4l2_dv_timings",
    EnumDvTimings: "v4l2_enum_dv_timings",
    BtTimingsCap: "v4l2_bt_timings_cap",
    DvTimingsCap: "v4l2_dv_timings_cap",
    Edid: "v4l2_edid",
    Event: "v4l2_event",
    EventSubscription: "v4l2_event_subscription",
}
