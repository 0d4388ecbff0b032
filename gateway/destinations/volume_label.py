"""volume_label: what is written on the stick that is mounted somewhere.

Takes      an open folder of a file system
Gives      its label, "" where it has none, None where this machine cannot tell
Holds      nothing, and writes nothing

Asked are, in this order: the file system itself, udev's notes on the device, and for FAT, of which
Linux learned the first way late, the device's own root directory.

References: man 2 ioctl, linux/fs.h (FS_IOC_GETFSLABEL); man 5 proc (mountinfo); Microsoft,
"FAT: General Overview of On-Disk Format" 1.03 (boot sector, volume label entry).
"""

import errno
import fcntl
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

_GET_LABEL = 0x81009431
_LABEL_BYTES = 256
_NOT_TOLD = "NO NAME"  #: what a FAT boot sector says when nobody has named it
_VOLUME_LABEL, _LONG_NAME = 0x08, 0x0F  #: attributes of an entry of a FAT directory
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def label_of(fd: int) -> str | None:
    """Return the label of the file system in which the folder `fd` lies.

    Raises
    ------
    OSError
        The device is gone: what is still mounted there only remembers it.
    """
    number = os.fstat(fd).st_dev
    _must_be_there(number)
    ways: tuple[Callable[[], str | None], ...] = (
        lambda: _from_file_system(fd),
        lambda: _from_udev(number),
        lambda: _from_fat(_device_of(number)),
    )
    return next((found for way in ways if (found := way()) is not None), None)


def _must_be_there(number: int) -> None:
    devices = Path("/sys/dev/block")
    if os.major(number) == 0 or not devices.is_dir():  # a share, or nobody tells
        return
    if not (devices / f"{os.major(number)}:{os.minor(number)}").exists():
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))


def _from_file_system(fd: int) -> str | None:
    try:
        answer = fcntl.ioctl(fd, _GET_LABEL, bytes(_LABEL_BYTES))
    except OSError:  # it does not know the question
        return None
    return answer.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _from_udev(number: int) -> str | None:
    notes = Path(f"/run/udev/data/b{os.major(number)}:{os.minor(number)}")
    try:
        lines = notes.read_bytes().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(b"E:ID_FS_LABEL_ENC="):
            packed = line.partition(b"=")[2]
            whole = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), packed)
            return whole.decode("utf-8", "replace").strip()
    return ""


def _device_of(number: int) -> Path | None:
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            kind, source = after.split()[:2]
            return Path(source) if kind in ("vfat", "msdos") else None
    return None


def _from_fat(device: Path | None) -> str | None:
    if device is None:
        return None
    try:
        with device.open("rb") as file:
            boot = file.read(512)
            start, length = _root_directory(boot)
            file.seek(start)
            return _entry(file.read(length)) or _in_boot_sector(boot)
    except (OSError, struct.error):  # not ours to read, or no FAT
        return None


def _root_directory(boot: bytes) -> tuple[int, int]:
    """Return where the root directory lies, or of FAT32 its first cluster, and how long that is."""
    sector, per_cluster, reserved, tables, entries = struct.unpack_from("<HBHBH", boot, 11)
    (table_16,) = struct.unpack_from("<H", boot, 22)
    (table_32,) = struct.unpack_from("<I", boot, 36)
    data = reserved + tables * (table_16 or table_32)
    if table_16:
        return data * sector, entries * 32
    (cluster,) = struct.unpack_from("<I", boot, 44)
    return (data + (cluster - 2) * per_cluster) * sector, per_cluster * sector


def _entry(directory: bytes) -> str:
    for at in range(0, len(directory) - 31, 32):
        kind = directory[at + 11]
        is_free = directory[at] in (0x00, 0xE5)
        if kind & _VOLUME_LABEL and kind != _LONG_NAME and not is_free:
            return directory[at : at + 11].decode("cp437").strip()
    return ""


def _in_boot_sector(boot: bytes) -> str:
    at = 71 if struct.unpack_from("<H", boot, 22)[0] == 0 else 43
    label = boot[at : at + 11].decode("cp437").strip()
    return "" if label == _NOT_TOLD else label
