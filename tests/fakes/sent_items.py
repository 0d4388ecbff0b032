"""sent_items: deliveries that an archive took, under the claim of `confirm`; without an archive."""

from gateway.destinations.archive import Sought
from spool.model import Sent
from spool.store import Spool
from tests.fakes.objects import new_uid
from tests.fakes.spools import arrival, arrive, claimed_delivery, make_ready


def sents(spool: Spool, destination: str, uids: int | list[str]) -> list[Sent]:
    """Return a claim of the check of so many new objects, or of objects with these UIDs."""
    wanted = [new_uid() for _ in range(uids)] if isinstance(uids, int) else uids
    for uid in wanted:
        arrive(spool, comes=arrival(uid))
        make_ready(spool, [destination])
        spool.delivering.sent(claimed_delivery(spool, destination), "", settles=False)
    spool.clock.pass_s(3600)  # type: ignore[attr-defined]  # the test's clock
    return spool.confirming.claim(destination)


def sought_of(sent: Sent) -> Sought:
    return Sought(
        sent.rendition.sop_class_uid,
        sent.rendition.sop_instance_uid,
        sent.study_instance_uid,
        sent.series_instance_uid,
        sent.rendition.transfer_syntax_uid,
    )
