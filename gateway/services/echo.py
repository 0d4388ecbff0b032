"""echo: Verification, the DICOM ping.

References: PS3.4 annex A, PS3.7 9.1.5.
"""

from collections.abc import Sequence

from gateway.dicom import command
from gateway.dicom.request import VERIFICATION
from gateway.dicom.service import Message, Reply
from gateway.dicom.status import SUCCESS

_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


class Echo:
    """Answers C-ECHO."""

    caller_scu, caller_scp = True, False

    def choose(self, sop_class_uid: str, offered: Sequence[str]) -> str | None:
        if sop_class_uid != VERIFICATION:
            return None
        return next((one for one in offered if one in _SYNTAXES), "")

    def open(self, message: Message) -> Reply | None:
        operation = command.number(message.command, command.COMMAND_FIELD)
        return Reply(SUCCESS) if operation == command.C_ECHO_RQ else None
