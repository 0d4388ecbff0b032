"""dicom: one archive behind a C-STORE SCP.

Takes      a rendition, as it lies on the disk
Gives      the archive's status; the association is kept open for the next
Defers     AssociationFailed: the archive is away, or was lost
Holds      NotAccepted names what the archive would take instead
Repeats    the same bytes at every try

One presentation context per SOP Class and transfer syntax, so that what was accepted is known. The
contexts of what waits are asked for ahead, so that one association serves many objects.

References: PS3.8 9.3.2.2 (contexts), PS3.4 B.3 (association negotiation for storage).
"""

import time
from collections.abc import Callable, Iterable

from gateway.config.model import Destination
from gateway.dicom.request import Called, Outcome, Pair, Requestor, associate
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from spool.model import Rendition

#: What we can make of our own, asked for beside what waits.
LADDER = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

#: 128 contexts fit, one is Verification's (PS3.8 9.3.2.2).
PAIRS_MOST = 127

#: Tells the (SOP class, transfer syntax) pairs of what is next.
Ahead = Callable[[], Iterable[Pair]]


class NotAccepted(Exception):
    """The archive does not take this rendition; `accepted` are the syntaxes it takes instead."""

    def __init__(self, accepted: set[str]) -> None:
        super().__init__("not accepted")
        self.accepted = accepted


class DicomArchive:
    """Sends to one destination; used by one thread, except for `interrupt`."""

    def __init__(self, destination: Destination, calling_ae: str) -> None:
        self._idle_s = destination.association_idle_s
        self._called = Called(
            destination.host or "",
            destination.port or 0,
            destination.ae_title or "",
            destination.calling_ae_title or calling_ae,
            destination.connect_s,
            destination.answer_s,
        )
        self._open: Requestor | None = None
        self._used_at = 0.0

    def send(self, rendition: Rendition, ahead: Ahead) -> Outcome:
        """Return the archive's answer; `ahead` is asked only where an association begins.

        Raises
        ------
        NotAccepted
            It refuses this SOP Class in this transfer syntax.
        AssociationFailed
            There is no association, or it was lost before an answer came.
        UnreadableFile
            The rendition's file is gone, or the disk fails.
        """
        pair = (rendition.sop_class_uid, rendition.transfer_syntax_uid)
        archive = self._associated(pair, ahead)
        if pair not in archive.contexts:
            raise NotAccepted(archive.accepts(rendition.sop_class_uid))
        try:
            blob = rendition.blob
            answer = archive.store(pair, rendition.sop_instance_uid, blob.path, blob.dataset_offset)
        except BaseException:
            self._break_off()
            raise
        self._used_at = time.monotonic()
        return answer

    def probe(self) -> None:
        """Return when the archive accepts an association, and answers C-ECHO if it knows that.

        Raises
        ------
        AssociationFailed
            It does not.
        """
        self.release()
        archive = associate(self._called, ())
        try:
            if archive.contexts:
                archive.echo()
        finally:
            archive.release()

    def idle_left_s(self) -> float | None:
        """Return for how long the open association may stay idle, None where there is none."""
        if not self._open:
            return None
        return max(0.0, self._used_at + self._idle_s - time.monotonic())

    def release(self) -> None:
        """End the association politely."""
        if self._open:
            archive, self._open = self._open, None
            archive.release()

    def interrupt(self) -> None:
        """End a transfer that hangs, from another thread: `send` raises AssociationFailed."""
        if archive := self._open:
            archive.wire.interrupt()

    def _break_off(self) -> None:
        if self._open:
            archive, self._open = self._open, None
            archive.abort()

    def _associated(self, pair: Pair, ahead: Ahead) -> Requestor:
        if self._open and not (pair in self._open.proposed and self._open.is_alive()):
            self.release()
        if not self._open:
            self._open = associate(self._called, _wanted(pair, ahead()))
            self._used_at = time.monotonic()
        return self._open


def _wanted(pair: Pair, ahead: Iterable[Pair]) -> list[Pair]:
    """Return the contexts to ask for, this pair's first; what does not fit asks anew later."""
    found: dict[Pair, None] = {}
    for sop_class, syntax in [pair, *ahead]:
        for one in (syntax, *LADDER):
            if len(found) < PAIRS_MOST:
                found.setdefault((sop_class, one))
    return list(found)
