"""source: random access to the data set inside a file, without holding it in memory.

Takes      a path, where the data set begins and how many bytes it has
Gives      any of its bytes, through one small window
Holds      one file descriptor and at most `WINDOW_BYTES`, whatever the size of the object
"""

import os
from pathlib import Path
from typing import Self

WINDOW_BYTES = 16384  #: headers lie close together: one pread serves hundreds of them


class Source:
    """The bytes of one data set; offsets count from its first byte.  Not for two threads at once.

    Parameters
    ----------
    path
        The file.
    offset
        Where the data set begins in the file, in bytes.
    size
        Bytes of the data set; None: up to the end of the file.

    Raises
    ------
    EOFError
        The file is shorter than `offset` and `size` say: it was damaged after it was stored.
    OSError
        The file cannot be opened or read.

    References
    ----------
    man 2 pread.
    """

    def __init__(self, path: str | os.PathLike[str], offset: int = 0, size: int | None = None):
        self.path = Path(path)
        self.offset = offset
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._window = b""
        self._window_at = 0
        left = os.fstat(self._descriptor).st_size - offset
        self.size = left if size is None else size
        if not 0 <= self.size <= left:
            self.close()
            raise EOFError(f"{self.path.name} has {left} bytes after {offset}, not {self.size}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back; the second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, at: int, count: int) -> bytes:
        """Return exactly `count` bytes from `at`; EOFError where the data set has fewer."""
        begin = at - self._window_at
        if begin >= 0 and begin + count <= len(self._window):
            return self._window[begin : begin + count]
        if at < 0 or count < 0 or at + count > self.size:
            raise EOFError(f"bytes {at} to {at + count} of a data set of {self.size}")
        if count > WINDOW_BYTES:
            return self._pread(at, count)
        self._window = self._pread(at, min(WINDOW_BYTES, self.size - at))
        self._window_at = at
        return self._window[:count]

    def _pread(self, at: int, count: int) -> bytes:
        """Return `count` bytes: one pread gives at most 2 GiB, and fewer after a signal."""
        parts: list[bytes] = []
        while count:
            part = os.pread(self._descriptor, count, self.offset + at)
            if not part:
                raise EOFError(f"{self.path.name} was cut while it was read")
            parts.append(part)
            at, count = at + len(part), count - len(part)
        return b"".join(parts)
