"""http_answer: what a server said, read piece by piece and never without a bound.

Takes      a response whose body is still on the wire
Gives      status, headers, the body in pieces or as a whole up to a length
Defers     ArchiveAway: it was lost, or stopped, before its end
Holds      nothing; a connection is used again only when the body was read to its end

References: RFC 9110 8.4 (content codings), 10.2.3 (Retry-After).
"""

import email.utils
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol

from gateway.destinations.archive import ArchiveAway

PIECE_BYTES = 1 << 16
#: No archive is left alone for longer because it said so.
RETRY_AFTER_MOST_S = 86_400.0


class Raw(Protocol):
    """The body as urllib3 gives it."""

    def read(self, amt: int | None = None, decode_content: bool | None = None) -> bytes: ...
    def close(self) -> None: ...


class TooLong(Exception):
    """The body is longer than the caller is willing to read."""


class HttpAnswer:
    """One answer; close it, or use it in ``with``."""

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        raw: Raw,
        guard: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`headers` do not mind case; `guard` makes faults of reading ArchiveAway."""
        self.status, self.headers = status, headers
        self._raw, self._guard = raw, guard

    def __enter__(self) -> "HttpAnswer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def content_type(self) -> str:
        """The media type alone, in lower case; "" where none is said."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def retry_after_s(self) -> float:
        """For how long it asked to be left alone; 0 where it did not."""
        return retry_after_s(self.headers.get("Retry-After", ""), time.time())

    def pieces(self) -> Iterator[bytes]:
        """Yield the body, decoded, in pieces of at most `PIECE_BYTES`.

        Raises
        ------
        ArchiveAway
            It was lost before its end, or is packed in a way that we did not ask for.
        """
        coding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if coding in ("identity", ""):
            yield from self._as_sent()
        elif coding in ("gzip", "x-gzip", "deflate"):
            yield from self._inflated()
        else:
            raise ArchiveAway("not-http", f"content coding {coding[:20]}")

    def read(self, bytes_most: int) -> bytes:
        """Return the whole body.

        Raises
        ------
        TooLong
            It has more than `bytes_most`.
        ArchiveAway
        """
        whole = bytearray()
        for piece in self.pieces():
            whole += piece
            if len(whole) > bytes_most:
                raise TooLong
        return bytes(whole)

    def close(self) -> None:
        """Let the connection go: what was not read to its end is not waited for."""
        self._raw.close()

    def _as_sent(self) -> Iterator[bytes]:
        while piece := self._piece():
            yield piece

    def _piece(self) -> bytes:
        with self._guard():
            return self._raw.read(PIECE_BYTES, decode_content=False)

    def _inflated(self) -> Iterator[bytes]:
        inflate, begun = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), False
        try:
            for packed in self._as_sent():
                begun = True
                yield from _unpacked(inflate, packed)
        except zlib.error as fault:
            raise ArchiveAway("not-http", f"content coding: {fault}") from fault
        if begun and not inflate.eof:
            raise ArchiveAway("closed", "the packed body has no end")


def _unpacked(inflate: "zlib._Decompress", packed: bytes) -> Iterator[bytes]:
    """Yield bounded pieces: a megabyte of zeros takes a kilobyte on the wire."""
    while not inflate.eof:
        piece = inflate.decompress(packed, PIECE_BYTES)
        packed = inflate.unconsumed_tail
        if piece:
            yield piece
        elif not packed:
            return


def retry_after_s(value: str, now: float) -> float:
    """Return the seconds that a Retry-After asks for, a number or a date; 0 where it is neither.

    `now` in seconds since 1970.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        wanted = float(text[:10])
    else:
        try:
            wanted = email.utils.parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError, TypeError):
            return 0.0
    return min(max(wanted, 0.0), RETRY_AFTER_MOST_S)
