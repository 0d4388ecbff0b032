"""pieces: a data set to be written, as what is new and where the rest lies in the source.

Takes      bytes, spans of the source, and at most one stream whose end is known when it ends
Gives      their sizes before, and their bytes in order
Holds      the new bytes; never a value of the source beyond one chunk
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.dicom.source import Source

CHUNK_BYTES = 65536  #: a multiple of every word, so that no word is cut
_WORDS = {2: "H", 4: "I", 8: "Q"}  #: array type codes


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes of the source."""

    at: int
    length: int
    word_bytes: int = 1  #: 2, 4 or 8: words of this size are turned from big to little endian


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes that come while they are written."""

    length: int | None  #: None: known at its end only
    chunks: Iterator[bytes]


Piece = bytes | Span | Stream


def bytes_in(pieces: Iterable[Piece]) -> int | None:
    """Return how many bytes `pieces` will have; None where one of them does not know."""
    total = 0
    for piece in pieces:
        length = len(piece) if isinstance(piece, bytes) else piece.length
        if length is None:
            return None
        total += length
    return total


def write(source: Source, pieces: Iterable[Piece], out: Callable[[bytes], object]) -> None:
    """Give `pieces` to `out`, at most `CHUNK_BYTES` of the source at once.

    Raises
    ------
    ValueError
        A stream gave more or fewer bytes than it had announced.
    """
    for piece in pieces:
        if isinstance(piece, bytes):
            out(piece)
        elif isinstance(piece, Span):
            _copy(source, piece, out)
        else:
            _pour(piece, out)


def _copy(source: Source, span: Span, out: Callable[[bytes], object]) -> None:
    for at in range(span.at, span.at + span.length, CHUNK_BYTES):
        chunk = source.read(at, min(CHUNK_BYTES, span.at + span.length - at))
        out(_swapped(chunk, span.word_bytes))


def _swapped(chunk: bytes, word_bytes: int) -> bytes:
    if word_bytes == 1:
        return chunk
    words = array(_WORDS[word_bytes], chunk)
    words.byteswap()
    return words.tobytes()


def _pour(stream: Stream, out: Callable[[bytes], object]) -> None:
    poured = 0
    for chunk in stream.chunks:
        poured += len(chunk)
        out(chunk)
    if stream.length not in (None, poured):
        raise ValueError(f"Pixel Data announced with {stream.length} bytes has {poured}")
