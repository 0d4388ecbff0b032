"""readback: the object is fetched from the archive and compared with what was sent.

Takes      one delivery, whose rendition lies here
Gives      confirmed, where all but administration is the same; what of that the archive
           coerced is written down
Defers     not there; refused; not to be compared here; no room for the scratch file
Holds      altered-there, other-identity-there, damaged: an alarm
Repeats    the scratch file goes whatever happens; what a kill leaves is swept at the start

References: PS3.4 C.4.2 (C-MOVE), C.4.3 (C-GET); PS3.18 10.4 (WADO-RS).
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.codec.pool import Codec
from gateway.confirm.compare import Compared, Finding, compare
from gateway.confirm.findings import Findings
from gateway.confirm.known import AGAIN_S, Known, Way
from gateway.confirm.query import sought_of
from gateway.destinations.archive import Archive, NotAnswered, ReadBack
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.packing import place_of
from spool.blobfile import verify_rendition
from spool.errors import Damaged
from spool.model import Sent
from spool.store import Spool

HOW = "readback"
#: What stays free beside the scratch file: the rows of others are written meanwhile.
FREE_LEAST_BYTES = 16 << 20
#: So many different images in a row are refused before the archive counts as giving none back.
REFUSED_MOST = 3

ALARMS = {Finding.ALTERED: "altered-there", Finding.ANOTHERS: "other-identity-there"}


class Readback:
    """Fetches from one archive, into a folder that is its own."""

    def __init__(
        self, archive: Archive, known: Known, findings: Findings, codec: Codec, spool: Spool
    ) -> None:
        self._archive, self._known, self._findings = archive, known, findings
        self._refusals = set[int]()  # a restart asks anew
        self._codec, self._folder = codec, spool.state_dir / "spool" / "read-back" / findings.who

    def sweep(self) -> None:
        """Remove what a kill has left; nobody else writes there."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def ask(self, sent: Sent, otherwise: str = "") -> None:
        """Find out about one.

        Parameters
        ----------
        otherwise
            The code of what stays unknown when the archive gives nothing back; "": its own.

        Raises
        ------
        ArchiveAway, OSError, CodecClosed
            Then nothing was done yet.
        """
        if self._known.shut_s(Way.READBACK):
            self._later(sent, otherwise)
            return
        if not self._has_room(sent):
            self._findings.later(sent, "no-room-to-read-back")
            return
        with self._scratch() as folder:
            try:
                back = self._archive.read_back(sought_of(sent), folder)
            except NotAnswered as refused:
                self._refused(sent, refused, otherwise)
                return
            self._refusals.clear()
            self._known.answers(Way.READBACK)
            try:
                self._look_at(sent, back)
            finally:
                if back:  # it may lie elsewhere: C-MOVE brings it to our port
                    back.path.unlink(missing_ok=True)

    def _refused(self, sent: Sent, refused: NotAnswered, otherwise: str) -> None:
        """Ask for this one later; the way is shut where it is not about this one alone."""
        self._refusals.add(sent.instance_id)
        if len(self._refusals) < REFUSED_MOST and not self._known.failures(Way.READBACK):
            self._findings.later(sent, otherwise or refused.code, refused.detail)
            return
        self._known.shut(Way.READBACK, refused.code, refused.detail)
        self._later(sent, otherwise)

    def _later(self, sent: Sent, otherwise: str) -> None:
        code, text = self._known.told(Way.READBACK)
        self._findings.later(sent, otherwise or code, text, self._known.shut_s(Way.READBACK))

    def _look_at(self, sent: Sent, back: ReadBack | None) -> None:
        if back is None:
            self._findings.absent(sent, "not-there")
            return
        try:
            verify_rendition(sent.rendition)
        except (Damaged, FileNotFoundError) as fault:
            self._findings.hold(sent, "damaged", str(fault))
            return
        except OSError as fault:
            if fault.errno != errno.EIO:
                raise
            self._findings.hold(sent, "damaged", "EIO")
            return
        here, sha256 = place_of(sent.rendition), sent.rendition.blob.sha256
        self._act(sent, compare(here, _there(back), sha256, self._codec))

    def _act(self, sent: Sent, compared: Compared) -> None:
        if compared.coerced:
            self._findings.coerced(sent, compared.coerced)
        if compared.finding is Finding.SAME:
            self._findings.there(sent, HOW)
        elif compared.finding is Finding.UNSURE:
            wait_s = AGAIN_S[Way.READBACK]
            self._findings.later(sent, "not-comparable", compared.detail, wait_s)
        else:
            self._findings.hold(sent, ALARMS[compared.finding], compared.detail)

    def _has_room(self, sent: Sent) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        facts = os.statvfs(self._folder)
        free_bytes = facts.f_bavail * facts.f_frsize
        return free_bytes >= sent.rendition.blob.dataset_bytes + FREE_LEAST_BYTES

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield Path(folder)


def _there(back: ReadBack) -> DataSetAt:
    return DataSetAt(back.path, back.dataset_offset, back.dataset_bytes, back.transfer_syntax_uid)
