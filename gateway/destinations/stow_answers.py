"""stow_answers: from what an archive said about a store request to a verdict on each object.

Takes      what was sent, the HTTP status, the body in whatever shape it came
Gives      one `Judged` an object: never sent, where the archive did not name it as stored
Holds      nothing

The body is read on any status: Orthanc answers 400 for one bad object among good ones and names the
good ones as stored. What the body does not name goes by the status. Of comments only the tags they
name are kept: they quote values, and those may be a patient's.

References: PS3.18 10.5.3, annex I (Store Instances Response Module).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.destinations.answer_body import (
    DataSet,
    data_sets,
    items,
    number,
    texts,
    uid,
)
from gateway.destinations.archive import Answer
from gateway.destinations.comments import shown
from gateway.dicom.status import Verdict
from gateway.dicom.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from gateway.dicom.web_status import (
    UNKNOWN_WARNING,
    Row,
    failure_row,
    http_row,
    warning_row,
)

_REFERENCED_SOP_INSTANCE_UID = "00081155"
_WARNING_REASON, _FAILURE_REASON = "00081196", "00081197"
_FAILED_SOP_SEQUENCE, _REFERENCED_SOP_SEQUENCE = "00081198", "00081199"
_OTHER_FAILURES_SEQUENCE = "0008119A"
_REASON_MOST = 0xFFFF
_REASONS = {_WARNING_REASON, _FAILURE_REASON}
_STATEMENTS = {_FAILED_SOP_SEQUENCE, _REFERENCED_SOP_SEQUENCE, _OTHER_FAILURES_SEQUENCE}


@dataclass(frozen=True, slots=True)
class Handed:
    """An object of the request."""

    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Said:
    """What came back."""

    status: int
    body: bytes | None  #: None: longer than any archive's answer, or unreadable
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, and how sure it is."""

    answer: Answer
    of_request: bool = False  #: it is about the request: alone, the object may fare better
    asks: bool = False  #: the archive as a whole may be at fault: a query tells


@dataclass(slots=True)
class _Report:
    """What a Store Instances Response says, by SOP Instance UID."""

    stored: dict[str, DataSet] = field(default_factory=dict)
    failed: dict[str, DataSet] = field(default_factory=dict)
    others: list[DataSet] = field(default_factory=list)


def judge(handed: Sequence[Handed], said: Said) -> list[Judged]:
    """Return one judgement an object, in their order; their UIDs are distinct."""
    report = _report(said.body)
    return [_one(one, said, report, alone=len(handed) == 1) for one in handed]


def _report(body: bytes | None) -> _Report | None:
    """Return what the body says about objects; None where it is no such statement."""
    found = data_sets(body) if body else None
    if not found or not any(_STATEMENTS & one.keys() for one in found):
        return None
    report = _Report()
    for data_set in found:
        for item in items(data_set, _REFERENCED_SOP_SEQUENCE):
            name = uid(item, _REFERENCED_SOP_INSTANCE_UID)
            # Named twice, the item that has something to say counts.
            if name not in report.stored or _REASONS & item.keys():
                report.stored[name] = item
        for item in items(data_set, _FAILED_SOP_SEQUENCE):
            # Azure names no UID where it could not even read the object.
            name = uid(item, _REFERENCED_SOP_INSTANCE_UID)
            if name:
                report.failed[name] = item
            else:
                report.others.append(item)
        report.others += items(data_set, _OTHER_FAILURES_SEQUENCE)
    return report


def _one(one: Handed, said: Said, report: _Report | None, *, alone: bool) -> Judged:
    if report is None:
        return _by_request(one, said)
    stored = report.stored.get(one.sop_instance_uid)
    failed = report.failed.get(one.sop_instance_uid)
    if stored is not None and failed is not None:
        return _word("named-twice", said)
    if stored is not None:
        return _stored(one, stored, said)
    if failed is None and report.others and alone:
        failed = report.others[0]
    if failed is not None:
        return Judged(_failed(one, failed, said))
    if report.others:
        return _word("not-named", said, of_request=True)
    return _by_request(one, said)


def _by_request(one: Handed, said: Said) -> Judged:
    """Judge an object that the body does not name."""
    if not 200 <= said.status <= 299:
        return _by_status(one, said)
    if said.body is not None and (not said.body or data_sets(said.body) is not None):
        return _word("not-named", said, of_request=True, asks=True)
    # A proxy's page, a login form, half a document: whoever speaks may not be the archive at all.
    return _word("not-dicomweb", said, of_request=True, asks=True)


def _by_status(one: Handed, said: Said) -> Judged:
    row = http_row(said.status)
    answer = _answer(f"http-{said.status}", row, one, "", said)
    return Judged(answer, of_request=True, asks=row.asks)


def _word(code: str, said: Said, *, of_request: bool = False, asks: bool = False) -> Judged:
    answer = Answer(Verdict.REFUSED, code, f"HTTP {said.status}")
    return Judged(answer, of_request=of_request, asks=asks)


def _stored(one: Handed, item: DataSet, said: Said) -> Judged:
    if (reason := _reason(item, _FAILURE_REASON)) is not None and reason != 0:
        return Judged(_failed(one, item, said))
    reason = _reason(item, _WARNING_REASON)
    if not reason:
        return Judged(Answer(Verdict.SENT))
    row = warning_row(reason)
    if row is UNKNOWN_WARNING:
        return Judged(Answer(Verdict.SENT, "unknown-warning", f"Warning Reason {reason}"))
    return Judged(_answer(f"stow-{reason}", row, one, texts(item), said))


def _failed(one: Handed, item: DataSet, said: Said) -> Answer:
    reason = _reason(item, _FAILURE_REASON)
    if reason is None:
        return Answer(Verdict.REFUSED, "refused-without-reason", f"HTTP {said.status}")
    return _answer(f"stow-{reason}", failure_row(reason), one, texts(item), said)


def _reason(item: DataSet, tag: str) -> int | None:
    """Return a reason; what is no number of 16 bits is the last one, which no table has."""
    found = number(item, tag)
    return found if found is None or 0 <= found <= _REASON_MOST else _REASON_MOST


def _answer(code: str, row: Row, one: Handed, comment: str, said: Said) -> Answer:
    told = f"HTTP {said.status}{shown(comment)}"
    verdict = Verdict.OTHER_SYNTAX if _is_of_syntax(row, one, comment) else row.verdict
    if verdict is Verdict.OTHER_SYNTAX:
        return Answer(verdict, code, told, accepted=_simpler(one.transfer_syntax_uid))
    return Answer(verdict, code, told, said.retry_after_s if verdict is Verdict.BUSY else 0.0)


def _is_of_syntax(row: Row, one: Handed, comment: str) -> bool:
    """Tell whether a refusal may be about the transfer syntax, though its reason is a general one.

    Azure takes Explicit VR only and calls an object in Implicit VR one that fails its checks.
    """
    if row.verdict is not Verdict.REFUSED:
        return False
    fails_checks = row is failure_row(0xA900)
    implicit = one.transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    return (fails_checks and implicit) or "transfer syntax" in comment.lower()


def _simpler(transfer_syntax_uid: str) -> frozenset[str]:
    """Return what every archive that refuses this syntax may still take; nothing is below it."""
    return frozenset({EXPLICIT_VR_LITTLE_ENDIAN} - {transfer_syntax_uid})
