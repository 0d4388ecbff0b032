"""ladder: an archive gets another form of the same image, and never another image."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.prepare.ladder import Ladder
from spool.errors import Hold
from spool.model import Decision, Delivery, Rendition, Role
from spool.store import Spool
from tests.fakes.objects import small
from tests.fakes.spools import SOP_CLASS, arrival, arrive, claimed, claimed_delivery, opened

EXPLICIT, IMPLICIT, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.91"


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=1 << 30, cpu_s=10, frame_bytes_most=1 << 20)
    yield found
    found.close()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path)
    yield found
    found.close()


def delivery_of(spool: Spool, role: Role, uid: str, data: bytes) -> Delivery:
    """Return a delivery, under a claim, of a rendition in this role made of what came."""
    arrive(spool, small("1.2.3"), arrival(uid="1.2.3"))
    instance = claimed(spool)
    about = {
        "role": role,
        "sop_class_uid": SOP_CLASS,
        "sop_instance_uid": uid,
        "transfer_syntax_uid": J2K if role is Role.LOSSY else EXPLICIT,
    }
    incoming = spool.blobs.begin(about)
    incoming.write(data)
    made = Rendition(
        role,
        uid,
        SOP_CLASS,
        about["transfer_syntax_uid"],
        incoming.keep(),
        made_from=instance.received.id,
        proved=True,
    )
    spool.preparing.ready(
        instance, Decision("1.2", "1.3", renditions=(made,), deliveries=(("central", 0),))
    )
    return claimed_delivery(spool)


def test_what_we_made_lossy_falls_back_to_what_came(spool: Spool, codec: Codec) -> None:
    delivery = delivery_of(spool, Role.LOSSY, "1.2.4", b"a codestream")
    found = Ladder(spool, codec).next_rung(delivery, {EXPLICIT})
    assert (found.rendition.role, found.rendition.sop_instance_uid) == (Role.RECEIVED, "1.2.3")


def test_nothing_falls_back_to_what_lost_pixels(spool: Spool, codec: Codec) -> None:
    delivery = delivery_of(spool, Role.LOSSY, "1.2.4", b"a codestream")
    received = next(
        one for one in spool.delivering.renditions(delivery) if one.role is Role.RECEIVED
    )
    with pytest.raises(Hold) as held:
        Ladder(spool, codec).next_rung(replace(delivery, rendition=received), {J2K})
    assert held.value.code == "no-syntax-in-common"


def test_what_a_person_corrected_never_falls_back_to_what_came(spool: Spool, codec: Codec) -> None:
    delivery = delivery_of(spool, Role.CORRECTED, "1.2.3", small("1.2.3", side=8))
    found = Ladder(spool, codec).next_rung(delivery, {IMPLICIT})
    assert (found.rendition.role, found.rendition.transfer_syntax_uid) == (Role.FALLBACK, IMPLICIT)
    assert found.rendition.made_from == delivery.rendition.id
    again = Ladder(spool, codec).next_rung(delivery, {IMPLICIT})
    assert again.rendition.id == found.rendition.id  # made once


def test_a_rendition_is_made_once_for_all_that_need_it(spool: Spool, codec: Codec) -> None:
    arrive(spool, small("1.2.3"), arrival(uid="1.2.3"))
    both = (("central", -1), ("second", -1))
    spool.preparing.ready(claimed(spool), Decision("1.2", "1.3", deliveries=both))
    first = Ladder(spool, codec).next_rung(claimed_delivery(spool), {IMPLICIT})
    second = Ladder(spool, codec).next_rung(claimed_delivery(spool, "second"), {IMPLICIT})
    assert first.rendition.id == second.rendition.id != 0
    assert not spool.orphans()
