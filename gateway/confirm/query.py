"""query: asked whether it has the objects, by C-FIND or QIDO-RS.

Takes      deliveries whose UID can only stand for these bytes there
Gives      confirmed, where the archive names the UID
Defers     not there: `Findings` says when it counts as missing
Repeats    asked twice is asked once

References: PS3.4 C.4.1 (C-FIND), PS3.18 10.6 (QIDO-RS).
"""

from collections.abc import Sequence

from gateway.confirm.findings import Findings
from gateway.confirm.known import Known, Way
from gateway.destinations.archive import Archive, NotAnswered, Sought
from spool.model import Sent

HOW = "query"
#: It has that UID already (PS3.7 C.5.9, PS3.18 table I.2-2, Azure's): from us, or from another.
DUPLICATE = ("status-0111", "stow-273", "stow-45070")


def is_sure(sent: Sent) -> bool:
    """Tell whether its UID can only stand for these bytes there.

    It cannot where other bytes went there under it, nor where the archive had it before we ever
    tried, and has taken none from us since.
    """
    tries = sent.answers
    had_it = bool(tries and tries[0] is not None) and all(
        one is None or one.startswith(DUPLICATE) for one in tries
    )
    return sent.first_of_uid and not had_it


class Query:
    """Asks one archive."""

    def __init__(self, archive: Archive, known: Known, findings: Findings) -> None:
        self._archive, self._known, self._findings = archive, known, findings

    def ask(self, sents: Sequence[Sent]) -> None:
        """Find out about all of them at once. Raises ArchiveAway; then nothing was done yet."""
        if self._known.shut_s(Way.QUERY):
            self._later(sents, *self._known.told(Way.QUERY))
            return
        try:
            found = self._archive.find([sought_of(one) for one in sents])
        except NotAnswered as refused:
            self._known.shut(Way.QUERY, refused.code, refused.detail)
            self._later(sents, refused.code, refused.detail)
            return
        self._known.answers(Way.QUERY)
        for one in sents:
            if one.rendition.sop_instance_uid in found:
                self._findings.there(one, HOW)
            else:
                self._findings.absent(one, "not-there")

    def _later(self, sents: Sequence[Sent], code: str, text: str) -> None:
        wait_s = self._known.shut_s(Way.QUERY)
        for one in sents:
            self._findings.later(one, code, text, wait_s)


def sought_of(sent: Sent) -> Sought:
    """Return by which UIDs the archive knows what was sent."""
    rendition = sent.rendition
    return Sought(
        rendition.sop_class_uid,
        rendition.sop_instance_uid,
        sent.study_instance_uid,
        sent.series_instance_uid,
        rendition.transfer_syntax_uid,
    )
