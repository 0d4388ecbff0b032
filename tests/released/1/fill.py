"""fill: rows of the first schema, in every state that it knows, written by the first program.

Run with the first program's folders on PYTHONPATH: fill.py STATE_DIR DATA_SET COUNT

DATA_SET is a data set in Explicit VR Little Endian in which `PLACE` stands for the UID. States for
which the first program has no verb yet are reached by the moves that its own table allows.
"""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from spool.model import Arrival, Decision, Delivery, Instance, Priority
from spool.store import Spool

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.6.1"
EXPLICIT = "1.2.840.10008.1.2.1"
PLACE = b"2.25.000000000000000000000000000000"
DESTINATIONS = ("archive", "cloud")
DOORS = ("ae:US1", "ae:CT1", "folder:export")
WHO = "person:ann"
LATER_S = 600.0  #: longer than filling takes


class Fill:
    """One turn brings one item into one state; `prepare` and `forward` name the rest."""

    def __init__(self, state_dir: Path, data: bytes) -> None:
        self.spool, self._data = Spool(state_dir, state_dir / "run"), data
        self.spool.migrate()
        self._number = 0

    def receive(self, data: bytes = b"") -> bytes:
        """Take the next object in; `data`: these bytes once more."""
        self._number += 1
        uid = f"2.25.{self._number:030}".encode()
        data = data or self._data.replace(PLACE, uid)
        door = DOORS[self._number % len(DOORS)]
        priority = list(Priority)[self._number % 3]
        said = data[data.index(b"2.25.") :][: len(uid)].decode()
        arrival = Arrival(SOP_CLASS, said, EXPLICIT, door, "192.0.2.7", priority=priority)
        incoming = self.spool.receiving.begin(arrival)
        incoming.write(data)
        self.spool.receiving.keep(incoming, arrival)
        return data

    def claimed(self) -> Instance:
        instance = self.spool.preparing.claim()
        assert instance
        return instance

    def ready(self) -> Instance:
        self.receive()
        instance = self.claimed()
        decision = Decision("1.2.3.4", "1.2.3.5", destinations=DESTINATIONS)
        self.spool.preparing.ready(instance, decision)
        return instance

    def sending(self) -> Delivery:
        self.ready()
        delivery = self.spool.delivering.claim(DESTINATIONS[0])
        assert delivery
        return delivery

    def move(self, table: str, state: str, row_id: int) -> None:
        """Move a row as a later verb would; the trigger checks it against the table of moves."""
        sql = f"UPDATE {table} SET state = ?, lease = '' WHERE id = ?"

        def work(db: sqlite3.Connection) -> None:
            db.execute(sql, (state, row_id))

        self.spool.database.write(work)

    # the states

    def held(self) -> None:
        self.receive()
        self.spool.preparing.hold(self.claimed(), "conflict", "")

    def deferred(self) -> None:
        self.receive()
        self.spool.preparing.defer(self.claimed(), "no-room", "", LATER_S)

    def merged(self) -> None:
        data = self.receive()
        kept = self.claimed()
        self.spool.preparing.ready(kept, Decision("1.2.3.4", "1.2.3.5", destinations=DESTINATIONS))
        self.receive(data)
        self.spool.preparing.merge(self.claimed(), kept.id)

    def withdrawn(self) -> None:
        self.receive()
        self.move("instance", "withdrawn", self.claimed().id)

    def retired(self) -> None:
        self.move("instance", "retired", self.ready().id)

    def sent(self) -> None:
        self.spool.delivering.sent(self.sending())

    def confirmed(self) -> None:
        delivery = self.sending()
        self.spool.delivering.sent(delivery)
        self.move("delivery", "confirmed", delivery.id)

    def refused(self) -> None:
        self.spool.delivering.refuse(self.sending(), "status-C000", "cannot understand", LATER_S)

    def waiting(self) -> None:
        self.spool.delivering.defer(self.sending(), "connection-refused", "", LATER_S)

    def delivery_held(self) -> None:
        self.spool.delivering.hold(self.sending(), "status-A900", "")

    def cancelled(self) -> None:
        self.move("delivery", "cancelled", self.sending().id)

    def held_by_a_person(self) -> None:
        self.spool.deciding.hold(self.ready().id, WHO)

    def being_sent(self) -> None:
        self.sending()

    def being_prepared(self) -> None:
        self.receive()
        self.claimed()

    def states(self) -> tuple[Callable[[], object], ...]:
        """Return what brings an item into each state; those that claim before those that wait."""
        return (
            *(self.held, self.deferred, self.merged, self.withdrawn, self.retired, self.sent),
            *(self.confirmed, self.refused, self.waiting, self.delivery_held, self.cancelled),
            *(self.held_by_a_person, self.being_sent, self.being_prepared, self.ready),
        )


def main(state_dir: Path, data_set: Path, count: int) -> None:
    """Fill the state folder; what is only received comes last, or it would be claimed."""
    fill = Fill(state_dir, data_set.read_bytes())
    states = fill.states()
    for number in range(count - count // len(states)):
        states[number % len(states)]()
    for _ in range(count // len(states)):
        fill.receive()
    fill.spool.close()


main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
