"""What was made once is used again: the same bytes go, and no second round is opened."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.config.model import Compress, Destination, Settings
from gateway.filing import file_in
from gateway.prepare import packing
from gateway.stages.prepare import Prepare
from spool.model import Role
from spool.store import Spool
from tests.fakes.spools import (
    FakeClock,
    claimed_delivery,
    confirm,
    delivery_states,
    opened,
    state_of,
)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path, FakeClock())
    yield found
    found.close()


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=1 << 30, cpu_s=10, frame_bytes_most=1 << 20)
    yield found
    found.close()


@pytest.fixture
def stage(spool: Spool, codec: Codec) -> Callable[..., Prepare]:
    def make(*names: str, compression: str = "jpeg2000-lossless") -> Prepare:
        settings = Settings(
            compress=Compress(transfer_syntax=compression, workers=1),
            destination=tuple(
                Destination(name=name, host="127.0.0.1", port=1, ae_title="A") for name in names
            ),
        )
        return Prepare(settings, spool, codec, "")

    return make


@pytest.fixture
def instance_id(spool: Spool, sample: Callable[[str], Path]) -> int:
    found = file_in(spool, sample("CT_small.dcm"), "import").instance_id
    assert found
    return found


def renditions(spool: Spool, instance_id: int) -> list[tuple[str, str]]:
    (found,) = spool.counting.show(str(instance_id))
    return [(one["role"], one["blob"]) for one in found["renditions"]]


def drop_received(spool: Spool, instance_id: int) -> None:
    """As a full disk makes it: retire trims what a proved rendition gives back."""
    assert spool.retiring.trim() == 1
    assert not spool.blobs.path(renditions(spool, instance_id)[0][1]).exists()


def looked_at_again(spool: Spool) -> None:
    """As a person's release makes it."""
    for state in ("held", "received"):
        move = f"UPDATE instance SET state = '{state}'"
        spool.database.write(lambda db, move=move: db.execute(move))


def brought_back(spool: Spool, instance_id: int) -> None:
    spool.deciding.withdraw(instance_id, "person:ann")
    spool.deciding.restore(instance_id, "person:ann")


def test_a_restored_instance_sends_the_rendition_that_was_made_before(
    spool: Spool, stage: Callable[..., Prepare], instance_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage("central").turn()
    before = renditions(spool, instance_id)
    brought_back(spool, instance_id)
    with monkeypatch.context() as patched:
        patched.setattr(packing, "compress", None)
        stage("central").turn()
    assert state_of(spool, instance_id) == "ready"
    assert renditions(spool, instance_id) == before
    assert delivery_states(spool, instance_id) == ["cancelled", "queued"]
    assert claimed_delivery(spool).rendition.role is Role.COMPRESSED


def test_what_was_made_before_and_has_rotted_is_made_anew(
    spool: Spool, stage: Callable[..., Prepare], instance_id: int
) -> None:
    stage("central").turn()
    path = spool.blobs.path(renditions(spool, instance_id)[1][1])
    path.write_bytes(path.read_bytes()[:-4])
    brought_back(spool, instance_id)
    stage("central").turn()
    assert [role for role, _ in renditions(spool, instance_id)] == [
        "received",
        "compressed",
        "compressed",
    ]
    assert claimed_delivery(spool).rendition.id == 3


def test_a_rendition_found_again_at_the_start_is_not_made_twice(
    spool: Spool,
    stage: Callable[..., Prepare],
    instance_id: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare = stage("central")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(spool.preparing, "ready", killed)
        prepare.turn()
    assert len(spool.orphans()) == 1
    spool.preparing.end_leases()
    spool.repair.reconcile([])
    before = renditions(spool, instance_id)
    assert [role for role, _ in before] == ["received", "compressed"]
    prepare.turn()
    assert renditions(spool, instance_id) == before
    assert claimed_delivery(spool).rendition.blob.name == before[1][1]


@pytest.mark.parametrize("compression", ["jpeg2000-lossless", "none"])
def test_once_the_received_bytes_are_dropped_it_works_from_the_compressed_ones(
    spool: Spool, stage: Callable[..., Prepare], instance_id: int, compression: str
) -> None:
    stage("central").turn()
    drop_received(spool, instance_id)
    brought_back(spool, instance_id)
    stage("central", compression=compression).turn()
    assert state_of(spool, instance_id) == "ready"
    delivery = claimed_delivery(spool)
    assert delivery.rendition.role is Role.COMPRESSED
    assert [one.role for one in spool.delivering.renditions(delivery)] == [Role.COMPRESSED]


def test_a_destination_that_has_one_gets_no_second_round(
    spool: Spool, stage: Callable[..., Prepare], instance_id: int
) -> None:
    stage("central", "second", "third").turn()
    spool.delivering.sent(claimed_delivery(spool, "central"))
    confirmed = claimed_delivery(spool, "second")
    spool.delivering.sent(confirmed)
    confirm(spool, confirmed.id)
    brought_back(spool, instance_id)  # cancels what was queued for the third
    stage("central", "second", "third", "fourth").turn()
    (found,) = spool.counting.show(str(instance_id))
    assert [(one["destination"], one["round"], one["state"]) for one in found["deliveries"]] == [
        ("central", 1, "sent"),
        ("second", 1, "confirmed"),
        ("third", 1, "cancelled"),
        ("third", 2, "queued"),
        ("fourth", 1, "queued"),
    ]


def test_a_delivery_that_is_on_its_way_is_not_doubled_by_a_second_look(
    spool: Spool, stage: Callable[..., Prepare], instance_id: int
) -> None:
    stage("central").turn()
    looked_at_again(spool)
    stage("central").turn()
    assert delivery_states(spool, instance_id) == ["queued"]


def test_what_a_person_cancelled_is_not_written_down_twice(
    spool: Spool, stage: Callable[..., Prepare], instance_id: int
) -> None:
    stage("central").turn()
    spool.deciding.cancel(instance_id, "person:ann", destination="central")
    looked_at_again(spool)
    stage("central").turn()
    assert delivery_states(spool, instance_id) == ["cancelled"]


def test_a_resend_of_what_was_trimmed_is_kept_once(
    spool: Spool,
    stage: Callable[..., Prepare],
    instance_id: int,
    sample: Callable[[str], Path],
) -> None:
    stage("central").turn()
    drop_received(spool, instance_id)
    again = file_in(spool, sample("CT_small.dcm"), "import").instance_id
    assert again
    stage("central").turn()
    assert state_of(spool, again) == "merged"
    assert len(list(spool.blobs.names())) == 1
