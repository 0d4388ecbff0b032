"""evdev: a USB pedal, which is a keyboard to the kernel.

Takes      vendor and product (VID:PID), and which key; never the number of its node, which changes
Gives      edges with the kernel's moment, CLOCK_MONOTONIC
Raises     `Detached`: it was unplugged; a key that was down counts as released then
Holds      the device for itself alone (EVIOCGRAB): else the pedal would type into a console

References: linux/input.h, linux/input-event-codes.h; an unplug sends the release and then
ENODEV, but a reader that comes late gets ENODEV alone.
"""

import contextlib
import errno
import fcntl
import os
import select
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from capture.contact import Detached, Edge

#: struct input_event of 64-bit machines: seconds, microseconds, type, code, value.
EVENT = struct.Struct("llHHi")
EV_SYN, EV_KEY, SYN_DROPPED = 0, 1, 3
DOWN, REPEAT = 1, 2
EVIOCGRAB, EVIOCSCLOCKID = 0x40044590, 0x400445A0
KEY_BITS_BYTES = 96  #: KEY_MAX is 0x2ff
EVIOCGKEY = 2 << 30 | KEY_BITS_BYTES << 16 | ord("E") << 8 | 0x18
EVENTS_AT_ONCE = 64
SYS_INPUT = Path("/sys/class/input")


@dataclass(frozen=True, slots=True)
class UsbId:
    """VID:PID."""

    vendor: int
    product: int

    def __str__(self) -> str:
        return f"{self.vendor:04x}:{self.product:04x}"


def nodes(wanted: UsbId, sys_input: Path = SYS_INPUT) -> list[str]:
    """Return the event nodes whose device has this id, in the kernel's order."""
    found = []
    for folder in sorted(sys_input.glob("event*"), key=lambda one: int(one.name[5:])):
        with contextlib.suppress(FileNotFoundError, ValueError):  # it went while we looked
            ids = [(folder / "device/id" / one).read_text() for one in ("vendor", "product")]
            if UsbId(*(int(one, 16) for one in ids)) == wanted:
                found.append(f"/dev/input/{folder.name}")
    return found


class UsbPedal:
    """One node of a pedal, opened and grabbed.

    Parameters
    ----------
    key
        The key code of this pedal where one device has several; 0: any key.

    Raises
    ------
    OSError
        EBUSY: another program has grabbed it.
    """

    def __init__(self, path: str, key: int = 0) -> None:
        self.path, self._key = path, key
        self._down: set[int] = set()
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._waker, self._wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            # Without it the stamps are wall clock, and jump when NTP sets it.
            fcntl.ioctl(self._fd, EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))
            fcntl.ioctl(self._fd, EVIOCGRAB, 1)
        except BaseException:
            self.close()
            raise

    def wait(self, timeout_s: float) -> Iterator[Edge]:
        """Give the edges that came; none when the time is over, or after `interrupt`."""
        ready = select.select([self._fd, self._waker], [], [], timeout_s)[0]
        if self._waker in ready:
            os.read(self._waker, 64)
        if self._fd in ready:
            yield from self._read()

    def interrupt(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wakes, b"!")

    def close(self) -> None:
        for fd in (self._fd, self._waker, self._wakes):
            os.close(fd)

    def _read(self) -> Iterator[Edge]:
        try:
            raw = os.read(self._fd, EVENT.size * EVENTS_AT_ONCE)
        except BlockingIOError:
            return
        except OSError as fault:
            if fault.errno != errno.ENODEV:
                raise
            raise Detached(self.path) from fault
        for seconds, microseconds, kind, code, value in EVENT.iter_unpack(raw):
            at_ns = seconds * 10**9 + microseconds * 1000
            if kind == EV_SYN and code == SYN_DROPPED:
                yield from self._look_anew(at_ns)
            elif kind == EV_KEY and value != REPEAT and self._key in (0, code):
                yield from self._changed(at_ns, code, is_down=value == DOWN)

    def _changed(self, at_ns: int, code: int, *, is_down: bool) -> Iterator[Edge]:
        """With any key: down while one of them is."""
        before = bool(self._down)
        self._down = self._down | {code} if is_down else self._down - {code}
        if bool(self._down) != before:
            yield Edge(at_ns, bool(self._down))

    def _look_anew(self, at_ns: int) -> Iterator[Edge]:
        """The kernel dropped events: ask which keys are down now."""
        bits = fcntl.ioctl(self._fd, EVIOCGKEY, bytes(KEY_BITS_BYTES))
        now = {code for code in range(KEY_BITS_BYTES * 8) if bits[code // 8] >> code % 8 & 1}
        before, self._down = bool(self._down), {c for c in now if self._key in (0, c)}
        if bool(self._down) != before:
            yield Edge(at_ns, bool(self._down))
