"""landing: an object that was asked back goes into a file, never into the queue.

Takes      the C-STORE of a C-GET on our own association, or of a C-MOVE at our port
Gives      a file that holds the data set and nothing else; success once all of it is there
Holds      nothing
Bounds     it leaves `FREE_LEAST_BYTES` on the disk, however much an archive sends

The file is scratch: it is not synced, and whoever asked for it removes it.

References: PS3.4 C.4.2.2 and C.4.3.2 (sub-operations), PS3.7 9.3.1.
"""

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.dicom import command
from gateway.dicom.service import Message, Reply
from gateway.dicom.status import INVALID_SOP_INSTANCE, OUT_OF_RESOURCES, SUCCESS

#: What stays free: images and the rows of others are written meanwhile.
FREE_LEAST_BYTES = 64 << 20
#: How often it is looked at.
_LOOK_BYTES = 4 << 20

#: Told where the data set lies, and how many bytes it has. Raises OSError where it cannot be taken.
Landed = Callable[[Path, int], None]


class NotTaken(OSError):
    """The disk is too full for more of the object, or there is none."""


class FileSink:
    """One object on its way into a new file in `folder`; `landed` is called before the answer."""

    def __init__(self, folder: Path, landed: Landed) -> None:
        self._path, self._landed = folder / f"{uuid.uuid4().hex}.part", landed
        self._bytes, self._fault, self._look_at = 0, None, 0
        self._file = self._path.open("xb", buffering=0)

    _fault: OSError | None

    def write(self, piece: memoryview) -> None:
        if self._fault:
            return
        try:
            self._check_room()
            self._bytes += len(piece)
            while piece:  # where the disk fills up, a part of it is written
                piece = piece[self._file.write(piece) :]
        except OSError as fault:
            self._fault = fault

    def finish(self) -> Reply:
        self._file.close()
        try:
            if self._fault:
                raise self._fault
            if not self._bytes:
                raise NotTaken("there is no data set")
            self._landed(self._path, self._bytes)
        except OSError:
            self._path.unlink(missing_ok=True)
            return Reply(OUT_OF_RESOURCES, "It cannot be taken now")
        return Reply(SUCCESS)

    def drop(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _check_room(self) -> None:
        if self._bytes < self._look_at:
            return
        facts = os.fstatvfs(self._file.fileno())
        if facts.f_bavail * facts.f_frsize < FREE_LEAST_BYTES:
            raise NotTaken("the disk is too full to read the object back")
        self._look_at = self._bytes + _LOOK_BYTES


class Landing:
    """The service that takes what a C-GET brings: one object, the first time that it comes."""

    caller_scu, caller_scp = True, False

    def __init__(self) -> None:
        self._uid, self._folder = "", Path()
        self.landed: tuple[Path, int, str] | None = None  #: path, bytes, transfer syntax

    def expect(self, sop_instance_uid: str, folder: Path) -> None:
        """Take this object from now on, and no other."""
        self._uid, self._folder, self.landed = sop_instance_uid, folder, None

    def choose(self, sop_class_uid: str, offered: Sequence[str]) -> str | None:
        return offered[0] if offered else ""

    def open(self, message: Message) -> FileSink | Reply | None:
        if command.number(message.command, command.COMMAND_FIELD) != command.C_STORE_RQ:
            return None
        uid = command.text(message.command, command.AFFECTED_SOP_INSTANCE_UID)
        if uid != self._uid or self.landed:
            return Reply(INVALID_SOP_INSTANCE, "Nobody asked for this object")
        syntax = message.transfer_syntax_uid

        def landed(path: Path, size: int) -> None:
            self.landed = (path, size, syntax)

        try:
            return FileSink(self._folder, landed)
        except OSError:
            return Reply(OUT_OF_RESOURCES, "It cannot be taken now")
