"""spool_bench: the real spool on its bench; what is done to it is done to its model as well.

Takes      what happens
Gives      the spool, its model, and the ledger of promises
"""

import copy
import hashlib
import sqlite3

from gateway.prepare import again
from spool.blobfile import verify
from spool.deciding import WrongState
from spool.decisions import Decided
from spool.errors import Defer, Hold, LostClaim
from spool.model import Content, Decision, Delivery, Instance, Priority, Rendition, Role
from tests.fakes.spool_asking import Asking
from tests.fakes.spool_folder import SpoolFolder
from tests.fakes.spool_items import Item, Refused, Sending
from tests.fakes.spool_ledger import Ledger, Promise
from tests.fakes.spool_model import SpoolModel
from tests.fakes.spool_persons import WHOLE
from tests.fakes.spool_told import learned, names_of, paused_in, transactions_of, trusted_of
from tests.fakes.spools import SOP_CLASS, FakeClock, arrival

ROUTED = ("central", "cloud")
#: Beside its routes, an object goes to "third" where a person or failover sends it.
DESTINATIONS = (*ROUTED, "third")
JPEG_2000 = "1.2.840.10008.1.2.4.90"
PACKED = b"J2K "  #: before the data of what this bench calls compressed
DEFER_S, LOST_S, REFUSED_S = 15.0, 600.0, 60.0
#: Longer than any question waits, and than a transaction is given.
ASKED_S = 7200.0


