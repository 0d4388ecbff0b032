"""progress: how far a long verb is, on standard error, where a person looks on."""

import sys
import time

from gateway.language import _

EACH_S = 0.2
_ERASE = "\r\x1b[K"  # ECMA-48 8.3.41, EL


class Progress:
    """Called with (files done, files in all, bytes done); says so now and then."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._begun = self._said = time.monotonic()

    def __call__(self, done: int, total: int, read: int = 0) -> None:
        now = time.monotonic()
        if not self._watched or now - self._said < EACH_S:
            return
        self._said = now
        text = _("{done} of {total} files").format(done=done, total=total)
        if read:
            text += _(", {rate} MB/s").format(rate=round(read / 1e6 / (now - self._begun), 1))
        print(_ERASE + text, end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take the line away again."""
        if self._watched:
            print(_ERASE, end="", file=sys.stderr, flush=True)
