"""signal: what is known of the picture on the cable, and never more than is known.

Takes      what the driver says (status, timings, standards), or frames where it says nothing
Gives      one `Signal`
Holds      nothing

A lost signal is no stream error: most grabbers give frames at full rate for ever. Drivers of the
TV and HDMI kind tell by status and timings; a UVC stick tells nothing, so its pictures are looked
at. A picture that stands still is not a lost signal: Freeze is a key on every ultrasound. Only a
picture that no ultrasound shows is one: uniform, or the splash of the stick itself.

References: linux/videodev2.h (V4L2_IN_ST_*), VIDIOC_QUERY_DV_TIMINGS, VIDIOC_QUERYSTD.
"""

import enum
import errno
import hashlib
from collections.abc import Container

import numpy as np

from capture import videodev2 as v4l2
from capture.convert import to_grey
from capture.frame import Frame, PixelFormat


class Signal(enum.StrEnum):
    """What is on the cable."""

    PRESENT = "present"  #: pictures can be believed
    LOST = "lost"  #: no cable, or the source is off
    UNSTABLE = "unstable"  #: something is there, but the device does not lock to it
    OUT_OF_RANGE = "out-of-range"  #: stable, but this device cannot take it
    CHANGED = "changed"  #: stable, but not what the capture is set to: it is set anew
    DEVICE_GONE = "device-gone"  #: unplugged


#: What VIDIOC_QUERY_DV_TIMINGS and VIDIOC_QUERYSTD answer where there is nothing to give.
BY_ERRNO = {
    errno.ENOLINK: Signal.LOST,
    errno.ENOLCK: Signal.UNSTABLE,
    errno.ERANGE: Signal.OUT_OF_RANGE,
    errno.ENODEV: Signal.DEVICE_GONE,
}

#: v4l2_input.status: the first that has one of its bits.
BY_STATUS = (
    (v4l2.IN_ST_NO_POWER | v4l2.IN_ST_NO_SIGNAL | v4l2.IN_ST_NO_CARRIER, Signal.LOST),
    (
        v4l2.IN_ST_NO_H_LOCK
        | v4l2.IN_ST_NO_V_LOCK
        | v4l2.IN_ST_NO_STD_LOCK
        | v4l2.IN_ST_NO_SYNC
        | v4l2.IN_ST_NO_EQU,
        Signal.UNSTABLE,
    ),
)


def by_status(status: int) -> Signal | None:
    """Return what the input's status says is wrong; None: nothing."""
    return next((signal for bits, signal in BY_STATUS if status & bits), None)


#: Black level noise of a grabber: a picture with less spread over it shows nothing.
UNIFORM_LEVELS = 3
#: So many looks in a row must say the same: a black frame between two scenes is no loss.
LOOKS = 5


def fingerprint(frame: Frame) -> str:
    """Return a digest by which a stick's splash picture is known again."""
    return hashlib.sha256(frame.data).hexdigest()


class Look:
    """Judges a source whose driver tells nothing, one look after the other.

    Parameters
    ----------
    splashes
        Fingerprints of what the stick shows when its cable is out.
    """

    def __init__(self, splashes: Container[str] = ()) -> None:
        self._splashes, self._empty = splashes, 0

    def at(self, frame: Frame) -> Signal:
        """Return LOST after `LOOKS` pictures in a row without content, else PRESENT."""
        self._empty = self._empty + 1 if self._shows_nothing(frame) else 0
        return Signal.LOST if self._empty >= LOOKS else Signal.PRESENT

    def _shows_nothing(self, frame: Frame) -> bool:
        if frame.form.pixel_format is PixelFormat.MJPG:
            return fingerprint(frame) in self._splashes
        grey = to_grey(frame)[::8, ::8]
        low, high = np.percentile(grey, (1, 99))
        return bool(high - low <= UNIFORM_LEVELS) or fingerprint(frame) in self._splashes
