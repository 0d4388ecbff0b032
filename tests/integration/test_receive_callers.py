"""Who may call, and what a caller is told."""

from collections.abc import Callable

import pytest

from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway
from tests.fakes.dcmtk import Said
from tests.fakes.modality import Modality, Refused, connected
from tests.fakes.objects import new_uid, small

CALLED_NOT_RECOGNIZED, CALLING_NOT_RECOGNIZED, LOCAL_LIMIT = (1, 1, 7), (1, 1, 3), (2, 3, 2)
ODD_TITLES = {
    b"us room 3": "ae:us room 3",
    b"lower": "ae:lower",
    b"                ": "ae:",
    b"": "ae:",
    "超声科".encode("gb18030"): r"ae:\xb3\xac\xc9\xf9\xbf\xc6",
    b"A\nFORGED-LINE": "ae:A\nFORGED-LINE",
    b"\x1b[2Jescape": "ae:\x1b[2Jescape",
}


def sent_by(port: int, **titles: bytes) -> int:
    uid = new_uid()
    with Modality(port, **titles) as modality:  # type: ignore[arg-type]
        status = modality.store(ul.US_IMAGE, uid, small(uid))
        modality.release()
    return status


def test_an_echo_is_answered(
    make_gateway: Callable[..., Gateway], echo: Callable[..., Said]
) -> None:
    gateway = make_gateway()
    gateway.start("receive")
    said = echo(gateway.port)
    assert said.code == 0
    assert "Received Echo Response (Success)" in said.text


def test_odd_ae_titles_are_tolerated_and_shown_as_one_line(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway()
    running = gateway.start("receive")
    for title in ODD_TITLES:
        assert sent_by(gateway.port, calling=title, called=title) == 0
    assert [one["door"] for one in gateway.queue()] == list(ODD_TITLES.values())
    assert len(running.wait_for("receive ended", len(ODD_TITLES))) == len(ODD_TITLES)
    assert not running.found("^FORGED-LINE")
    for text in ("\n".join(running.lines), gateway.verb("queue", "list").stdout):
        assert text.replace("\n", "").isprintable()


def test_any_called_title_is_taken_unless_the_configuration_asks_for_its_own(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway(receive={"called_ae_title": "own"})
    gateway.start("receive")
    assert sent_by(gateway.port, called=b"EDGE") == 0
    with pytest.raises(Refused) as refused:
        sent_by(gateway.port, called=b"OTHER")
    assert refused.value.args == CALLED_NOT_RECOGNIZED


def test_only_listed_callers_are_taken_when_the_configuration_says_so(
    make_gateway: Callable[..., Gateway],
) -> None:
    sources = [
        {"name": "one", "ae_title": "US1"},
        {"name": "room-2", "address": "127.0.0.2"},
        {"name": "both", "ae_title": "US3", "address": "127.0.0.3"},
    ]
    gateway = make_gateway(receive={"callers": "listed"}, source=sources)
    gateway.start("receive")
    with Modality(gateway.port, calling=b"US1"):
        pass
    with Modality(gateway.port, calling=b"ANY", source="127.0.0.2"):
        pass
    with Modality(gateway.port, calling=b"US3", source="127.0.0.3"):
        pass
    for title, address in ((b"US3", "127.0.0.1"), (b"ANY", "127.0.0.3"), (b"", "127.0.0.1")):
        with pytest.raises(Refused) as refused:
            Modality(gateway.port, calling=title, source=address)
        assert refused.value.args == CALLING_NOT_RECOGNIZED


def test_a_class_that_is_not_the_contexts_is_refused_and_nothing_is_kept(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway()
    gateway.start("receive")
    uid, other = new_uid(), "1.2.840.10008.5.1.4.1.1.2"
    with Modality(gateway.port) as modality:
        assert modality.store(other, uid, small(uid, other)) == 0x0122
        assert modality.store(ul.VERIFICATION, uid, small(uid)) == 0x0122
        assert modality.store(ul.US_IMAGE, uid, small(uid)) == 0
    assert len(gateway.queue()) == 1
    assert len(list(gateway.state_dir.glob("spool/blobs/*/*"))) == 1
    assert not list(gateway.state_dir.glob("spool/incoming/*"))


def test_an_address_gets_no_more_associations_than_allowed_and_others_still_get_theirs(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway(receive={"max_associations_per_address": 2})
    running = gateway.start("receive")
    first, second = Modality(gateway.port), Modality(gateway.port)
    with pytest.raises(Refused) as refused:
        Modality(gateway.port)
    assert refused.value.args == LOCAL_LIMIT
    Modality(gateway.port, source="127.0.0.2").release()
    first.release()
    running.wait_for("ended .*how=released", 2)
    Modality(gateway.port).release()
    second.release()


def test_silent_connections_take_no_seat(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway(receive={"max_associations_per_address": 2, "max_associations": 3})
    gateway.start("receive")
    silent = [connected(gateway.port) for _ in range(20)]
    assert sent_by(gateway.port) == 0
    for one in silent:
        one.close()
