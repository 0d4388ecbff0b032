"""spool_bench: the real spool on its bench; what is done to it is done to its model as well.

Takes      what happens; the folder lies in memory (tmpfs), so that a sync costs nothing
Gives      the spool, its model, and the ledger of promises
Holds      what a file system may undo: a removed file comes back with `undoes_unlinks`
"""

import copy
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from gateway.prepare import again
from spool import backups
from spool.blobfile import verify
from spool.deciding import WrongState
from spool.decisions import Decided
from spool.errors import Defer, Hold, LostClaim
from spool.model import Decision, Delivery, Instance, Priority, Rendition, Role
from spool.repair import Incident, ensure_database
from tests.fakes.spool_ledger import Ledger, Promise
from tests.fakes.spool_model import WHOLE, Item, Refused, Sending, SpoolModel
from tests.fakes.spool_told import learned, names_of, trusted_of
from tests.fakes.spools import SOP_CLASS, FakeClock, arrival, opened

DESTINATIONS = ("central", "cloud")
JPEG_2000 = "1.2.840.10008.1.2.4.90"
PACKED = b"J2K "  #: before the data of what this bench calls compressed
MEMORY = Path("/dev/shm")  # noqa: S108  # the folder is made by mkdtemp
DEFER_S, LOST_S, REFUSED_S = 15.0, 600.0, 60.0


