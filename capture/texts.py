"""texts: what barcode readers and serial triggers send, cut into messages.

Takes      bytes of a serial line, in pieces of any size
Gives      each message without its frame
Holds      nothing; a message longer than `MESSAGE_BYTES_MOST` is dropped to its end, and said

Two frames are known: lines, ended by CR, LF or both; and STX … ETX, whatever lies between. What
stands before an STX is a line's beginning, or noise.
"""

from dataclasses import dataclass, field

CR, LF, STX, ETX = b"\r"[0], b"\n"[0], 2, 3
MESSAGE_BYTES_MOST = 4096


@dataclass(slots=True)
class Texts:
    """One line's state; `dropped` counts messages that were too long."""

    dropped: int = 0
    _message: bytearray = field(default_factory=bytearray)
    _is_framed: bool = False
    _is_too_long: bool = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the messages that are whole now, in order; empty lines are none."""
        found = []
        for byte in piece:
            if byte == STX and not self._is_framed:
                self._begin(is_framed=True)
            elif byte == ETX if self._is_framed else byte in (CR, LF):
                found += self._ended()
            else:
                self._add(byte)
        return found

    def _add(self, byte: int) -> None:
        if len(self._message) >= MESSAGE_BYTES_MOST:
            self._is_too_long = True
        else:
            self._message.append(byte)

    def _ended(self) -> list[bytes]:
        message, is_whole = bytes(self._message), not self._is_too_long
        self.dropped += not is_whole
        self._begin(is_framed=False)
        return [message] if message and is_whole else []

    def _begin(self, *, is_framed: bool) -> None:
        self._message.clear()
        self._is_framed, self._is_too_long = is_framed, False
