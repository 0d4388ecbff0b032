"""device: one V4L2 device, opened: what it is, what it can, and its stream.

Takes      a path in /dev
Gives      inputs, standards, timings, formats, EDID, controls, frames, events
Raises     OSError with the driver's errno: EBUSY, EIO, ENODEV, as the documentation says
Holds      nothing

The thread that waits drains all events: one that is left makes poll(2) spin. Closing takes the maps
as well: each holds the device, which would else come back from an unplug under another number.

References: linux documentation, userspace-api/media/v4l (capture, events, DV timings, EDID).
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
from collections.abc import Iterator
from ctypes import c_int32, c_uint8, c_uint64
from dataclasses import dataclass
from typing import TypeVar

from capture import videodev2 as v4l2
from capture.video_requests import REQUESTS

Structure = TypeVar("Structure", bound=ctypes.Structure)

EDID_BLOCK_BYTES, EDID_BLOCKS_MOST = 128, 256


@dataclass(frozen=True, slots=True)
class Buffered:
    """What came out of the driver's queue."""

    data: bytes
    sequence: int
    captured_at_ns: int
    field: v4l2.Field
    is_damaged: bool
    is_monotonic: bool  #: the moment is CLOCK_MONOTONIC


@dataclass(frozen=True, slots=True)
class Woken:
    """Why a wait ended."""

    has_frame: bool = False
    has_failed: bool = False  #: the stream is dead, or the device: `take` says which
    events: tuple[v4l2.Event, ...] = ()