class Bench:
    """A spool in a folder of its own, its model, and the ledger."""

    def __init__(self) -> None:
        parent = MEMORY if os.access(MEMORY, os.W_OK) else None
        self._root = Path(tempfile.mkdtemp(prefix="spool-", dir=parent))
        self._boots = 0
        self.clock = FakeClock()
        self.model = SpoolModel(self.clock)
        self.ledger = Ledger()
        self._graves = self._root / "graves"
        self._graves.mkdir()
        self._ever: dict[str, Item] = {}  #: every item that there was, also before a loss
        self._origins: dict[str, str] = {}  #: compressed blob -> the blob that came
        self.spool = opened(self._folder, self.clock)

    def close(self) -> None:
        self.spool.close()
        shutil.rmtree(self._root)

    @property
    def _folder(self) -> Path:
        return self._root / str(self._boots)

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
        return again.judge(instance, None, others, "hold", earlier.are_whole)

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
        """Let the stages work until nothing is due any more, at most once each."""
        for _ in range(len(self.model.items)):
            instance = self.spool.preparing.claim()
            if instance:
                name = instance.received.blob.name
                self.model.items[name].lease = self.model.new_lease(instance.lease)
                self.prepare(name, instance, outcome)
        for destination in DESTINATIONS * len(self.model.items):
            delivery = self.spool.delivering.claim(destination)
            if delivery:
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
            for row in self._renditions_of(item):
                decided = Decided(what, "person:ann", self.clock.now_s, to)
                self.spool.decisions.write(row["blob"], decided)
            self.model.order(what, item, to)
        self.model.come_into_force(item)

    # what must not matter

    def crash(self, *, undoes_unlinks: bool = False) -> None:
        """End without a word: what is left is what lies in the folder now."""
        if undoes_unlinks:
            self._undo_unlinks()
        self._leave()
        self._reopen([])

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
            os.link(self._grave(row["blob"]), self.spool.blobs.path(row["blob"]))
            self.model.find(self.model.items[names[row["instance_id"]]], row["role"])

    def back_up(self) -> None:
        for old in backups.copies(self._folder / "state" / "backup"):
            old.unlink()
        folder = self._folder / "state" / "backup"
        assert backups.daily(self.spool.database, folder, self.clock.now_s)

    def lose_database(self, *, keep_backups: bool) -> None:
        """Lose every row; what the files and an old copy tell is all that is left."""
        self._leave()
        state_dir = self._folder / "state"
        for one in (state_dir / "db").glob("spool.db*"):
            one.unlink()
        if not keep_backups:
            shutil.rmtree(state_dir / "backup", ignore_errors=True)
        self._reopen(ensure_database(state_dir, self.clock.now_s))
        self._learn()

    def let_everything_arrive(self) -> None:
        """Release what is held, work until nothing waits; every promise must be kept then."""
        self.crash()
        for _ in range(4):
            self.end_leases(REFUSED_S)
            for item in list(self.model.items.values()):
                self.decide("release", item, "")
            self.clock.pass_s(LOST_S)
            self.work_off("ready", "settled")
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

    def sending_of(self, delivery: Delivery) -> tuple[Item, Sending]:
        item = self.model.items[names_of(self.spool)[delivery.instance_id]]
        for one in item.sendings:
            if (one.destination, one.round) == (delivery.destination, delivery.round):
                return item, one
        raise AssertionError(f"nobody ordered {delivery}")

    def name_of(self, item: Item) -> str:
        return next(name for name, one in self.model.items.items() if one is item)

    def id_of(self, item: Item) -> int:
        name = self.name_of(item)
        return next(key for key, one in names_of(self.spool).items() if one == name)

    def _add(self, name: str, item: Item) -> None:
        self.model.items[name] = self._ever[name] = item
        self.ledger.promises[name] = Promise(item.uid, item.data)
        self._bury(name)

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
            destinations=DESTINATIONS,
            sends=0 if made else -1,
        )
        try:
            self.spool.preparing.ready(instance, decision)
        except LostClaim:
            if made and not made.id:
                self.spool.blobs.discard(made.blob.name)
            raise
        self.model.ready(item, DESTINATIONS, "compressed" if made else "received")

    def _pack(self, instance: Instance) -> Rendition:
        uid = instance.arrival.sop_instance_uid
        about = {
            "role": Role.COMPRESSED,
            "sop_class_uid": SOP_CLASS,
            "sop_instance_uid": uid,
            "transfer_syntax_uid": JPEG_2000,
            "received_at": instance.received_at,
            "made_from": instance.received.blob.sha256,
        }
        incoming = self.spool.blobs.begin(about)
        incoming.write(PACKED + self._data(instance))
        blob = incoming.keep()
        self._origins[blob.name] = instance.received.blob.name
        self._bury(blob.name)
        made_from = instance.received.id
        return Rendition(
            Role.COMPRESSED, uid, SOP_CLASS, JPEG_2000, blob, made_from=made_from, proved=True
        )

    def _data(self, instance: Instance) -> bytes:
        blob = instance.received.blob
        return blob.path.read_bytes()[blob.dataset_offset :]

    def _transmit(self, item: Item, delivery: Delivery) -> None:
        blob = delivery.rendition.blob
        verify(blob.path, blob.sha256)
        data = blob.path.read_bytes()[blob.dataset_offset :].removeprefix(PACKED)
        assert data == item.data, "another's pixels"
        self.ledger.took.add((delivery.destination, item.uid, data))

    def _renditions_of(self, item: Item) -> list[sqlite3.Row]:
        return self.spool.database.read(
            "SELECT blob, role FROM rendition WHERE instance_id = ? AND gone_at = 0 ORDER BY id",
            (self.id_of(item),),
        )

    def _bury(self, name: str) -> None:
        """Keep a second name of a file, so that its removal can be undone."""
        os.link(self.spool.blobs.path(name), self._grave(name))

    def _grave(self, name: str) -> Path:
        return self._graves / name.replace("/", " ")

    def _undo_unlinks(self) -> None:
        for row in self.spool.database.read("SELECT blob FROM rendition WHERE gone_at > 0"):
            path = self.spool.blobs.path(row["blob"])
            if not path.exists():
                os.link(self._grave(row["blob"]), path)

    def _leave(self) -> None:
        """Copy the folder as it lies there, without a word to its user; go on in the copy."""
        old, dead = self._folder, self.spool
        self._boots += 1
        shutil.copytree(old, self._folder)
        dead.close()
        shutil.rmtree(old)

    def _reopen(self, incidents: list[Incident]) -> None:
        self.spool = opened(self._folder, self.clock)
        self.spool.repair.reconcile(incidents)

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
        for name, item in self.model.items.items():
            item.orders = self._ever[name].orders
            self._ever[name] = item
        withdrawn = {name for name, one in self._ever.items() if one.order_for("") == "withdraw"}
        self.ledger.find_again(self.model, withdrawn)
