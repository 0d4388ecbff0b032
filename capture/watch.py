"""watch: one camera, kept going: opened, read, and opened anew when its driver hangs.

Takes      how to open its source, and who listens
Gives      each frame and each `Seen` to the listener, in the camera's thread
Holds      nothing
Repeats    a source that is gone is looked for at each hint of the kernel, and every `LOOK_S`

A thread that hangs in a driver cannot be ended. So each life of a camera has a thread of its own:
`Watch` waits for a sign of life and, where none comes for `hang_s`, leaves that thread behind and
begins another. A life that was left behind is not listened to any more, should it ever wake up.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from capture.frame import Frame
from capture.signal import Signal
from capture.source import DeviceBusy, FrameSource, NoDevice, Seen

LOOK_S = 2.0
#: The longest wait for a frame; each is a sign of life.
WAIT_S = 0.5

Listener = Callable[[Frame | Seen], None]


@dataclass(slots=True)
class _Life:
    """One opening of the source, in one thread."""

    seen_at: float = field(default_factory=time.monotonic)
    is_over: bool = False  #: left behind: nobody listens to it any more
    has_ended: threading.Event = field(default_factory=threading.Event)
    source: FrameSource | None = None


class Watch:
    """One camera. `run` until `stop`.

    Parameters
    ----------
    opener
        Returns the open source; raises NoDevice, DeviceBusy or OSError while that cannot be.
    hang_s
        A source that gives no sign of life for so long is left behind.
    """

    def __init__(
        self, name: str, opener: Callable[[], FrameSource], listen: Listener, hang_s: float = 5.0
    ) -> None:
        self.name, self._opener, self._listen, self._hang_s = name, opener, listen, hang_s
        self._stopping, self._hint = threading.Event(), threading.Event()
        self._life: _Life | None = None
        self._last: Signal | None = None
        self.left_behind = 0  #: lives that hung, since the start

    def run(self) -> None:
        while not self._stopping.is_set():
            life = self._life = _Life()
            threading.Thread(target=self._live, args=(life,), daemon=True).start()
            self._attend(life)
            self._hint.wait(0 if self._stopping.is_set() else LOOK_S)
            self._hint.clear()

    def look_again(self) -> None:
        """Something was plugged in: it may be this one."""
        self._hint.set()

    def stop(self) -> None:
        self._stopping.set()
        self._hint.set()
        if (life := self._life) and life.source:
            life.source.interrupt()

    def _attend(self, life: _Life) -> None:
        """Return when the life is over, by itself or because it hangs."""
        while not life.has_ended.wait(WAIT_S):
            if time.monotonic() - life.seen_at > self._hang_s:
                life.is_over = True
                self.left_behind += 1
                self._say(Seen(Signal.DEVICE_GONE, time.monotonic_ns(), None, "hangs"))
                return

    def _live(self, life: _Life) -> None:
        try:
            life.source = self._opener()
            self._read(life, life.source)
        except (NoDevice, DeviceBusy, OSError) as fault:
            if not life.is_over:
                detail = f"{type(fault).__name__}: {fault}"
                self._say(Seen(Signal.DEVICE_GONE, time.monotonic_ns(), None, detail))
        finally:
            if life.source:
                life.source.close()
            life.has_ended.set()

    def _read(self, life: _Life, source: FrameSource) -> None:
        while not self._stopping.is_set() and not life.is_over:
            got = source.next(WAIT_S)
            life.seen_at = time.monotonic()
            if life.is_over:
                return
            if isinstance(got, Frame):
                self._listen(got)
            elif got:
                self._say(got)
                if got.signal is Signal.DEVICE_GONE:
                    return

    def _say(self, seen: Seen) -> None:
        """Tell it, but not again and again that the device is gone."""
        is_news = seen.signal is not Signal.DEVICE_GONE or self._last is not Signal.DEVICE_GONE
        self._last = seen.signal
        if is_news:
            self._listen(seen)
