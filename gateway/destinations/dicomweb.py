"""dicomweb: objects to one DICOMweb archive, in batches, and what it has of them.

Takes      renditions, as they lie on the disk
Gives      the archive's word on each object; what it lists; what it gives back
Defers     ArchiveAway: not reached, or for none of them an answer came
Holds      nothing: `stow_answers` gives verdicts, the stage decides
Repeats    the same objects at every try. A batch that is refused as a whole goes again in halves,
           within the same try, so that each object is judged by what was said about it

Where the archive as a whole may be at fault (500, a proxy's page), one query tells: if that fails
too, nobody's object is refused, and all wait.

References: PS3.18 10.5 (store transaction); RFC 9110 15.5.14 (413).
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config.model import Destination, Settings
from gateway.destinations import qido, wado
from gateway.destinations.archive import Ahead, Answer, ArchiveAway, Batch, ReadBack, Sought
from gateway.destinations.http import HttpClient
from gateway.destinations.http_answer import HttpAnswer, TooLong
from gateway.destinations.stow import StoreBody
from gateway.destinations.stow_answers import Handed, Judged, Said, judge
from gateway.dicom.status import Verdict
from spool.facts import Facts
from spool.model import Rendition

_JSON, _XML = "application/dicom+json", "application/dicom+xml"
#: Some lines for each object; a longer answer is none.
ANSWER_BYTES, ANSWER_BYTES_AN_OBJECT = 1 << 20, 1 << 12

#: The requests of one hand-over: objects with their places in it.
Group = list[tuple[int, Rendition]]


class DicomwebArchive:
    """Speaks to one destination; used by one thread, except for `interrupt`."""

    def __init__(
        self, settings: Settings, destination: Destination, facts: Facts | None = None
    ) -> None:
        self._client = HttpClient(destination, settings, facts)
        self._idle_s = destination.association_idle_s
        self._count_most = self._count_now = destination.batch_count
        self._bytes_most = destination.batch_bytes
        self._accept = _JSON
        self._used_at: float | None = None

    def batch(self) -> Batch:
        """Return how much may go at once: less after a 413, a lost connection, a busy archive."""
        return Batch(self._count_now, self._bytes_most)

    def send(self, renditions: Sequence[Rendition], ahead: Ahead) -> Sequence[Answer]:
        """Return one answer a rendition, in their order.

        Raises
        ------
        ArchiveAway
            For none of them an answer came.
        UnreadableFile
            A rendition's file is gone, or the disk fails.
        """
        answers: dict[int, Answer] = {}
        try:
            for group in _distinct(renditions):
                self._send(group, answers)
        except ArchiveAway as away:
            if not away.whole:  # a shorter request is more likely to end before the line does
                self._count_now = max(1, self._count_now // 2)
            if not answers:
                raise
            lost = Answer(Verdict.BUSY, away.code, away.detail, away.retry_after_s)
            return [answers.get(nth, lost) for nth in range(len(renditions))]
        self._learn(answers.values())
        return [answers[nth] for nth in range(len(renditions))]

    def find(self, sought: Sequence[Sought]) -> frozenset[str]:
        """Return the SOP Instance UIDs, of those sought, that the archive lists.

        Raises
        ------
        ArchiveAway, NotAnswered
        """
        self._used_at = time.monotonic()
        return qido.find(self._client, sought)

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        """Return the object as the archive gives it back, in a new file in `folder`.

        Raises
        ------
        ArchiveAway, NotAnswered, OSError
        """
        self._used_at = time.monotonic()
        return wado.read_back(self._client, sought, folder)

    def probe(self) -> None:
        """Return when a DICOMweb service answers at the address.

        Raises
        ------
        ArchiveAway, NotAnswered
        """
        self._used_at = time.monotonic()
        qido.probe(self._client)

    def idle_left_s(self) -> float | None:
        """Return for how long the open connection may stay idle, None where there is none."""
        if self._used_at is None:
            return None
        return max(0.0, self._used_at + self._idle_s - time.monotonic())

    def release(self) -> None:
        """Close the connection."""
        self._used_at = None
        self._client.release()

    def interrupt(self) -> None:
        """End a transfer that hangs, from another thread: it raises ArchiveAway."""
        self._client.interrupt()

    def _learn(self, answers: Iterable[Answer]) -> None:
        """Ask an archive that takes nothing now with one object at a time, not with ten."""
        verdicts = {one.verdict for one in answers}
        if verdicts == {Verdict.BUSY}:
            self._count_now = 1
        elif Verdict.SENT in verdicts:
            self._count_now = min(self._count_now * 2, self._count_most)

    def _send(self, group: Group, answers: dict[int, Answer]) -> None:
        judged = self._judged([one for _, one in group])
        again: Group = []
        for (nth, rendition), one in zip(group, judged, strict=True):
            is_open = one.of_request and one.answer.verdict is not Verdict.BUSY
            if is_open and len(group) > 1:
                again.append((nth, rendition))
            else:
                answers[nth] = one.answer
        for part in _smaller(again, len(group)):
            self._send(part, answers)

    def _judged(self, renditions: Sequence[Rendition]) -> list[Judged]:
        said = self._store(renditions)
        if said.status == 413 and len(renditions) > 1:
            self._bytes_most = min(self._bytes_most, _bytes(renditions) // 2)
        handed = [Handed(one.sop_instance_uid, one.transfer_syntax_uid) for one in renditions]
        judged = judge(handed, said)
        if any(one.asks for one in judged) and not qido.is_well(self._client):
            judged = [_waits(one) if one.asks else one for one in judged]
        return judged

    def _store(self, renditions: Sequence[Rendition]) -> Said:
        said = self._post(renditions)
        if said.status == 406 and self._accept == _JSON:
            self._accept = _XML
            said = self._post(renditions)
        return said

    def _post(self, renditions: Sequence[Rendition]) -> Said:
        body = StoreBody(renditions)
        headers = {"Content-Type": body.content_type, "Accept": self._accept}
        self._used_at = time.monotonic()
        with self._client.request("POST", "studies", headers=headers, body=body) as answer:
            qido.refuse_interim(answer)
            most = ANSWER_BYTES + ANSWER_BYTES_AN_OBJECT * len(renditions)
            said = Said(answer.status, _body(answer, most), answer.retry_after_s)
        self._used_at = time.monotonic()
        return said


def _body(answer: HttpAnswer, bytes_most: int) -> bytes | None:
    """Return the body; None where it is no archive's, and the status says enough."""
    try:
        return answer.read(bytes_most)
    except TooLong:
        return None
    except ArchiveAway:
        if 200 <= answer.status <= 299:
            raise
        return None


def _distinct(renditions: Sequence[Rendition]) -> Iterator[Group]:
    """Yield groups without a UID twice: an answer could not tell one from the other."""
    rest = list(enumerate(renditions))
    while rest:
        first: dict[str, tuple[int, Rendition]] = {}
        for nth, one in rest:
            first.setdefault(one.sop_instance_uid, (nth, one))
        group = list(first.values())
        yield group
        taken = {nth for nth, _ in group}
        rest = [(nth, one) for nth, one in rest if nth not in taken]


def _smaller(again: Group, count: int) -> Iterator[Group]:
    """Yield what is left of a request of `count` objects in smaller ones, down to single ones."""
    if again and len(again) < count:
        yield again
    elif again:
        middle = len(again) // 2
        yield again[:middle]
        yield again[middle:]


def _bytes(renditions: Sequence[Rendition]) -> int:
    return sum(one.blob.dataset_bytes for one in renditions)


def _waits(one: Judged) -> Judged:
    """Turn a refusal into waiting: whoever gave it is not well."""
    return replace(one, answer=replace(one.answer, verdict=Verdict.BUSY), of_request=False)
