"""What the guest of test_signals does: pulls vivid's levers, and says what `capture` made of it."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from capture import videodev2 as v4l2
from capture.convert import to_grey, to_rgb
from capture.device import Device
from capture.devices import found, named
from capture.forms import form_of
from capture.frame import Frame
from capture.signal import Signal
from capture.source import DeviceBusy, NoDevice, Seen
from capture.uevents import Uevents
from capture.v4l2 import V4l2Source, Wanted
from capture.watch import Watch

FIRST, SECOND = "platform:vivid-000", "platform:vivid-001"
WEBCAM, TV, HDMI = "0", "1", "3"  #: vivid's inputs
DRIVER = Path("/sys/bus/platform/drivers/vivid")
WITHIN_S = 8.0
PRESSES = 12
COLORBAR, BLACK, WHITE = 1, 5, 6  #: of vivid's "Test Pattern"
NO_TEXT = 2
WHITENESS = b"white"


def say(stage: str, **facts: Any) -> None:
    print(json.dumps({"stage": stage, **facts}), flush=True)


class Levers:
    """vivid's own controls, by name."""

    def __init__(self, bus_info: str) -> None:
        self.device = Device(named(bus_info).path)
        self._ids = self.device.controls()

    def pull(self, name: str, value: int = 1) -> None:
        self.device.set_control(self._ids[name], value)


class Camera:
    """A watched grabber, and what came out of it since `clear`."""

    def __init__(self, bus_info: str, source: str) -> None:
        self._bus_info, self._source = bus_info, source
        self._heard = threading.Condition()
        self.got: list[Frame | Seen] = []
        self.paths: list[str] = []
        self.looks = False  #: at the middle of the last line, whether it is white
        self.watch = Watch(bus_info, self._open, self._listen)
        self._thread = threading.Thread(target=self.watch.run, daemon=True)
        self._thread.start()

    def clear(self) -> None:
        with self._heard:
            self.got = []

    def until(self, is_there: Callable[[], bool], within_s: float = WITHIN_S) -> bool:
        with self._heard:
            return self._heard.wait_for(is_there, within_s)

    def frames(self) -> list[Frame]:
        return [one for one in self.got if isinstance(one, Frame)]

    def seen(self) -> list[Seen]:
        return [one for one in self.got if isinstance(one, Seen)]

    def frames_after(self, signal: Signal) -> int:
        """Return how many frames came since the signal was last said to be this one."""
        places = [
            at for at, one in enumerate(self.got) if isinstance(one, Seen) and one.signal is signal
        ]
        return sum(isinstance(one, Frame) for one in self.got[places[-1] :]) if places else 0

    def stop(self) -> None:
        self.watch.stop()
        self._thread.join(WITHIN_S)

    def _open(self) -> V4l2Source:
        path = named(self._bus_info).path
        source = V4l2Source(Wanted(path, self._source))
        self.paths.append(path)
        return source

    def _listen(self, got: Frame | Seen) -> None:
        if isinstance(got, Frame):  # not its data: a guest has little memory
            got = replace(got, data=WHITENESS if self.looks and is_white(got) else b"")
        with self._heard:
            self.got.append(got)
            self._heard.notify_all()


def report(stage: str, camera: Camera, **facts: Any) -> None:
    frames = camera.frames()
    say(
        stage,
        frames=len(frames),
        lost=sum(one.lost_before for one in frames),
        damaged=sum(one.is_damaged for one in frames),
        signals=[one.signal for one in camera.seen()],
        details=[one.detail for one in camera.seen() if one.detail],
        sizes=[(one.form.columns, one.form.rows) for one in camera.seen() if one.form],
        **facts,
    )


def expect(stage: str, camera: Camera, act: Callable[[], object], signal: Signal) -> None:
    """Act, wait until the signal is said and frames came after it, and report."""
    camera.clear()
    act()
    camera.until(lambda: camera.frames_after(signal) >= 3)
    report(stage, camera)


def hdmi(camera: Camera, levers: Levers) -> None:
    mode = "DV Timings Signal Mode"
    states = (("no signal", 1, Signal.LOST), ("no lock", 2, Signal.UNSTABLE))
    for name, value, signal in (*states, ("out of range", 3, Signal.OUT_OF_RANGE)):
        expect(name, camera, lambda value=value: levers.pull(mode, value), signal)  # type: ignore[misc]
        expect(f"after {name}", camera, lambda: levers.pull(mode, 0), Signal.PRESENT)
    levers.pull("DV Timings", 2)
    camera.clear()
    levers.pull(mode, 4)
    camera.until(lambda: camera.frames_after(Signal.PRESENT) >= 3)
    report("timings", camera)


