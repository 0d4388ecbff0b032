"""spools: a real spool in a folder of the test, on a clock that the test turns."""

from collections.abc import Sequence
from pathlib import Path

from spool.clock import Clock
from spool.model import Arrival, Decision, Delivery, Instance, Priority
from spool.room import Bounds
from spool.store import Spool

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.6.1"
EXPLICIT = "1.2.840.10008.1.2.1"
UID = "1.2.826.0.1.3680043.8.498.1"


class FakeClock(Clock):
    """Stands still until a test moves it; `reboot` begins another boot."""

    def __init__(self) -> None:
        self.boot_id, self.now_s, self.up_s = "boot-1", 1_772_352_000.0, 100.0

    def utc(self) -> float:
        return self.now_s

    def boottime(self) -> float:
        return self.up_s

    def pass_s(self, seconds: float) -> None:
        """Let time go by."""
        self.now_s += seconds
        self.up_s += seconds

    def step_s(self, seconds: float) -> None:
        """Set the wall clock, as NTP or a person does; the boot's clock goes on."""
        self.now_s += seconds

    def reboot(self) -> None:
        self.boot_id, self.up_s = self.boot_id + "+", 1.0


def opened(folder: Path, clock: Clock | None = None, *, refuse_bytes: int = 0) -> Spool:
    """Return a migrated spool whose state and run folders lie below `folder`."""
    bounds = Bounds(refuse_bytes=refuse_bytes)
    spool = Spool(folder / "state", folder / "run", bounds=bounds, clock=clock or FakeClock())
    spool.migrate()
    return spool


def arrival(
    uid: str = UID,
    door: str = "ae:US1",
    priority: Priority = Priority.NORMAL,
    syntax: str = EXPLICIT,
) -> Arrival:
    return Arrival(SOP_CLASS, uid, syntax, door, "192.0.2.7", priority=priority)


def arrive(spool: Spool, data: bytes = b"pixels", comes: Arrival | None = None) -> int:
    """Take one object in and return the instance's id."""
    comes = comes or arrival()
    incoming = spool.receiving.begin(comes)
    incoming.write(data)
    return spool.receiving.keep(incoming, comes)


def claimed(spool: Spool) -> Instance:
    """Return the next instance under a claim."""
    instance = spool.preparing.claim()
    assert instance
    return instance


def make_ready(spool: Spool, destinations: Sequence[str] = ("central",)) -> Instance:
    """Prepare the next instance for these destinations, as received."""
    instance = claimed(spool)
    as_received = tuple((one, -1) for one in destinations)
    spool.preparing.ready(instance, Decision("1.2", "1.3", deliveries=as_received))
    return instance


def claimed_delivery(spool: Spool, destination: str = "central") -> Delivery:
    """Return the next delivery there under a claim."""
    delivery = spool.delivering.claim(destination)
    assert delivery
    return delivery


def sent(
    spool: Spool, uid: str = "1.2.1", data: bytes = b"pixels", *, settles: bool = False
) -> int:
    """Bring one object as far as `sent`, due to be asked about; return the instance's id."""
    instance_id = arrive(spool, data, arrival(uid))
    make_ready(spool)
    send_again(spool, settles=settles)
    return instance_id


def send_again(spool: Spool, *, settles: bool = False) -> None:
    """Hand over the next delivery; it is due to be asked about."""
    spool.delivering.sent(claimed_delivery(spool), settles=settles, check_after_s=0.0)


def confirm(spool: Spool, delivery_id: int, how: str = "by the test") -> None:
    """Let the archive have what was sent, without waiting until it would be asked."""
    (row,) = spool.database.write(
        lambda db: db.execute(
            "UPDATE delivery SET check_at = 0 WHERE id = ? RETURNING destination", (delivery_id,)
        ).fetchall()
    )
    sents = spool.confirming.claim(row["destination"], 1000)
    for sent in sents:
        if sent.delivery_id == delivery_id:
            spool.confirming.confirmed(sent, how)
        else:
            spool.confirming.give_back(sent)
    assert delivery_id in {sent.delivery_id for sent in sents}


def state_of(spool: Spool, instance_id: int) -> str:
    (found,) = spool.counting.show(str(instance_id))
    return str(found["state"])


def delivery_states(spool: Spool, instance_id: int) -> list[str]:
    (found,) = spool.counting.show(str(instance_id))
    return [one["state"] for one in found["deliveries"]]


def history_of(spool: Spool, instance_id: int) -> list[tuple[str, str]]:
    """Return (who, what) of each line."""
    (found,) = spool.counting.show(str(instance_id))
    return [(line["who"], line["what"]) for line in found["history"]]
