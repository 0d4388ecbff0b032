"""lossy: what lost something goes where its route wants it, and never stands for the image."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.counting import Filter
from spool.model import Decision, Instance, Rendition, Role
from spool.repair import ensure_database
from spool.store import Spool
from tests.fakes.spools import (
    SOP_CLASS,
    FakeClock,
    arrive,
    claimed,
    claimed_delivery,
    confirm,
    opened,
)

WHO = "person:ann"
PACS, PREVIEW = "pacs", "preview"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    found.ageing.tick()
    clock.pass_s(1)
    yield found
    found.close()


def lossy(spool: Spool, instance: Instance) -> Rendition:
    """Return a lossy rendition of what came, its file written."""
    source = instance.received
    incoming = spool.blobs.begin(
        {
            "role": Role.LOSSY,
            "sop_class_uid": SOP_CLASS,
            "sop_instance_uid": "2.25.77",
            "transfer_syntax_uid": "1.2.840.10008.1.2.4.91",
            "made_from": source.blob.sha256,
            "made_from_blob": source.blob.name,
            "made_from_uid": source.sop_instance_uid,
        }
    )
    incoming.write(b"less")
    blob = incoming.keep()
    syntax = "1.2.840.10008.1.2.4.91"
    return Rendition(Role.LOSSY, "2.25.77", SOP_CLASS, syntax, blob, made_from=source.id)


def decided(spool: Spool, *to: str) -> Instance:
    """Prepare the next one: as received for `to`, lossy for PREVIEW."""
    instance = claimed(spool)
    kept = [one for one in instance.kept if one.role is Role.LOSSY]
    less = kept[0] if kept else lossy(spool, instance)
    deliveries = (*((one, -1) for one in to), (PREVIEW, 0))
    ready = Decision("1.2", "1.3", renditions=(less,), deliveries=deliveries)
    spool.preparing.ready(instance, ready)
    return instance


def previewed(spool: Spool) -> None:
    """Let PREVIEW have what its route wants, firmly."""
    delivery = claimed_delivery(spool, PREVIEW)
    spool.delivering.sent(delivery, check_after_s=0)
    confirm(spool, delivery.id)


def fate(spool: Spool) -> list[tuple[str, str, str]]:
    """Return (destination, state, role of its rendition) of each delivery."""
    return [
        tuple(row)
        for row in spool.database.read(
            "SELECT d.destination, d.state, r.role FROM delivery d"
            " JOIN rendition r ON r.id = d.rendition_id ORDER BY d.id"
        )
    ]


def without_database(spool: Spool, tmp_path: Path, clock: FakeClock) -> Spool:
    for one in (tmp_path / "state" / "db").glob("spool.db*"):
        one.unlink()
    clock.pass_s(10)
    incident = ensure_database(tmp_path / "state", clock.utc())
    rebuilt = opened(tmp_path, clock)
    rebuilt.repair.reconcile(incident)
    return rebuilt


def test_a_backlog_moves_whole_to_where_only_a_lossy_one_is(spool: Spool, clock: FakeClock) -> None:
    arrive(spool)
    instance = decided(spool, PACS)
    previewed(spool)
    assert spool.operating.move_backlog(PACS, PREVIEW, WHO, dry_run=True) == 1
    assert spool.operating.move_backlog(PACS, PREVIEW, WHO) == 1
    assert fate(spool) == [
        (PACS, "cancelled", "received"),
        (PREVIEW, "confirmed", "lossy"),
        (PREVIEW, "queued", "received"),
    ]
    clock.pass_s(100)
    spool.ageing.tick()
    assert spool.retiring.retire(0.0) == 0
    assert instance.received.blob.path.exists()


def test_a_backlog_that_moved_whole_is_whole_there_after_a_start(spool: Spool) -> None:
    instance_id = arrive(spool)
    decided(spool, PACS)
    spool.operating.move_backlog(PACS, PREVIEW, WHO)
    before = fate(spool)
    assert spool.deciding.come_into_force(instance_id) == []
    assert fate(spool) == before


def test_a_lossy_one_at_the_fallback_does_not_stand_in(spool: Spool) -> None:
    arrive(spool)
    decided(spool, PACS)
    previewed(spool)
    assert spool.operating.stand_in(PACS, PREVIEW) == 1
    assert fate(spool)[-1] == (PREVIEW, "queued", "received")
    assert spool.operating.stand_in(PACS, PREVIEW) == 0


def test_a_lossy_one_does_not_keep_the_whole_from_being_offered(spool: Spool) -> None:
    instance_id = arrive(spool)
    decided(spool, PACS)
    previewed(spool)
    assert spool.operating.offer(PREVIEW, Filter(), 0.0, WHO, dry_run=True) == 1
    assert spool.operating.offer_these([instance_id], PREVIEW, WHO) == [instance_id]
    assert fate(spool)[-1] == (PREVIEW, "queued", "received")
    assert spool.operating.offer(PREVIEW, Filter(), 0.0, WHO) == 0
    assert spool.operating.offer_these([instance_id], PREVIEW, WHO) == []


@pytest.mark.parametrize("added", [PACS, PREVIEW])
def test_what_a_person_added_is_sent_whole_after_the_database_is_lost(
    spool: Spool, tmp_path: Path, clock: FakeClock, added: str
) -> None:
    instance_id = arrive(spool)
    decided(spool)
    assert spool.operating.offer_these([instance_id], added, WHO) == [instance_id]
    rebuilt = without_database(spool, tmp_path, clock)
    decided(rebuilt)
    assert (added, "queued", "received") in fate(rebuilt)
    rebuilt.close()


def test_who_sends_the_lossy_one_again_gets_the_lossy_one(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    instance_id = arrive(spool)
    decided(spool)
    spool.deciding.cancel(instance_id, WHO, destination=PREVIEW)
    spool.deciding.resend(instance_id, WHO, destination=PREVIEW)
    assert spool.deciding.come_into_force(instance_id) == []
    assert fate(spool) == [(PREVIEW, "cancelled", "lossy"), (PREVIEW, "queued", "lossy")]
    rebuilt = without_database(spool, tmp_path, clock)
    decided(rebuilt)
    assert fate(rebuilt) == [(PREVIEW, "queued", "lossy")]
    rebuilt.close()


def test_a_lossy_file_without_its_source_waits_for_a_person(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    arrive(spool)
    instance = decided(spool)
    instance.received.blob.path.unlink()
    rebuilt = without_database(spool, tmp_path, clock)
    (found,) = rebuilt.counting.find(Filter())
    assert (found["state"], found["reason"]) == ("held", "damaged")
    assert "lossy" in found["detail"]
    assert rebuilt.preparing.claim() is None
    rebuilt.close()
