"""source: the interface behind which every kind of picture source lies.

Takes      nothing
Gives      `FrameSource`: frames, and `Seen` whenever what is known of the signal changes
Raises     `NoDevice`, `DeviceBusy`: it cannot be opened now; tried again by who watches over it
Holds      nothing
"""

from dataclasses import dataclass
from typing import Protocol

from capture.frame import Form, Frame
from capture.signal import Signal


class NoDevice(Exception):
    """No device has this identity now; `args[0]` is what was looked for."""


class DeviceBusy(Exception):
    """Another program streams from it; `args[0]` is its path."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the signal from now on."""

    signal: Signal
    at_ns: int  #: CLOCK_MONOTONIC
    form: Form | None = None  #: of the frames that follow; None: there are none
    detail: str = ""  #: technical: "1280x720p60", "stream restarted"


class FrameSource(Protocol):
    """One source; `next` is called by one thread, `interrupt` by any."""

    def next(self, timeout_s: float) -> Frame | Seen | None:
        """Return the next frame or what changed; None: neither came within `timeout_s`.

        The first thing it gives is a `Seen`.
        """
        ...

    def interrupt(self) -> None:
        """End a `next` that waits."""
        ...

    def close(self) -> None:
        """Give the device back; harmless twice."""
        ...
