"""stow: the body of one store request, streamed from the disk, its length known beforehand.

Takes      renditions, as they lie on the disk
Gives      multipart/related in pieces: a head of our own making, then the data set as it was frozen
Holds      UnreadableFile: a file is gone, shorter than its row says, or the disk fails
Repeats    the same bytes between other boundaries; it can be read again, for a new token or a hash

References: PS3.18 8.6.1.2.1 (multipart), 10.5.1 (store request); RFC 2046 5.1, RFC 2387.
"""

import secrets
from collections.abc import Iterator, Sequence

from gateway.dicom.file_meta import file_head
from gateway.dicom.request import UnreadableFile
from spool.model import Blob, Rendition

PIECE_BYTES = 1 << 16
_PART = b"Content-Type: application/dicom\r\n\r\n"


class StoreBody:
    """Iterate for the bytes, any number of times; `len` is how many they are."""

    def __init__(self, renditions: Sequence[Rendition]) -> None:
        # 128 random bits occur in no data set, so nothing has to be searched for them.
        self._boundary = f"gateway-{secrets.token_hex(16)}"
        self._parts = [(self._begin(one), one.blob) for one in renditions]
        self._end = f"\r\n--{self._boundary}--\r\n".encode()
        self._length = len(self._end) + sum(
            len(head) + blob.dataset_bytes for head, blob in self._parts
        )

    @property
    def content_type(self) -> str:
        return f'multipart/related; type="application/dicom"; boundary={self._boundary}'

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        for head, blob in self._parts:
            yield head
            yield from _data_set(blob)
        yield self._end

    def _begin(self, one: Rendition) -> bytes:
        head = file_head(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid)
        return f"\r\n--{self._boundary}\r\n".encode() + _PART + head


def _data_set(blob: Blob) -> Iterator[bytes]:
    left = blob.dataset_bytes
    try:
        with blob.path.open("rb", buffering=0) as file:
            file.seek(blob.dataset_offset)
            while left and (piece := file.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
    except OSError as fault:
        # An OSError would look like one of the connection's.
        raise UnreadableFile(f"{blob.name}: {fault.strerror}") from fault
    if left:
        raise UnreadableFile(f"{blob.name}: ends early")
