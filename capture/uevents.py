"""uevents: what the kernel says when a device comes or goes.

Takes      nothing
Gives      one `Uevent` each, as they come
Holds      nothing; one that was missed (the buffer ran over) is said as `Missed`: look anew

References: man 7 netlink (NETLINK_KOBJECT_UEVENT), linux lib/kobject_uevent.c.
"""

import errno
import os
import select
import socket
from dataclasses import dataclass

NETLINK_KOBJECT_UEVENT = 15
FROM_KERNEL = 1


@dataclass(frozen=True, slots=True)
class Uevent:
    """One message; `action` is add, remove, change, bind, unbind and the like."""

    action: str
    subsystem: str  #: video4linux, input, tty, gpio
    name: str  #: in /dev; "" where it has none there


#: The kernel said more than could be heard: whoever keeps a list makes it anew.
MISSED = Uevent("missed", "", "")


class Uevents:
    """Hears the kernel from its construction on."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT
        )
        self._socket.bind((0, FROM_KERNEL))
        self._waker, self._wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def next(self, timeout_s: float) -> Uevent | None:
        """Return the next message, None when the time is over or after `interrupt`."""
        ready = select.select([self._socket.fileno(), self._waker], [], [], timeout_s)[0]
        if self._waker in ready:
            os.read(self._waker, 64)
        if self._socket.fileno() not in ready:
            return None
        try:
            message, sender = self._socket.recvfrom(8192)
        except OSError as fault:
            if fault.errno != errno.ENOBUFS:
                raise
            return MISSED
        # Anybody may send to a netlink socket; only the kernel has the number 0.
        return parsed(message) if sender[0] == 0 else None

    def interrupt(self) -> None:
        os.write(self._wakes, b"!")

    def close(self) -> None:
        self._socket.close()
        os.close(self._waker)
        os.close(self._wakes)


def parsed(message: bytes) -> Uevent | None:
    """Return what a message says; None: it is none of the kernel's form."""
    head, _, body = message.partition(b"\0")
    if b"@" not in head:
        return None
    pairs = [one.partition(b"=") for one in body.split(b"\0")]
    said = {key.decode(): value.decode(errors="replace") for key, _, value in pairs if key}
    action = head.partition(b"@")[0].decode(errors="replace")
    return Uevent(said.get("ACTION", action), said.get("SUBSYSTEM", ""), said.get("DEVNAME", ""))
