"""devices: which grabbers are there, and which of them a configuration means.

Takes      /dev and /sys as they are now
Gives      each capture device with a name that stays: its bus path, or its serial number
Raises     NoDevice: none of that name, with those that are there
Holds      nothing

/dev/video0 moves when a device is plugged in anew; bus_info ("usb-0000:00:14.0-2") is the socket it
hangs on, and "serial:…" the device itself, wherever it hangs.

References: VIDIOC_QUERYCAP; linux documentation, ABI/stable/sysfs-devices, usb.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from capture import videodev2 as v4l2
from capture.device import Device
from capture.source import NoDevice

SERIAL = "serial:"
DEV, SYS_VIDEO = Path("/dev"), Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Found:
    """One capture device."""

    path: str  #: in /dev, as it is called now
    driver: str
    card: str  #: what the maker calls it
    bus_info: str
    serial: str = ""  #: of the USB device; "" where it has none
    inputs: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()  #: four characters each


def found() -> list[Found]:
    """Return every device that captures video, in the order of their numbers.

    One that is busy is listed all the same: opening it disturbs nobody.
    """
    paths = sorted(DEV.glob("video*"), key=lambda one: (len(one.name), one.name))
    return [one for one in map(_looked_at, paths) if one]


def named(device: str) -> Found:
    """Return the device that `device` means: bus_info, "serial:…", or a path in /dev.

    Raises
    ------
    NoDevice
    """
    known = found()
    for one in known:
        names = {one.bus_info, one.path, SERIAL + one.serial if one.serial else ""}
        if device in names:
            return one
    there = ", ".join(f"{one.bus_info} ({one.card})" for one in known)
    raise NoDevice(f"{device}; there are: {there or 'none'}")


def _looked_at(path: Path) -> Found | None:
    with contextlib.suppress(OSError):  # it went while we looked, or is another's
        device = Device(str(path))
        try:
            about = device.capability()
            is_capture = about.device_caps & v4l2.CAP_VIDEO_CAPTURE
            if not (is_capture and about.device_caps & v4l2.CAP_STREAMING):
                return None
            return Found(
                str(path),
                _text(about.driver),
                _text(about.card),
                _text(about.bus_info),
                _serial(path.name),
                tuple(_text(one.name) for one in device.inputs()),
                tuple(v4l2.code_of(one.pixelformat) for one in device.formats()),
            )
        finally:
            device.close()
    return None


def _serial(name: str) -> str:
    """Return the serial number of the USB device above a node, "" where it has none."""
    folder = (SYS_VIDEO / name / "device").resolve()
    for parent in (folder, *folder.parents[:3]):
        with contextlib.suppress(OSError):
            return (parent / "serial").read_text().strip()
    return ""


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
