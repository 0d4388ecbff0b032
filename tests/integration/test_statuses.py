"""What each answer of an archive does to the delivery, and that a retry sends the same bytes.

References: PS3.4 B.2.3, PS3.7 annex C.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, several, small
from tests.fakes.scripted_archive import Fault, ScriptedArchive

#: The archive has it; a warning is recorded.
SENT = [0x0000, 0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB006, 0xB007, 0xBFFF]
#: This object is refused: held after three tries.
REFUSED = [
    *(0x0105, 0x0106, 0x0110, 0x0112, 0x0113, 0x0114, 0x0115, 0x0117, 0x0118, 0x0119, 0x0120),
    *(0x0121, 0x0122, 0x0123, 0x0124, 0x0210, 0x0211, 0x0212, 0xA900, 0xA9FF, 0xC000, 0xCFFF),
]
#: The archive as a whole cannot now: waits, however often.
BUSY = [0x0213, 0xA700, 0xA701, 0xA7FF, 0xFE00]
#: In no table: held at once.
UNKNOWN = [0x1234, 0xA800, 0xFFFF]
TRIES = 3


def store_each(port: int, statuses: list[int], peer: ScriptedArchive) -> dict[str, int]:
    """Store one object for each status, and let the archive answer it so."""
    wanted = {new_uid(): status for status in statuses}
    peer.statuses |= wanted
    with Modality(port) as modality:
        for uid in wanted:
            assert modality.store(ul.US_IMAGE, uid, small(uid)) == 0
        modality.release()
    return wanted


def test_each_status_that_is_final_ends_the_delivery_as_the_standard_means_it(
    make_gateway: Callable[..., Gateway], make_archive: Callable[..., ScriptedArchive]
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port)])
    running = gateway.start()
    wanted = store_each(gateway.port, SENT + REFUSED + UNKNOWN, peer)
    running.wait_for("forward@archive sent", len(SENT))
    running.wait_for("forward@archive held", len(REFUSED + UNKNOWN))
    found = gateway.deliveries()
    for uid, status in wanted.items():
        delivery, tries = found[uid], len(peer.bytes_of(uid))
        if status in SENT:
            assert (delivery["state"], tries) == ("sent", 1), f"{status:04X}"
            assert delivery["warning"].startswith(f"status-{status:04X}") or status == 0
        else:
            assert delivery["state"] == "held", f"{status:04X}"
            assert delivery["error"]["code"] == f"status-{status:04X}"
            assert tries == (TRIES if status in REFUSED else 1), f"{status:04X}"
    assert gateway.status()["destinations"]["archive"]["breaker"] == "closed"


@pytest.mark.parametrize("status", BUSY, ids=lambda status: f"{status:04X}")
def test_a_busy_archive_is_waited_for_and_then_gets_the_same_bytes(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    status: int,
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port)])
    running = gateway.start()
    ((uid, _),) = store_each(gateway.port, [status], peer).items()
    peer.wait_for(lambda: len(peer.bytes_of(uid)) > TRIES + 1)
    (delivery,) = gateway.deliveries().values()
    assert delivery["state"] == "queued"
    assert delivery["error"]["code"] == f"status-{status:04X}"
    peer.statuses.clear()
    running.wait_for("forward@archive sent")
    assert len(set(peer.bytes_of(uid))) == 1


def test_every_try_sends_the_same_bytes_whatever_the_archive_did_before(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    peer = make_archive()
    peer.turns.extend([Fault.ABORT_AFTER, 0xC001, Fault.ABORT_IN, Fault.ABORT_AFTER, 0xA700, 0])
    gateway = make_gateway(destination=[archive(peer.port)])
    running = gateway.start()
    files = several(sample("examples_rgb_color.dcm"), tmp_path / "sent", 1)
    assert store(gateway.port, files).acknowledged == tuple(files)
    running.wait_for("forward@archive sent")
    (instance,) = gateway.queue()
    came = peer.bytes_of(instance["sop_instance_uid"])
    assert came == [gateway.data_set(instance, "compressed")] * 5
    assert {one.transfer_syntax_uid for one in peer.took} == {ul.JPEG_2000_LOSSLESS}


def test_a_retry_after_a_restart_sends_the_same_bytes(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    peer = make_archive({ul.EXPLICIT, ul.IMPLICIT})
    peer.standing = Fault.HANG
    gateway = make_gateway(destination=[archive(peer.port, answer_s=60)])
    running = gateway.start()
    files = several(sample("SC_rgb_rle.dcm"), tmp_path / "sent", 1)
    assert store(gateway.port, files, "-xr").acknowledged == tuple(files)
    peer.wait_for(lambda: len(peer.took) == 1)
    running.kill()
    peer.standing = 0
    gateway.start().wait_for("forward@archive sent")
    first, second = peer.took
    assert first.data == second.data
    assert first.transfer_syntax_uid == second.transfer_syntax_uid == ul.EXPLICIT
