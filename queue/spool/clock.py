"""The two clocks of the spool: UTC for what is stored, boot time for leases."""

import time
from pathlib import Path


class Clock:
    """Real time. A test gives the spool a clock of its own."""

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def utc(self) -> float:
        """Return UTC in seconds since 1970; it may step."""
        return time.time()

    def boottime(self) -> float:
        """Return seconds since this boot, sleep included; never steps (man 2 clock_gettime)."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