@contextlib.contextmanager
def ended_by(*numbers: int) -> Iterator[None]:
    """Let these errnos end the block: V4L2's way to end a list, or to say that it does not know."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in numbers:
            raise


_UNKNOWN = (errno.EINVAL, errno.ENODATA, errno.ENOTTY)


class Device:
    """An open device. One thread works with it; `interrupt` may be called from another."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._maps: list[mmap.mmap] = []
        self._waker, self._wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN | select.POLLPRI)
        self._poll.register(self._waker, select.POLLIN)

    def call(self, name: str, argument: Structure) -> Structure:
        """Make the request VIDIOC_`name`; return its argument, filled in."""
        fcntl.ioctl(self.fd, REQUESTS[name], argument)
        return argument

    def number(self, name: str, value: int = 0) -> int:
        """Make a request whose argument is one number; return it as it is then."""
        kind = c_uint64 if name.endswith("STD") else c_int32
        argument = kind(value)
        fcntl.ioctl(self.fd, REQUESTS[name], argument)
        return int(argument.value)

    # what it is

    def capability(self) -> v4l2.Capability:
        return self.call("QUERYCAP", v4l2.Capability())

    def inputs(self) -> list[v4l2.Input]:
        return self._listed("ENUMINPUT", v4l2.Input)

    def standards(self) -> list[v4l2.Standard]:
        """Return the standards that the selected input can be set to."""
        return self._listed("ENUMSTD", v4l2.Standard)

    def formats(self) -> list[v4l2.Fmtdesc]:
        return self._listed("ENUM_FMT", v4l2.Fmtdesc, type=v4l2.BUF_TYPE_VIDEO_CAPTURE)

    def sizes(self, pixelformat: int) -> list[v4l2.Frmsizeenum]:
        return self._listed("ENUM_FRAMESIZES", v4l2.Frmsizeenum, pixel_format=pixelformat)

    def timings(self) -> list[v4l2.EnumDvTimings]:
        return self._listed("ENUM_DV_TIMINGS", v4l2.EnumDvTimings)

    def controls(self) -> dict[str, int]:
        """Return the controls of the driver: name -> id."""
        found: dict[str, int] = {}
        control = v4l2.Queryctrl()
        with ended_by(*_UNKNOWN):
            while True:
                control.id |= v4l2.CTRL_FLAG_NEXT_CTRL
                self.call("QUERYCTRL", control)
                found[control.name.decode(errors="replace")] = control.id
        return found

    def set_control(self, control_id: int, value: int) -> None:
        self.call("S_CTRL", v4l2.Control(control_id, value))

    # what it is set to

    def input(self) -> v4l2.Input:
        """Return the selected input, its status as it is now."""
        return self.call("ENUMINPUT", v4l2.Input(index=self.number("G_INPUT")))

    def select_input(self, index: int) -> None:
        """Raise OSError, EBUSY while anybody streams."""
        self.number("S_INPUT", index)

    def set_standard(self, standard: int) -> None:
        self.number("S_STD", standard)

    def detected_timings(self) -> v4l2.DvTimings:
        """Return the timings on the cable; OSError, errno of `signal.BY_ERRNO`, without any."""
        return self.call("QUERY_DV_TIMINGS", v4l2.DvTimings())

    def set_timings(self, timings: v4l2.DvTimings) -> None:
        """Raise OSError, EBUSY while streaming: stop, set, set the format again, start."""
        self.call("S_DV_TIMINGS", timings)

    def format(self) -> v4l2.PixFormat:
        pix: v4l2.PixFormat = self.call("G_FMT", v4l2.Format(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)).pix
        return pix

    def set_format(
        self, pixelformat: int, columns: int, rows: int, field: v4l2.Field = v4l2.Field.ANY
    ) -> v4l2.PixFormat:
        """Return what the driver chose, which may be something else."""
        wanted = v4l2.Format(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
        wanted.pix = v4l2.PixFormat(
            width=columns, height=rows, pixelformat=pixelformat, field=field
        )
        chosen: v4l2.PixFormat = self.call("S_FMT", wanted).pix
        return chosen

    def frame_interval(self) -> tuple[int, int]:
        """Return seconds a frame as numerator, denominator; (0, 0): it does not say."""
        parm = v4l2.Streamparm(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
        with ended_by(*_UNKNOWN):
            self.call("G_PARM", parm)
        per_frame = parm.capture.timeperframe
        return per_frame.numerator, per_frame.denominator

    def pixel_aspect(self) -> tuple[int, int]:
        """Return vertical, horizontal, as (0028,0034) says it; 1, 1 where it does not say."""
        crop = v4l2.Cropcap(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
        with ended_by(*_UNKNOWN):
            self.call("CROPCAP", crop)
        aspect = crop.pixelaspect
        return (aspect.numerator, aspect.denominator) if aspect.numerator else (1, 1)

    def edid(self, pad: int) -> bytes:
        """Return what a source reads as the display's description, b"" where there is none."""
        room = (c_uint8 * (EDID_BLOCK_BYTES * EDID_BLOCKS_MOST))()
        asked = v4l2.Edid(pad=pad, start_block=0, blocks=EDID_BLOCKS_MOST, edid=room)
        with ended_by(*_UNKNOWN):
            self.call("G_EDID", asked)
            return bytes(room[: asked.blocks * EDID_BLOCK_BYTES])
        return b""

    def set_edid(self, pad: int, edid: bytes) -> None:
        """Write the display's description: without one, bridges such as the TC358743 stay dark."""
        room = (c_uint8 * max(len(edid), 1)).from_buffer_copy(edid or b"\0")
        blocks = len(edid) // EDID_BLOCK_BYTES
        self.call("S_EDID", v4l2.Edid(pad=pad, start_block=0, blocks=blocks, edid=room))

    def subscribe_source_changes(self) -> int:
        """Return how many inputs tell by an event; its id is the input's index."""
        telling = 0
        for index in range(len(self.inputs())):
            with ended_by(*_UNKNOWN):
                wanted = v4l2.EventSubscription(type=v4l2.EVENT_SOURCE_CHANGE, id=index)
                self.call("SUBSCRIBE_EVENT", wanted)
                telling += 1
        return telling

    # its stream

    def start(self, count: int = 4) -> None:
        wanted = v4l2.Requestbuffers(
            count=count, type=v4l2.BUF_TYPE_VIDEO_CAPTURE, memory=v4l2.MEMORY_MMAP
        )
        for index in range(self.call("REQBUFS", wanted).count):
            buffer = self.call("QUERYBUF", self._buffer(index))
            self._maps.append(mmap.mmap(self.fd, buffer.length, offset=buffer.offset))
            self.call("QBUF", buffer)
        self.number("STREAMON", v4l2.BUF_TYPE_VIDEO_CAPTURE)

    def stop(self) -> None:
        """End the stream; harmless where none runs."""
        self.number("STREAMOFF", v4l2.BUF_TYPE_VIDEO_CAPTURE)
        self._unmap()
        none = v4l2.Requestbuffers(
            count=0, type=v4l2.BUF_TYPE_VIDEO_CAPTURE, memory=v4l2.MEMORY_MMAP
        )
        self.call("REQBUFS", none)

    def wait(self, timeout_s: float) -> Woken:
        """Return when a frame or an event is there, something failed, or the time is over."""
        flags = dict(self._poll.poll(timeout_s * 1000))
        if flags.pop(self._waker, 0):
            os.read(self._waker, 64)
        said = flags.get(self.fd, 0)
        failed = bool(said & (select.POLLERR | select.POLLHUP))
        events = self._events() if said & select.POLLPRI and not said & select.POLLHUP else ()
        return Woken(bool(said & select.POLLIN), failed, events)

    def take(self) -> Buffered | None:
        """Return one frame, None while there is none.

        Raises
        ------
        OSError
            EIO: the stream is dead, start it anew; ENODEV: unplugged.
        """
        try:
            raw = self.call("DQBUF", self._buffer(0))
        except BlockingIOError:
            return None
        data = self._maps[raw.index][: raw.bytesused]
        flags, at = raw.flags, raw.timestamp
        taken = Buffered(
            data,
            raw.sequence,
            at.tv_sec * 10**9 + at.tv_usec * 1000,
            v4l2.Field(raw.field),
            bool(flags & v4l2.BUF_FLAG_ERROR),
            flags & v4l2.BUF_FLAG_TIMESTAMP_MASK == v4l2.BUF_FLAG_TIMESTAMP_MONOTONIC,
        )
        self.call("QBUF", raw)
        return taken

    def interrupt(self) -> None:
        """End a `wait` of another thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wakes, b"!")

    def close(self) -> None:
        self._unmap()
        for fd in (self.fd, self._waker, self._wakes):
            os.close(fd)

    def _buffer(self, index: int) -> v4l2.Buffer:
        return v4l2.Buffer(index=index, type=v4l2.BUF_TYPE_VIDEO_CAPTURE, memory=v4l2.MEMORY_MMAP)

    def _events(self) -> tuple[v4l2.Event, ...]:
        found = []
        with ended_by(errno.ENOENT):
            while True:
                found.append(self.call("DQEVENT", v4l2.Event()))
        return tuple(found)

    def _listed(self, name: str, kind: type[Structure], **values: int) -> list[Structure]:
        found: list[Structure] = []
        with ended_by(*_UNKNOWN):
            while True:
                found.append(self.call(name, kind(index=len(found), **values)))
        return found

    def _unmap(self) -> None:
        while self._maps:
            self._maps.pop().close()