def tv(camera: Camera, levers: Levers) -> None:
    mode = "Standard Signal Mode"
    for name, value, signal in (("no signal", 1, Signal.LOST), ("no lock", 2, Signal.UNSTABLE)):
        expect(f"tv {name}", camera, lambda value=value: levers.pull(mode, value), signal)  # type: ignore[misc]
        expect(f"after tv {name}", camera, lambda: levers.pull(mode, 0), Signal.PRESENT)
    for name, rows, index in (("ntsc", 480, 0), ("pal", 576, 4)):
        levers.pull("Standard", index)
        camera.clear()
        levers.pull(mode, 4)
        camera.until(
            lambda rows=rows: bool((got := camera.frames()) and got[-1].form.rows == rows)  # type: ignore[misc]
        )
        report(name, camera)


def stream(camera: Camera, levers: Levers) -> None:
    drops = "Percentage of Dropped Buffers"
    camera.clear()
    levers.pull(drops, 50)
    camera.until(lambda: len(camera.frames()) >= 20)
    levers.pull(drops, 0)
    report("dropped", camera)
    camera.clear()
    levers.pull("Inject V4L2_BUF_FLAG_ERROR")
    camera.until(lambda: bool((got := camera.frames()) and any(one.is_damaged for one in got[:-2])))
    report("damaged", camera)
    camera.clear()
    levers.pull("Inject Fatal Streaming Error")
    camera.until(lambda: camera.frames_after(Signal.PRESENT) >= 3)
    report("streaming error", camera)


def moments(camera: Camera, levers: Levers) -> None:
    """A picture that turns white at a press: the frame that shows it, and its moment."""
    levers.pull("OSD Text Mode", NO_TEXT)
    camera.looks = True
    levers.pull("Test Pattern", BLACK)
    time.sleep(0.5)
    apart_ms, interval_ms = [], 0.0
    for number in range(PRESSES):
        value = (WHITE, BLACK)[number % 2]
        camera.clear()
        camera.until(lambda: len(camera.frames()) >= 2)
        time.sleep(number * 0.007)  # at another moment of the frame each time
        camera.clear()
        pressed_ns = time.monotonic_ns()
        levers.pull("Test Pattern", value)
        camera.until(lambda v=value: any(bool(f.data) == (v == WHITE) for f in camera.frames()))  # type: ignore[misc]
        shown = [one for one in camera.frames() if bool(one.data) == (value == WHITE)]
        interval_ms = camera.frames()[0].form.frame_interval_ns / 1e6
        apart_ms.append((shown[0].captured_at_ns - pressed_ns) / 1e6 if shown else 1e9)
    camera.looks = False
    say("moments", apart_ms=apart_ms, interval_ms=interval_ms)


