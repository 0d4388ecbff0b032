"""modem_lines: an RS-232 pedal, a dry contact between an output held high and an input.

Takes      a serial port, or the URL of a serial server (rfc2217://HOST:PORT), and the input's name
Gives      edges of CTS, DSR, DCD or RI
Raises     `Detached`: the adapter was unplugged, or the server went away
Holds      RTS and DTR high from the opening on: they feed the contact

TIOCMIWAIT tells an edge at once but knows no time-out, so it has a thread of its own that ends with
the device; drivers without it, and serial servers, are asked every `POLL_S`, all others every
`ASK_S` as well.

References: man 2const TIOCMIWAIT, man 2const TIOCMSET, RFC 2217.
"""

import contextlib
import errno
import fcntl
import os
import select
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from capture.contact import Detached, Edge

TIOCMIWAIT = 0x545C
#: asm-generic/termios.h: the bit of each input.
LINES = {"cts": 0x020, "dcd": 0x040, "ri": 0x080, "dsr": 0x100}
#: How often a port is asked that cannot tell by itself.
POLL_S = 0.005
#: How often one is asked that can: an edge between two TIOCMIWAIT is told by nobody.
ASK_S = 0.02


class Port(Protocol):
    """What is used of pyserial's port."""

    cts: bool
    dsr: bool
    cd: bool
    ri: bool

    def close(self) -> None: ...


class ModemLine:
    """One input of a serial port.

    Raises
    ------
    OSError
        The port cannot be opened.
    """

    def __init__(self, url: str, line: str, *, is_inverted: bool = False) -> None:
        import serial  # pyserial: 2 MB that only a configured serial pedal needs

        self._faults = (OSError, serial.SerialException)
        self.url, self._line, self._is_inverted = url, line, is_inverted
        # What it receives is not wanted, but a read is what says that a server went away.
        self._port = serial.serial_for_url(url, do_not_open=True, timeout=0)
        self._port.rts = self._port.dtr = True
        try:
            self._port.open()
        except serial.SerialException as fault:
            raise OSError(errno.ENODEV, str(fault), url) from fault
        self._waker, self._wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_down, self._is_closed = self._read(), False
        self._tells = self._can_tell()

    @property
    def is_down(self) -> bool:
        """Whether the contact is closed, as it was read last."""
        return self._is_down

    def wait(self, timeout_s: float) -> Iterator[Edge]:
        end = time.monotonic() + timeout_s
        while (left_s := end - time.monotonic()) > 0:
            wait_s = min(left_s, ASK_S if self._tells else POLL_S)
            woken = select.select([self._waker], [], [], wait_s)[0]
            is_interrupted = woken and b"!" in os.read(self._waker, 4096)
            now = self._read()
            if now != self._is_down:
                self._is_down = now
                yield Edge(time.monotonic_ns(), now)
                return
            if is_interrupted:
                return

    def interrupt(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wakes, b"!")

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._port.close()  # the thread that waits ends with it
        os.close(self._waker)
        os.close(self._wakes)

    def _read(self) -> bool:
        try:
            self._port.read(64)
            closed = getattr(self._port, "cd" if self._line == "dcd" else self._line)
        except self._faults as fault:
            raise Detached(self.url) from fault
        return bool(closed) != self._is_inverted

    def _can_tell(self) -> bool:
        """Begin the thread that hears edges, where the driver has TIOCMIWAIT."""
        try:
            fd = os.dup(self._port.fileno())
        except (AttributeError, OSError):  # a serial server has no descriptor
            return False
        if not _knows_lines(fd):
            os.close(fd)
            return False
        threading.Thread(target=self._hear, args=(fd,), daemon=True).start()
        return True

    def _hear(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # EIO, ENODEV: the device went; `wait` says so
            while not self._is_closed:
                fcntl.ioctl(fd, TIOCMIWAIT, LINES[self._line])
                os.write(self._wakes, b".")
        os.close(fd)
        with contextlib.suppress(OSError):
            os.write(self._wakes, b"!")


def _knows_lines(fd: int) -> bool:
    """Tell whether the driver has modem lines at all: a pty has none (ENOTTY)."""
    import termios

    try:
        fcntl.ioctl(fd, termios.TIOCMGET, bytes(4))
    except OSError:
        return False
    return True
