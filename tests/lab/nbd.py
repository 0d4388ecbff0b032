"""nbd: the server's side of the Network Block Device protocol, as much as QEMU asks for.

Takes      one connection, and who does what the requests ask
Gives      answers in the order of the requests, each after it is done

References: NBD protocol, doc/proto.md (fixed newstyle negotiation, simple replies).
"""

import enum
import io
import struct
from typing import Protocol


class Command(enum.IntEnum):
    """The requests that may come."""

    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3


FUA = 1
EXPORT_NAME, ABORT, INFO, GO = 1, 2, 6, 7
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
FLAGS = HAS_FLAGS | SEND_FLUSH | SEND_FUA
OPTION_REPLY, REPLY = 0x3E889045565A9, 0x67446698
ACK, REP_INFO, UNSUPPORTED = 1, 3, 0x80000001
EINVAL = 22


class Storage(Protocol):
    """What is served: `size` bytes."""

    size: int

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: bytes, *, firm: bool) -> None:
        """Take `data`; `firm`: it must be on the medium when this returns (FUA)."""

    def flush(self) -> None:
        """Return when all that was written is on the medium."""


def serve(stream: io.BufferedRWPair, storage: Storage) -> None:
    """Speak until the peer disconnects.

    Raises
    ------
    struct.error, OSError
        It is gone without a word.
    """
    stream.write(b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 3))
    stream.flush()
    stream.read(4)
    while (option := _negotiate(stream, storage.size)) not in (EXPORT_NAME, GO, ABORT):
        pass
    while option != ABORT and _answer(stream, storage):
        stream.flush()


def _negotiate(stream: io.BufferedRWPair, size: int) -> int:
    """Answer one option and return it."""
    _, option, length = struct.unpack(">QII", stream.read(16))
    stream.read(length)
    if option == EXPORT_NAME:
        stream.write(struct.pack(">QH", size, FLAGS) + bytes(124))
    elif option in (GO, INFO):
        head = struct.pack(">QIIIHQH", OPTION_REPLY, option, REP_INFO, 12, 0, size, FLAGS)
        stream.write(head + struct.pack(">QIII", OPTION_REPLY, option, ACK, 0))
    else:
        kind = ACK if option == ABORT else UNSUPPORTED
        stream.write(struct.pack(">QIII", OPTION_REPLY, option, kind, 0))
    stream.flush()
    return int(option)


def _answer(stream: io.BufferedRWPair, storage: Storage) -> bool:
    """Do one request; tell whether there may be another."""
    _, flags, command, handle, offset, length = struct.unpack(">IHHQQI", stream.read(28))
    answer, error = b"", 0
    match command:
        case Command.READ:
            answer = storage.read(offset, length)
        case Command.WRITE:
            storage.write(offset, stream.read(length), firm=bool(flags & FUA))
        case Command.DISCONNECT:
            return False
        case Command.FLUSH:
            storage.flush()
        case _:
            error = EINVAL
    stream.write(struct.pack(">IIQ", REPLY, error, handle) + answer)
    return True
