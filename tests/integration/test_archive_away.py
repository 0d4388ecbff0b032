"""An archive that is away costs time: not the modality's, and not another archive's."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said
from tests.fakes.objects import several
from tests.fakes.scripted_archive import Fault, ScriptedArchive

FILES = 5
#: storescu alone takes about 0.1 s for them; it never waits for an archive.
STORE_MOST_S = 3.0
#: What the archive does, and what `status` then names as the reason.
FAULTS: dict[str | int | Fault, set[str]] = {
    "refuses the connection": {"connection-refused"},
    "is a black hole": {"connect-timeout"},
    Fault.SILENT: {"timeout"},
    Fault.HANG: {"timeout"},
    Fault.REJECT: {"rejected"},
    Fault.ABORT_IN: {"aborted", "closed"},
    Fault.ABORT_AFTER: {"aborted"},
    0xA700: {"busy"},
    0x0213: {"busy"},
}


@dataclass
class Away:
    """A port behind which an archive is away, and how it comes back."""

    port: int
    come_back: Callable[[], ScriptedArchive]


@pytest.fixture
def away(
    make_archive: Callable[..., ScriptedArchive], free_port: Callable[[], int], ending: ExitStack
) -> Callable[[str | int | Fault], Away]:
    """Return a function from a fault to an archive that has it."""

    def make(fault: str | int | Fault) -> Away:
        if fault == "refuses the connection":
            port = free_port()
            return Away(port, lambda: make_archive(None, port))
        if fault == "is a black hole":
            return black_hole(make_archive, ending)
        assert not isinstance(fault, str)
        peer = make_archive()
        peer.standing = fault

        def come_back() -> ScriptedArchive:
            peer.standing = 0
            return peer

        return Away(peer.port, come_back)

    return make


def black_hole(make_archive: Callable[..., ScriptedArchive], ending: ExitStack) -> Away:
    """Return a port where a SYN is not answered: its queue is full (man 2 listen)."""
    door = ending.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    port = door.getsockname()[1]
    for _ in range(3):
        caller = ending.enter_context(socket.socket())
        caller.setblocking(False)
        caller.connect_ex(("127.0.0.1", port))

    def come_back() -> ScriptedArchive:
        door.close()
        return make_archive(None, port)

    return Away(port, come_back)


def title(fault: str | int | Fault) -> str:
    if isinstance(fault, int):
        return f"answers {fault:04X}"
    return fault if isinstance(fault, str) else fault.value


@pytest.mark.parametrize("fault", FAULTS, ids=title)
def test_the_modality_and_the_other_archive_notice_nothing_of_an_archive_that(
    fault: str | int | Fault,
    away: Callable[[str | int | Fault], Away],
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    gone, other = away(fault), make_archive()
    here = [archive(gone.port, answer_s=1), archive(other.port, "other")]
    gateway = make_gateway(destination=here)
    running = gateway.start()
    files = several(sample("CT_small.dcm"), tmp_path / "sent", FILES)
    said = store(gateway.port, files)
    assert said.acknowledged == tuple(files)
    assert said.took_s < STORE_MOST_S
    other.wait_for(lambda: len(other.took) == FILES)
    running.wait_for("forward@other sent", FILES)
    running.wait_for("forward@archive (away|deferred)")
    says_why(gateway, FAULTS[fault])
    back = gone.come_back()
    running.wait_for("forward@archive sent", FILES)
    assert {one.data for one in back.took} == {one.data for one in other.took}


def says_why(gateway: Gateway, codes: set[str]) -> None:
    """Assert that `status` and `queue` name the reason and the next try."""
    status = gateway.status()
    assert status["deliveries"]["archive"]["queued"] == FILES
    assert status["deliveries"]["other"]["sent"] == FILES
    seen = status["destinations"]["archive"]
    assert seen["last_error"]["code"] in codes
    assert seen["last_error"]["text"]
    assert seen["next_try_s"] >= 0
    assert status["destinations"]["other"]["breaker"] == "closed"
    assert f"[{seen['last_error']['code']}]" in gateway.verb("status").stdout


def test_a_refusing_archive_holds_its_deliveries_and_the_other_goes_on(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    refusing, other = make_archive(), make_archive()
    refusing.standing = 0xC000
    gateway = make_gateway(destination=[archive(refusing.port), archive(other.port, "other")])
    running = gateway.start()
    files = several(sample("CT_small.dcm"), tmp_path / "sent", FILES)
    assert store(gateway.port, files).took_s < STORE_MOST_S
    running.wait_for("forward@other sent", FILES)
    running.wait_for("forward@archive held", FILES)
    assert {one["state"] for one in gateway.deliveries().values()} == {"held"}
    refusing.standing = 0
    uids = list(gateway.deliveries())
    assert gateway.verb("queue", "retry", *uids).returncode == 0
    running.wait_for("forward@archive sent", FILES)
    assert len(other.took) == FILES


def test_status_tells_of_an_archive_that_is_away_while_nothing_runs(
    make_gateway: Callable[..., Gateway],
    free_port: Callable[[], int],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
) -> None:
    gateway = make_gateway(destination=[archive(free_port(), probe_most_s=600)])
    running = gateway.start()
    store(gateway.port, [sample("CT_small.dcm")])
    running.wait_for("forward@archive away")
    running.kill()
    seen = gateway.status()
    assert seen["running"] == []
    assert seen["destinations"]["archive"]["last_error"]["code"] == "connection-refused"
