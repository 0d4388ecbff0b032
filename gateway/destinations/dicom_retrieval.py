"""dicom_retrieval: one object is given back, by C-GET or by C-MOVE to our own port.

Takes      the UIDs of what was sent
Gives      a scratch file; None where the archive has no such object
Defers     ArchiveAway, also while another archive gives back an object of the same UID
Holds      nothing: NotAnswered `readback-refused`
Repeats    an object may be asked for again

C-GET comes first; where an archive does not offer it, or cannot do it, C-MOVE follows (`retrieve`).
Whatever a retrieval says, nothing given back counts as not there only where C-FIND agrees; where
queries are refused too, only a success that names no object does.

References: PS3.4 C.4.2 (C-MOVE), C.4.3 (C-GET); PS3.7 D.3.3.4 (role selection).
"""

from collections.abc import Callable
from pathlib import Path

from gateway.destinations.archive import ArchiveAway, NotAnswered, ReadBack, Sought
from gateway.destinations.association import Kept
from gateway.destinations.dicom_services import ASKED, accepted, check, keys
from gateway.dicom import query
from gateway.dicom.landing import Landing
from gateway.dicom.query import Retrieved
from gateway.dicom.request import PAIRS_MOST
from gateway.dicom.requestor import Pair, Requestor
from gateway.dicom.status import SUCCESS
from gateway.dicom.syntaxes import SYNTAXES
from spool.readbacks import Readbacks

#: An object is given back by then, however slow the line.
MOST_S = 14_400.0
#: Out of resources, while a number of matches is found out (PS3.4 C.4.2.1.5); elsewhere too.
_LATER = (0x0213, 0xA701)

#: How an archive may take a proposal of C-GET that it does not know: with role selection in it.
_NO_GET = ("rejected", "aborted", "closed", "protocol")

#: What an object may be given back in; a reference to pixels elsewhere is no object.
_SYNTAXES = tuple(
    one.uid for one in SYNTAXES.values() if not one.deflated and "Referenced" not in one.name
)


class Retrieval:
    """Fetches from one archive.

    Parameters
    ----------
    asks, gets
        The association for questions, and one for C-GET, on which `landing` is a service.
    title
        Ours there: a C-MOVE goes to it.
    has
        Asks whether the archive has an object; raises NotAnswered.
    """

    def __init__(
        self,
        asks: Kept,
        gets: Kept,
        landing: Landing,
        readbacks: Readbacks | None,
        *,
        name: str,
        title: str,
        retrieve: str,
        has: Callable[[Sought], bool],
    ) -> None:
        self._asks, self._gets, self._landing, self._readbacks = asks, gets, landing, readbacks
        self._name, self._title, self._retrieve, self._has = name, title, retrieve, has
        self._offers_get, self._first = True, ("", "")

    def read_back(self, sought: Sought, folder: Path) -> ReadBack | None:
        """As `Archive.read_back`."""
        back, last = self._try_get(sought, folder) if self._retrieve != "move" else (None, None)
        if back or (last and not self._may_have(sought, last)):
            return back
        if self._retrieve != "get":
            back, moved = self._move(sought)
            last = moved or last
        if last is None:
            raise NotAnswered("readback-refused", "neither C-GET nor C-MOVE was accepted")
        if back is None and self._may_have(sought, last):
            _say_why(last)
        return back

    def _try_get(self, sought: Sought, folder: Path) -> tuple[ReadBack | None, Retrieved | None]:
        """As `_get`, unless it was of no use before; what C-MOVE may do better is no failure."""
        if not self._offers_get:
            return None, None
        try:
            back, last = self._get(sought, folder)
        except ArchiveAway as fault:
            if self._retrieve == "get" or fault.code not in _NO_GET:
                raise
            return None, None
        self._offers_get = last is not None or self._retrieve == "get"
        return back, last

    def _get(self, sought: Sought, folder: Path) -> tuple[ReadBack | None, Retrieved | None]:
        kind, syntax = sought.sop_class_uid, sought.transfer_syntax_uid or _SYNTAXES[0]
        if self._first != (kind, syntax):
            self._gets.release()
        self._first = (kind, syntax)
        self._landing.expect(sought.sop_instance_uid, folder)
        with self._gets.use(self._first, lambda: _gettable(kind, syntax), [kind]) as archive:
            last = _retrieve(archive, query.GET, sought)
        if not self._landing.landed:
            return None, last
        path, size, given_in = self._landing.landed
        return ReadBack(path, 0, size, given_in), last

    def _move(self, sought: Sought) -> tuple[ReadBack | None, Retrieved | None]:
        if not self._readbacks:
            raise RuntimeError("nothing is read back without a spool")
        with self._asks.use((query.MOVE, ASKED[0][1]), lambda: ASKED) as archive:
            uid, message_id = sought.sop_instance_uid, archive.next_message_id
            is_ours = self._readbacks.expect(self._name, uid, message_id)
            moved = self._moved(archive, sought, self._readbacks) if is_ours else None
        if moved is None:
            raise ArchiveAway("busy", "another archive gives back the same object")
        return moved

    def _moved(
        self, archive: Requestor, sought: Sought, readbacks: Readbacks
    ) -> tuple[ReadBack | None, Retrieved | None]:
        uid = sought.sop_instance_uid
        try:
            last = _retrieve(archive, query.MOVE, sought, self._title)
            came = readbacks.take(uid)
        finally:
            if late := readbacks.forget(uid):
                late.path.unlink(missing_ok=True)
        if not came or not came.path.exists():  # our port may have been started anew meanwhile
            return None, last
        offset, size = came.dataset_offset, came.dataset_bytes
        return ReadBack(came.path, offset, size, came.transfer_syntax_uid), last

    def _may_have(self, sought: Sought, last: Retrieved) -> bool:
        try:
            return self._has(sought)
        except NotAnswered:
            return last.status != SUCCESS or last.completed + last.failed > 0


def _retrieve(
    archive: Requestor, service: str, sought: Sought, destination: str = ""
) -> Retrieved | None:
    pair = accepted(archive, service)
    if pair is None:
        return None
    return query.retrieve(archive, pair, keys([sought]), MOST_S, destination)


def _say_why(last: Retrieved) -> None:
    """Say why nothing came, though the archive may have it."""
    if last.completed:
        raise NotAnswered("readback-refused", "it says it sent the object, but nothing came")
    check(last, "readback-refused", later=_LATER)
    raise NotAnswered("readback-refused", "it gave nothing back, without a reason")


def _gettable(kind: str, syntax: str) -> list[Pair]:
    """Return what C-GET needs: its own contexts, and the object's class in every syntax.

    The one that it was sent in comes first: some archives take the first that both know, and fail
    where they cannot convert to it (DCMTK's do).
    """
    gets = [(query.GET, one) for one in query.SYNTAXES]
    return [*gets, *((kind, one) for one in dict.fromkeys((syntax, *_SYNTAXES)))][:PAIRS_MOST]
