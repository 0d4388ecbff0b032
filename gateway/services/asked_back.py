"""asked_back: an object that we had an archive move to our own port goes into a scratch file.

Takes      the C-STORE of a C-MOVE that we asked for, while the spool expects this very object
Gives      a file, and its row in `spool.readbacks`, before the archive hears success
Defers     a database that cannot be read or written: the archive hears it, and confirm asks again
Holds      nothing: without Move Originator, or unexpected, an object is an ordinary arrival
Repeats    what a stop leaves in the folder is removed at the next start

References: PS3.4 C.4.2.2.2 (sub-operations); PS3.7 9.3.1.1, (0000,1030) and (0000,1031).
"""

import shutil
import sqlite3
from collections.abc import Collection
from pathlib import Path

from gateway import logs
from gateway.dicom import command
from gateway.dicom.landing import FileSink, Landed
from gateway.dicom.service import Message, Reply
from gateway.dicom.status import OUT_OF_RESOURCES
from spool.store import Spool

WHO = "receive"


class NotKept(OSError):
    """That it came cannot be written down."""


class AskedBack:
    """Knows what was asked back; `titles` are those under which we ask."""

    def __init__(self, spool: Spool, titles: Collection[str]) -> None:
        self._readbacks, self._titles = spool.readbacks, frozenset(titles)
        self._folder = spool.state_dir / "spool" / "read-back" / WHO

    def sweep(self) -> None:
        """Remove what a stop has left; nobody else writes there."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def __call__(self, message: Message, sop_instance_uid: str) -> FileSink | Reply | None:
        originator = command.text(message.command, command.MOVE_ORIGINATOR_AE_TITLE).strip()
        if originator not in self._titles:
            return None
        try:
            asked_by = command.number_or_zero(message.command, command.MOVE_ORIGINATOR_MESSAGE_ID)
            if not self._readbacks.is_expected(sop_instance_uid, asked_by):
                return None
            self._folder.mkdir(parents=True, exist_ok=True)
            return FileSink(self._folder, self._landed(sop_instance_uid, message))
        except (sqlite3.Error, OSError) as fault:
            logs.warning(WHO, "not-read-back", uid=sop_instance_uid, fault=fault)
            return Reply(OUT_OF_RESOURCES, "It cannot be taken now")

    def _landed(self, sop_instance_uid: str, message: Message) -> Landed:
        def landed(path: Path, size: int) -> None:
            syntax = message.transfer_syntax_uid
            try:
                is_expected = self._readbacks.came(sop_instance_uid, path, 0, size, syntax)
            except sqlite3.Error as fault:
                raise NotKept(str(fault)) from fault
            if not is_expected:
                raise NotKept("nobody waits for it any more")
            logs.info(WHO, "read-back", uid=sop_instance_uid, bytes=size)

        return landed
