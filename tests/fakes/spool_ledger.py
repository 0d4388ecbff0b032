"""spool_ledger: what was promised, what each archive took, and which promises are kept."""

from dataclasses import dataclass, field

from tests.fakes.spool_items import Item
from tests.fakes.spool_model import SpoolModel


@dataclass
class Promise:
    """One object that was acknowledged."""

    uid: str
    data: bytes
    is_done: bool = False  #: delivered as firmly as asked, or taken back by a person
    lives_in: str = ""  #: the blob that stands for it since it was merged or packed


@dataclass
class Ledger:
    """Promises by the blob that came; what the archives took, as (destination, UID, data)."""

    promises: dict[str, Promise] = field(default_factory=dict)
    took: set[tuple[str, str, bytes]] = field(default_factory=set)

    def end(self, name: str) -> str:
        """Return the blob that stands for this one."""
        while self.promises[name].lives_in:
            name = self.promises[name].lives_in
        return name

    def open(self) -> set[str]:
        """Return the blobs that stand for promises which are not done."""
        ends = {self.end(name) for name in self.promises if not self.promises[name].is_done}
        return {name for name in ends if not self.promises[name].is_done}

    def lost(self, model: SpoolModel) -> list[str]:
        """Return the blobs whose promises nothing on the disk can keep any more."""
        items = model.items
        return [name for name in self.open() if name not in items or not items[name].on_disk]

    def find_again(self, model: SpoolModel, withdrawn: set[str]) -> None:
        """After a loss: let an equal one that is still here stand for what is not.

        One in the trash may stand only for what a person took back, too (`withdrawn`).
        """
        for name in self.lost(model):
            promise = self.promises[name]
            for other, item in model.items.items():
                is_equal = (item.uid, item.data) == (promise.uid, promise.data)
                may_stand = item.state != "withdrawn" or name in withdrawn
                if is_equal and item.on_disk and may_stand:
                    promise.lives_in = other

    def close(self, name: str, item: Item) -> None:
        """Note that nothing more is owed; what is retired must have arrived."""
        if not self.promises[name].is_done:
            assert item.state == "withdrawn" or self.has_arrived(item), f"retired unsent: {item}"
            self.promises[name].is_done = True

    def has_arrived(self, item: Item) -> bool:
        """Tell whether each destination took it, or a person wanted it to go there no more."""
        by_name: dict[str, set[str]] = {}
        for one in item.sendings:
            by_name.setdefault(one.destination, set()).add(one.state)
        return all(
            (name, item.uid, item.data) in self.took
            if states & {"sent", "confirmed"}
            else "cancelled" in states and states <= {"cancelled", "superseded"}
            for name, states in by_name.items()
        )