class Bench(Asking, SpoolFolder):
    """A spool in a folder of its own, its model, and the ledger."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        super().__init__(self.clock)
        self.model, self.ledger = SpoolModel(self.clock), Ledger()
        self._ever: dict[str, Item] = {}  #: every item that there was, also before a loss
        self._origins: dict[str, str] = {}  #: compressed blob -> the blob that came

    # what happens

    def receive(self, uid: str, data: bytes, door: str, priority: Priority) -> None:
        comes = arrival(uid, door, priority)
        incoming = self.spool.receiving.begin(comes)
        incoming.write(data)
        instance_id = self.spool.receiving.keep(incoming, comes)
        name = names_of(self.spool)[instance_id]
        self._add(name, Item(uid, data, door, int(priority)))

    def leave_a_file_without_a_row(self) -> None:
        """Die after the file, before the row: nobody was promised it, and it is taken in."""
        comes = arrival("1.2.9", "ae:US1")
        incoming = self.spool.receiving.begin(comes)
        incoming.write(b"never acknowledged")
        name = incoming.keep().name
        self._add(name, Item("1.2.9", b"never acknowledged", "ae:US1", 5))

    def prepare(self, name: str, instance: Instance, outcome: str) -> None:
        """Decide as the stage does, `outcome` where it is free to; raise what the spool raises."""
        item, preparing = self.model.items[name], self.spool.preparing
        try:
            found = self._judge(instance)
            if found.repeats:
                self._merge(name, instance, found.repeats)
            elif outcome == "hold":
                raise Hold("routes")
            elif outcome == "defer":
                raise Defer("no-room")
            else:
                self._ready(instance, item, packs=outcome == "compressed")
        except Hold as held:
            preparing.hold(instance, held.code, held.detail)
            self.model.hold(item, held.code, held.detail)
        except Defer as later:
            preparing.defer(instance, later.code, later.detail, DEFER_S)
            self.model.defer(item, later.code, DEFER_S)

    def _judge(self, instance: Instance) -> again.Again:
        """Take the first steps of the stage, as far as they need no knowledge of DICOM."""
        earlier = self.spool.preparing.earlier
        others = earlier.of(instance)
        again.must_wait(instance, others, "hold")
        if not instance.at_hand.blob.path.exists():
            raise Hold("damaged", "missing")
        content = self._content(instance)
        if others:
            self.spool.preparing.know(instance, content)
        return again.judge(instance, content, others, "hold", earlier.are_whole)

    def send(self, item: Item, sending: Sending, delivery: Delivery, answer: str) -> None:
        """Hand over as the stage does; the archive has it before the row knows."""
        blob, delivering = delivery.rendition.blob, self.spool.delivering
        if not blob.path.exists():
            answer = "damaged"
        if answer in ("sent", "settled"):
            self._transmit(item, delivery)
            delivering.sent(delivery, settles=answer == "settled")
            self.model.sent(item, sending, settles=answer == "settled")
        elif answer in ("defer", "away"):
            delivering.defer(delivery, "lost", "", LOST_S, away=answer == "away")
            self.model.put_off(sending, LOST_S, away=answer == "away")
        elif answer == "refuse":
            delivering.refuse(delivery, "status-C000", "", REFUSED_S)
            self.model.refuse(item, sending, REFUSED_S)
        elif answer in ("hold", "damaged"):
            delivering.hold(delivery, answer, "")
            self.model.hold_sending(item, sending, is_damaged=answer == "damaged")
        else:
            delivering.give_back(delivery)
            if sending.lease and sending.lease.mark == delivery.lease:
                sending.lease = None

    def work_off(self, outcome: str, answer: str) -> None:
        """Let the stages work until nothing is due to be prepared; each delivery has its try."""
        while instance := self.spool.preparing.claim():
            name = instance.received.blob.name
            self.model.items[name].lease = self.model.new_lease(instance.lease)
            self.prepare(name, instance, outcome)
        waiting = sum(len(one.sendings) for one in self.model.items.values())
        for destination in DESTINATIONS * waiting:
            if delivery := self.spool.delivering.claim(destination):
                item, sending = self.sending_of(delivery)
                sending.lease = self.model.new_lease(delivery.lease)
                self.send(item, sending, delivery, answer)

    def come_back(self, destination: str) -> None:
        self.spool.breakers.make_due(destination, spread_s=0.0)
        self.model.come_back(destination)

    def end_leases(self, longest_s: float) -> None:
        self.spool.preparing.end_leases()
        for name in DESTINATIONS:
            self.spool.delivering.end_leases(name, longest_s)
            self.spool.confirming.end_leases(name)
        self.model.end_leases(longest_s)

    def tend(self, give_up_s: float, longest_s: float) -> None:
        self.spool.ageing.tick()
        self.model.tick()
        self.spool.ageing.follow_clock(longest_s)
        self.model.cut_waits(longest_s)
        self.spool.ageing.give_up(give_up_s)
        self.model.give_up(give_up_s)

    def retire(self, older_than_s: float) -> None:
        self.spool.retiring.retire(older_than_s)
        self.model.retire(older_than_s)
        for name, item in self.model.items.items():
            if item.state == "retired":
                self.ledger.close(name, item)

    def empty_trash(self, older_than_s: float) -> None:
        self.spool.retiring.empty_trash(older_than_s)
        self.model.empty_trash(older_than_s)
        for name, item in self.model.items.items():
            if item.state == "withdrawn" and not item.on_disk:
                self.ledger.close(name, item)

    def trim(self) -> None:
        self.spool.retiring.trim()
        self.model.trim()

    def may(self, what: str, item: Item, destination: str) -> bool:
        """Tell whether a person may do this now."""
        try:
            self.model.decide(what, copy.deepcopy(item), destination)
        except Refused:
            return False
        return True

    def write_decision_only(self, what: str, item: Item, destination: str) -> None:
        """Do the first half of a decision: what stands beside the file."""
        for to in self.model.meant(what, item, "" if what in WHOLE else destination):
            for row in self._renditions_of(item, is_lost=True):
                decided = Decided(what, "person:ann", self.clock.now_s, to)
                self.spool.decisions.write(row["blob"], decided)
            self.model.order(what, item, to)
        self.model.come_into_force(item)

    # what must not matter

    def crash(self, *, undoes_unlinks: bool = False) -> None:
        """End without a word: what is left is what lies in the folder now."""
        if undoes_unlinks:
            for row in self.spool.database.read("SELECT blob FROM rendition WHERE gone_at > 0"):
                self.dig_up(row["blob"])
        self.leave()
        self.reopen([])

    def lose_file(self, item: Item, role: str) -> None:
        """Lose one file to the disk: no promise can be kept with it, but no other may break."""
        for row in self._renditions_of(item):
            if row["role"] == role:
                self.spool.blobs.path(row["blob"]).unlink()
        self.ledger.promises[self.name_of(item)].is_done = True

    def files_come_back(self) -> None:
        """Bring back what the disk had lost, as when a folder is mounted again."""
        rows = self.spool.database.read(
            "SELECT instance_id, blob, role FROM rendition WHERE gone_at < 0 ORDER BY id"
        )
        names = names_of(self.spool)
        for row in rows:
            self.dig_up(row["blob"])
            item = self.model.items[names[row["instance_id"]]]
            self.model.find(item, row["role"])
            self.model.come_into_force(item)

    def lose_database(self, *, keep_backups: bool) -> None:
        super().lose_database(keep_backups=keep_backups)
        self._learn()

    def let_everything_arrive(self) -> None:
        """Release what is held, work until nothing waits; every promise must be kept then."""
        self.crash()
        for name in DESTINATIONS:
            self.resume(name)
        for _ in range(6):
            self.end_leases(REFUSED_S)
            for item in list(self.model.items.values()):
                self.decide("release", item, "")
            self.clock.pass_s(ASKED_S)
            self.work_off("ready", "settled")
            self.ask_about_everything()
        for name in self.ledger.open():
            item = self.model.items[name]
            arrived = item.sendings and self.ledger.has_arrived(item)
            assert arrived or item.state == "withdrawn", f"never arrived: {item}"

    def decide(self, what: str, item: Item, destination: str) -> None:
        """Let a person decide; what the model refuses the spool must refuse, and the reverse."""
        verb = getattr(self.spool.deciding, what)
        try:
            verb(self.id_of(item), "person:ann", destination=destination)
        except WrongState:
            assert not self.may(what, item, destination), f"{what} was refused"
        else:
            assert self.may(what, item, destination), f"{what} was not refused"
            self.model.decide(what, item, destination)

    def name_of(self, item: Item) -> str:
        return next(name for name, one in self.model.items.items() if one is item)

    def id_of(self, item: Item) -> int:
        name = self.name_of(item)
        return next(key for key, one in names_of(self.spool).items() if one == name)

    def _add(self, name: str, item: Item) -> None:
        self.model.items[name] = self._ever[name] = item
        self.ledger.promises[name] = Promise(item.uid, item.data)
        self.bury(name)

    def _merge(self, name: str, instance: Instance, kept_id: int) -> None:
        kept = names_of(self.spool)[kept_id]
        item, other = self.model.items[name], self.model.items[kept]
        assert item.data == other.data, "merged with another"
        assert other.on_disk or other.state == "retired", f"thrown away for a lost one: {other}"
        self.spool.preparing.merge(instance, kept_id)
        self.model.merge(item)
        self.ledger.promises[name].lives_in = kept

    def _ready(self, instance: Instance, item: Item, *, packs: bool) -> None:
        made = instance.compressed
        if made is None and packs and not self._data(instance).startswith(PACKED):
            made = self._pack(instance)
        decision = Decision(
            "1.2",
            "1.3",
            renditions=(made,) if made else (),
            deliveries=tuple((one, 0 if made else -1) for one in ROUTED),
            content=self._content(instance),
        )
        try:
            self.spool.preparing.ready(instance, decision)
        except LostClaim:
            if made and not made.id:
                self.spool.blobs.discard(made.blob.name)
            raise
        self.model.ready(item, ROUTED, "compressed" if made else "received")

    def _pack(self, instance: Instance) -> Rendition:
        uid = instance.arrival.sop_instance_uid
        about = {
            "role": Role.COMPRESSED,
            "sop_class_uid": SOP_CLASS,
            "sop_instance_uid": uid,
            "transfer_syntax_uid": JPEG_2000,
            "received_at": instance.received_at,
            "made_from": instance.received.blob.sha256,
            "made_from_blob": instance.received.blob.name,
        }
        incoming = self.spool.blobs.begin(about)
        incoming.write(PACKED + self._data(instance))
        blob = incoming.keep()
        self._origins[blob.name] = instance.received.blob.name
        self.bury(blob.name)
        made_from = instance.received.id
        return Rendition(
            Role.COMPRESSED, uid, SOP_CLASS, JPEG_2000, blob, made_from=made_from, proved=True
        )

    def _content(self, instance: Instance) -> Content:
        """Return what it says in whatever encoding; only the pixels tell two apart here."""
        blob = instance.at_hand.blob
        data = blob.path.read_bytes()[blob.dataset_offset :].removeprefix(PACKED)
        return Content(hashlib.sha256(data).hexdigest(), "whose", "rest")

    def _data(self, instance: Instance) -> bytes:
        blob = instance.received.blob
        return blob.path.read_bytes()[blob.dataset_offset :]

    def _transmit(self, item: Item, delivery: Delivery) -> None:
        blob = delivery.rendition.blob
        verify(blob.path, blob.sha256)
        data = blob.path.read_bytes()[blob.dataset_offset :].removeprefix(PACKED)
        assert data == item.data, "another's pixels"
        self.ledger.took.add((delivery.destination, item.uid, data))

    def _renditions_of(self, item: Item, *, is_lost: bool = False) -> list[sqlite3.Row]:
        """Return those whose files are here; with `is_lost` also those that may come back."""
        return self.spool.database.read(
            "SELECT blob, role FROM rendition WHERE instance_id = ?"
            " AND (gone_at = 0 OR (? AND gone_at < 0)) ORDER BY id",
            (self.id_of(item), is_lost),
        )

    def _learn(self) -> None:
        """Begin with a model of what the rows tell now; what persons ordered is not forgotten."""
        for packed, origin in self._origins.items():
            if packed in names_of(self.spool).values() and packed not in self._ever:
                old = self._ever[origin]
                self._ever[packed] = old
                self.ledger.promises[packed] = Promise(old.uid, old.data)
                self.ledger.promises[origin].lives_in = packed
        data = {name: one.data for name, one in self._ever.items()}
        self.model.items = learned(self.spool, data)
        self.model.know_time(trusted_of(self.spool))
        self.model.deadlines = transactions_of(self.spool)
        self.model.paused = paused_in(self.spool)
        for name, item in self.model.items.items():
            item.orders, item.added = self._ever[name].orders, self._ever[name].added
            self._ever[name] = item
        withdrawn = {name for name, one in self._ever.items() if one.order_for("") == "withdraw"}
        self.ledger.find_again(self.model, withdrawn)
