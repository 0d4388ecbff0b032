"""v4l2: frames of a grabber, and the truth about its signal.

Takes      a device in /dev, and which of its inputs
Gives      frames; a `Seen` whenever the signal, or the form of the frames, is another
Raises     NoDevice, DeviceBusy, UnknownFormat, at the start; later nothing: what fails is a `Seen`
Repeats    a stream that died is started anew, a source that changed is set anew, without a word
           from outside. After DEVICE_GONE it is at its end: who watches over it opens another

What is on the cable is asked after each event, and every `ASK_S` because drivers forget to tell.
Setting a standard or timings makes an event too: what is set is compared with what is detected, or
a capture would restart because it restarted.

References: linux documentation, userspace-api/media/v4l.
"""

import contextlib
import errno
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from capture import videodev2 as v4l2
from capture.device import Buffered, Device, ended_by
from capture.forms import form_of, preferred
from capture.frame import Form, Frame, PixelFormat
from capture.signal import BY_ERRNO, Look, Signal, by_status
from capture.source import DeviceBusy, NoDevice, Seen

ASK_S = 1.0
#: Width to pixel clock: what makes two timings the same picture.
TIMINGS_BYTES = 28
#: Buffers of the driver: a preview that takes long must not make it drop frames.
BUFFERS = 8
#: Before anything was set.
NO_FORM = Form(PixelFormat.GREY, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to capture."""

    path: str  #: in /dev, as it is called now
    input: str = ""  #: its name, or its number; "": the one that is selected
    size: tuple[int, int] = (0, 0)  #: columns, rows; (0, 0): what the source gives


class V4l2Source:
    """One grabber."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted, self._device = wanted, _opened(wanted.path)
        self._look: Look | None = None
        self._form = NO_FORM
        self._signal: Signal | None = None
        self._told: deque[Seen] = deque()
        self._last, self._ask_at, self._is_closed = -1, 0.0, False
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def next(self, timeout_s: float) -> Frame | Seen | None:
        if self._told:
            return self._told.popleft()
        if self._is_closed or self._signal is Signal.DEVICE_GONE:
            return None
        try:
            return self._next(timeout_s)
        except OSError as fault:
            self._failed(fault)
        return self._told.popleft() if self._told else None

    def interrupt(self) -> None:
        self._device.interrupt()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._device.close()

    def _begin(self) -> None:
        with _busy(self._wanted.path):
            self._select()
            tells = self._device.subscribe_source_changes()
            is_tv = self._device.input().capabilities & (v4l2.IN_CAP_DV_TIMINGS | v4l2.IN_CAP_STD)
            self._look = None if tells or is_tv else Look()
            self._start()

    def _select(self) -> None:
        inputs = self._device.inputs()
        for number, one in enumerate(inputs):
            if self._wanted.input in (str(number), one.name.decode(errors="replace")):
                self._device.select_input(number)
                return
        if self._wanted.input:
            names = ", ".join(one.name.decode(errors="replace") for one in inputs)
            raise NoDevice(f"{self._wanted.path} has no input {self._wanted.input!r}, but {names}")

    def _start(self, detail: str = "") -> None:
        """Set what is on the cable, and stream; without a signal, as it was set last."""
        self._set_source()
        code = preferred(v4l2.code_of(one.pixelformat) for one in self._device.formats())
        now = self._device.format()
        columns, rows = self._wanted.size if any(self._wanted.size) else (now.width, now.height)
        pix = self._device.set_format(v4l2.fourcc(code), columns, rows)
        numerator, denominator = self._device.frame_interval()
        interval_ns = 10**9 * numerator // denominator if denominator else 0
        aspect = self._device.pixel_aspect()
        self._form = form_of(pix, pixel_aspect=aspect, frame_interval_ns=interval_ns)
        self._device.start(BUFFERS)
        self._last, self._signal = -1, None
        self._ask(detail)

    def _set_source(self) -> None:
        selected = self._device.input()
        if selected.capabilities & v4l2.IN_CAP_DV_TIMINGS:
            with ended_by(errno.ENOLINK, errno.ENOLCK, errno.ERANGE, errno.ENODATA, errno.ENOTTY):
                self._device.set_timings(self._device.detected_timings())
        elif selected.capabilities & v4l2.IN_CAP_STD:
            with ended_by(errno.ENODATA, errno.ENOTTY, errno.EINVAL):
                detected = self._device.number("QUERYSTD") & selected.std
                if detected and not by_status(selected.status):
                    self._device.set_standard(detected)

    def _next(self, timeout_s: float) -> Frame | Seen | None:
        end = time.monotonic() + timeout_s
        while True:
            if time.monotonic() >= self._ask_at:
                self._ask()
            if self._told:
                return self._told.popleft()
            left_s = min(end, self._ask_at) - time.monotonic()
            woken = self._device.wait(max(left_s, 0.0))
            if woken.events:
                self._ask_at = 0.0
            if woken.has_frame or woken.has_failed:
                taken = self._device.take()
                if taken:
                    return self._frame(taken)
            if time.monotonic() >= end:
                return None

    def _frame(self, taken: Buffered) -> Frame | Seen:
        lost = max(0, taken.sequence - self._last - 1) if self._last >= 0 else 0
        self._last = taken.sequence
        at_ns = taken.captured_at_ns if taken.is_monotonic else time.monotonic_ns()
        frame = Frame(
            self._form, taken.data, taken.sequence, at_ns, taken.field, taken.is_damaged, lost
        )
        if self._look:
            self._tell(self._look.at(frame))
        return frame

    def _ask(self, detail: str = "") -> None:
        """Find out what is on the cable; set it anew where it is another."""
        self._ask_at = time.monotonic() + ASK_S
        signal = self._asked()
        if signal is Signal.CHANGED:
            self._tell(signal)
            self._device.stop()
            self._start()
        elif signal:
            self._tell(signal, detail)

    def _asked(self) -> Signal | None:
        """Return what the driver says; None where it says nothing, and pictures are looked at."""
        device = self._device
        try:
            now = device.input()
            if now.capabilities & v4l2.IN_CAP_DV_TIMINGS:
                seen = bytes(device.detected_timings())[:TIMINGS_BYTES]
                set_to = bytes(device.call("G_DV_TIMINGS", v4l2.DvTimings()))[:TIMINGS_BYTES]
                return Signal.PRESENT if seen == set_to else Signal.CHANGED
            if wrong := by_status(now.status):
                return wrong
            if now.capabilities & v4l2.IN_CAP_STD:
                seen_std, set_std = device.number("QUERYSTD"), device.number("G_STD")
                return Signal.PRESENT if seen_std & set_std else Signal.CHANGED
        except OSError as fault:
            if fault.errno in BY_ERRNO:
                return BY_ERRNO[fault.errno]
            if fault.errno not in (errno.ENODATA, errno.ENOTTY, errno.EINVAL):
                raise
        return None if self._look and self._signal else Signal.PRESENT

    def _tell(self, signal: Signal, detail: str = "") -> None:
        if signal is not self._signal or detail:
            self._signal = signal
            form = None if signal is Signal.DEVICE_GONE else self._form
            self._told.append(Seen(signal, time.monotonic_ns(), form, detail))

    def _failed(self, fault: OSError) -> None:
        """EIO: the stream died, and is started anew. Anything else: the device is gone."""
        if fault.errno == errno.EIO:
            with contextlib.suppress(OSError):
                self._device.stop()
                self._start("stream restarted")
                return
        self._tell(Signal.DEVICE_GONE, errno.errorcode.get(fault.errno or 0, str(fault)))
        self.close()


def _opened(path: str) -> Device:
    try:
        with _busy(path):
            return Device(path)
    except FileNotFoundError as fault:
        raise NoDevice(path) from fault


@contextlib.contextmanager
def _busy(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno == errno.EBUSY:
            raise DeviceBusy(path) from fault
        raise
