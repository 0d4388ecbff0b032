"""odd_archive: a scripted archive that answers questions in ways that real ones do not on demand.

Takes      what `CommittingArchive` takes, and C-GET
Gives      what its switches say
"""

from tests.fakes import upper_layer as ul
from tests.fakes.committing_archive import (
    CommittingArchive,
    _decoded,
    _form,
    _number,
)
from tests.fakes.data_sets import Form, Value, encoded
from tests.fakes.scripted_archive import _Association

C_GET, C_FIND, PENDING = 0x0010, 0x0020, 0xFF00


class OddArchive(CommittingArchive):
    """`has` are the UIDs that it shows; every C-FIND and C-GET is counted."""

    def __init__(self) -> None:
        self.has: set[str] = set()
        self.takes_lists = True  #: False: a list is one UID, which it does not have
        self.brings_all = False  #: whatever was asked for, it shows all that it has
        self.availability = b""  #: (0008,0056) of all that it shows
        self.get_status, self.get_counts = 0xA900, (0, 0)  #: status, completed and failed
        self.gets = 0
        self.aborts_at = ""  #: an abstract syntax at whose proposal it aborts
        super().__init__()

    def _answer(self, association: _Association, value: bytes) -> bytes:
        if self.aborts_at and self.aborts_at.encode() in value:
            self._abort(association)
        return super()._answer(association, value)

    def _whole(self, association: _Association, context: int) -> None:
        if _number(association.request[0x100]) == C_GET:
            self.gets += 1
            self._answered(association, context, C_GET, self.get_status, b"", self.get_counts)
        else:
            super()._whole(association, context)

    def _find(self, association: _Association, context: int) -> None:
        self.finds += 1
        asked, form = _decoded(association, context).SOPInstanceUID, _form(association, context)
        uids = {asked} if isinstance(asked, str) else set(asked)
        shown = self.has if self.brings_all else uids & self.has
        if len(uids) > 1 and not self.takes_lists:
            shown = set()
        for uid in sorted(shown) if not self.find_status else ():
            self._answered(association, context, C_FIND, PENDING, self._match(uid, form))
        self._answered(association, context, C_FIND, self.find_status)

    def _match(self, uid: str, form: Form) -> bytes:
        raw = uid.encode() + bytes(len(uid) % 2)
        return encoded(
            (Value(0x00080018, "UI", raw), Value(0x00080056, "CS", self.availability)), form
        )

    def _answered(
        self,
        association: _Association,
        context: int,
        kind: int,
        status: int,
        data: bytes = b"",
        counts: tuple[int, int] = (0, 0),
    ) -> None:
        body: dict[int, int | str] = {0x100: kind | ul.RESPONSE, 0x900: status}
        body |= {0x120: _number(association.request[0x110])}
        body |= {0x800: 1 if data else ul.NO_DATA_SET, 0x1021: counts[0], 0x1022: counts[1]}
        association.peer.sendall(ul.p_data(context, ul.COMMAND | ul.LAST, ul.command(body)))
        if data:
            association.peer.sendall(ul.p_data(context, ul.LAST, data))
