"""notify: tell the service manager that we are ready, alive, or stopping.

References: man 3 sd_notify, man 3 sd_watchdog_enabled.
"""

import contextlib
import os
import socket


def tell(message: str) -> None:
    """Send `message`, such as READY=1, to the manager; without one nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    # A manager that restarts is no reason to stop working.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.sendto(message.encode(), address)


def watchdog_s() -> float | None:
    """Return how often the manager wants to hear of us, in seconds; None for never."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    meant = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not microseconds.isdecimal() or meant != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 / 2