def is_white(frame: Frame) -> bool:
    return bool(to_grey(frame)[-1, frame.form.columns // 2] > 128)


def edid(levers: Levers) -> None:
    """The base block that vivid has, its product code changed, and its checksum with it."""
    before = levers.device.edid(int(HDMI))
    other = bytearray(before)
    other[10] = (other[10] + 1) % 256
    other[127] = (other[127] - 1) % 256
    levers.device.set_edid(int(HDMI), bytes(other))
    after = levers.device.edid(int(HDMI))
    levers.device.set_edid(int(HDMI), before)
    say("edid", blocks=len(before) // 128, written=after == bytes(other), changed=after != before)


def bars() -> None:
    """Eight bars in each format: the samples as they came, and as RGB."""
    levers = Levers(SECOND)
    device = levers.device
    device.select_input(int(WEBCAM))
    levers.pull("OSD Text Mode", NO_TEXT)
    levers.pull("Test Pattern", COLORBAR)
    for code in ("RGB3", "BGR3", "YUYV", "UYVY", "NV12", "GREY"):
        pix = device.set_format(v4l2.fourcc(code), 640, 360)
        form = form_of(pix, pixel_aspect=(1, 1), frame_interval_ns=0)
        device.start()
        try:
            device.wait(WITHIN_S)
            taken = device.take()
        finally:
            device.stop()
        assert taken
        frame = Frame(form, taken.data, 0, 0)
        row, at = form.rows // 2, [form.columns * (2 * n + 1) // 16 // 2 * 2 for n in range(8)]
        rgb = [[int(one) for one in to_rgb(frame)[row, column]] for column in at]
        raw = [components(frame, code, row, column) for column in at]
        facts = {"matrix": form.matrix, "full_range": form.full_range}
        say(f"bars {code}", rgb=rgb, raw=raw, **facts)
    device.close()


def components(frame: Frame, code: str, row: int, column: int) -> list[int]:
    """Return Y, Cb, Cr where it has them, straight out of its bytes."""
    data, form = frame.data, frame.form
    if code in ("YUYV", "UYVY"):
        at = row * form.bytes_per_line + column * 2
        order = (0, 1, 3) if code == "YUYV" else (1, 0, 2)
        return [data[at + one] for one in order]
    if code == "NV12":
        at = form.bytes_per_line * (form.rows + row // 2) + column
        return [data[row * form.bytes_per_line + column], data[at], data[at + 1]]
    return []


def busy(path: str) -> str:
    try:
        V4l2Source(Wanted(path, HDMI)).close()
    except DeviceBusy:
        return "busy"
    return "opened"


def two(first: Camera, second: Camera) -> None:
    first.clear()
    second.clear()
    first.until(lambda: len(first.frames()) >= 5)
    second.until(lambda: len(second.frames()) >= 5)
    say("two", first=len(first.frames()), second=len(second.frames()))


@contextlib.contextmanager
def hints(*cameras: Camera) -> Iterator[None]:
    """Let each plug be told to the cameras."""
    events, over = Uevents(), threading.Event()

    def hear() -> None:
        while not over.is_set():
            got = events.next(0.5)
            if got and got.subsystem == "video4linux":
                for one in cameras:
                    one.watch.look_again()

    threading.Thread(target=hear, daemon=True).start()
    yield
    over.set()


def replug(first: Camera, second: Camera, levers: Levers) -> None:
    """Pull the first one out; put both in again while its old number is still held."""
    before = named(FIRST).path
    first.clear()
    second.clear()
    levers.pull("Disconnect")
    first.until(lambda: any(one.signal is Signal.DEVICE_GONE for one in first.seen()))
    second.clear()
    second.until(lambda: len(second.frames()) >= 3)
    report("unplugged", first, other=len(second.frames()), other_signals=[*map(str, second.seen())])
    try:
        named(FIRST)
        missing = False
    except NoDevice:
        missing = True
    first.clear()
    (DRIVER / "unbind").write_text("vivid.0")
    (DRIVER / "bind").write_text("vivid.0")
    first.until(lambda: first.frames_after(Signal.PRESENT) >= 3, 15)
    after = named(FIRST).path
    report("replugged", first, missing=missing, before=before, after=after, paths=first.paths)
    second.until(lambda: second.frames_after(Signal.PRESENT) >= 3, 15)
    report("other replugged", second)


def main() -> None:
    say("devices", found=[(one.path, one.driver, one.bus_info, len(one.inputs)) for one in found()])
    bars()
    levers, others = Levers(FIRST), Levers(SECOND)
    for one in (levers, others):
        one.pull("Timestamp Source", 1)
    edid(levers)
    levers.device.select_input(int(HDMI))  # the mode is kept for each input
    levers.pull("DV Timings", 0)  # 640x480: 720p60 is much for a guest
    levers.pull("DV Timings Signal Mode", 4)
    levers.device.set_timings(levers.device.detected_timings())
    levers.pull("DV Timings Signal Mode", 0)
    first, second = Camera(FIRST, HDMI), Camera(SECOND, TV)
    first.until(lambda: len(first.frames()) >= 3)
    second.until(lambda: len(second.frames()) >= 3)
    report("begin", first)
    report("tv begin", second)
    say("second opener", got=busy(first.paths[-1]))
    two(first, second)
    tv(second, others)
    moments(second, others)
    stream(first, levers)
    hdmi(first, levers)
    with hints(first, second):
        replug(first, second, levers)
    say("hung", left_behind=first.watch.left_behind + second.watch.left_behind)


if __name__ == "__main__":
    main()
