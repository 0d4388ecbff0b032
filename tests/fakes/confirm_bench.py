"""confirm_bench: one destination, an archive that answers as it is told, the stage between them.

The spool is real, the clock is the test's.
"""

from pathlib import Path

from gateway.codec.pool import Codec
from gateway.config.model import Destination
from gateway.confirm.findings import ASKED_MOST
from gateway.confirm.known import Known
from gateway.stages.confirm import Confirm
from tests.fakes import spools
from tests.fakes.asked_archive import AskedArchive
from tests.fakes.objects import new_uid, small
from tests.fakes.spools import SOP_CLASS, FakeClock

NAME = "central"
AFTER_S, WITHIN_S = 5.0, 3600.0


class Bench:
    """One destination, its archive, and the stage between them."""

    def __init__(self, folder: Path, codec: Codec, confirm: str) -> None:
        self.folder, self.codec = folder, codec
        self.clock, self.archive = FakeClock(), AskedArchive()
        self.spool = spools.opened(folder, self.clock)
        self.destination = Destination(
            name=NAME,
            host="127.0.0.1",
            port=104,
            ae_title="ARCHIVE",
            confirm=confirm,  # type: ignore[arg-type]
            confirm_after_s=AFTER_S,
            confirm_within_s=WITHIN_S,
        )
        self.known = Known(self.spool, NAME)
        self.stage = self.restarted()

    def restarted(self) -> Confirm:
        """Return the stage as a new process would begin it."""
        stage = Confirm(self.spool, self.codec, self.destination, self.archive)
        stage.end_leases()
        stage.readback.sweep()
        self.stage = stage
        return stage

    def send(
        self, uid: str = "", data: bytes = b"", *, kept: bool = True, warning: str = ""
    ) -> int:
        """Bring one object as far as `sent`; return its instance's id."""
        uid = uid or new_uid()
        comes = spools.arrival(uid)
        instance_id = spools.arrive(self.spool, data or small(uid, SOP_CLASS), comes)
        spools.make_ready(self.spool)
        self.hand_over(kept=kept, warning=warning)
        return instance_id

    def hand_over(self, *, kept: bool = True, warning: str = "") -> None:
        """Do what forward does."""
        delivery = spools.claimed_delivery(self.spool)
        if kept:
            self.archive.keep(delivery.rendition)
        self.spool.delivering.sent(delivery, warning)

    def turns(self, count: int = 20) -> None:
        """Let the stage work as long as it says that there may be more."""
        for _ in range(count):
            if self.stage.turn() > 0:
                return
        raise AssertionError("it finds no rest")

    def wait(self, seconds: float = AFTER_S) -> None:
        """Let time go by, then let the stage work."""
        self.clock.pass_s(seconds)
        self.turns()

    def wait_long(self) -> None:
        """Let so much time go by that an absent object is given up once."""
        for _ in range(ASKED_MOST + 2):
            self.wait(AFTER_S * 2**ASKED_MOST)

    def states(self, instance_id: int) -> list[str]:
        return spools.delivery_states(self.spool, instance_id)

    def shown(self, instance_id: int) -> dict[str, object]:
        """Return the newest delivery's row."""
        (found,) = self.spool.counting.show(str(instance_id))
        return dict(max(found["deliveries"], key=lambda one: one["round"]))

    def history(self, instance_id: int) -> list[tuple[str, str]]:
        return spools.history_of(self.spool, instance_id)

    def uid(self, instance_id: int) -> str:
        (found,) = self.spool.counting.show(str(instance_id))
        return str(found["sop_instance_uid"])

    def transaction(self, nth: int = -1) -> str:
        return self.archive.transactions[nth][0]

    def report(self, *instances: int, reason: int | None = None, transaction: str = "") -> bool:
        """Let the archive report on these."""
        pairs = [(SOP_CLASS, self.uid(one)) for one in instances]
        failed = [(*pair, reason) for pair in pairs if reason is not None]
        done = pairs if reason is None else []
        uid = transaction or self.transaction()
        return self.spool.committing.reported(uid, done, failed)
