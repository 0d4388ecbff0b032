"""Bad input gets the standard's answer and one line in the log; what was kept stays as it was."""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway, archive
from tests.fakes.data_sets import element
from tests.fakes.modality import Modality, answer_to, connected
from tests.fakes.objects import fragmented, new_uid, small
from tests.fakes.running import Running
from tests.fakes.scripted_archive import ScriptedArchive

INVALID_SOP_INSTANCE, CANNOT_UNDERSTAND = 0x0117, 0xC000
ENDLESS = 0xFFFFFFFF
REQUEST_S = 1

REQUEST = ul.request([(ul.US_IMAGE, [ul.EXPLICIT])], calling=b"US1", called=b"EDGE")
GARBAGE = {
    "a request of the web": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "zeros": bytes(4096),
    "all bytes": bytes(range(256)) * 16,
    "a PDU of no known type": ul.pdu(0x7F, b"what"),
    "data before an association": ul.p_data(1, 3, ul.store_command(ul.US_IMAGE, "2.25.7")),
    "a request of 4 GiB": ul.pdu(ul.REQUEST, b"", ENDLESS),
    "a request whose items run over its end": REQUEST[:2]
    + struct.pack(">I", len(REQUEST) - 6 - 9)
    + REQUEST[6:-9],
}
#: UIDs of the command that name no instance (PS3.5 9.1).
WRONG_UIDS = {
    "missing": "",
    "of 65 characters": "1." + "2" * 63,
    "of 300 characters": "1." + "2" * 298,
    "a path": "../../escaped",
    "with letters": "1.2.a",
    "with a new line": "1.2\nFORGED-LINE",
    "with an escape sequence": "1.2.\x1b[31m",
    "with bytes beyond ASCII": "1.2.\xe9\xff",
}


@dataclass
class Victim:
    """A running gateway that keeps one object already."""

    gateway: Gateway
    running: Running
    facts: list[tuple[str, int, int, bytes]]

    def store(self, uid: str, data: bytes, **more: object) -> int:
        with Modality(self.gateway.port, **more) as modality:  # type: ignore[arg-type]
            status = modality.store(ul.US_IMAGE, uid, data)
            modality.release()
        return status

    def logged(self, pattern: str, count: int = 1) -> list[str]:
        """Return the lines that match, after as many have come; no more may follow."""
        return self.running.wait_for(pattern, count)

    def keeps_nothing_more(self) -> None:
        assert len(self.gateway.queue()) == len(self.facts)
        assert not list(self.gateway.state_dir.glob("spool/incoming/*"))


@pytest.fixture
def victim(make_gateway: Callable[..., Gateway]) -> Iterator[Victim]:
    """Ends by asserting that what it kept before is as it was, and that its log is clean."""
    gateway = make_gateway(receive={"request_s": REQUEST_S}, destination=[archive(1)])
    running = gateway.start("receive", "prepare")
    made = Victim(gateway, running, [])
    uid = new_uid()
    assert made.store(uid, small(uid)) == 0
    running.wait_for("prepare ready")
    made.facts = blobs(gateway)[:1]
    yield made
    assert set(made.facts) <= set(blobs(gateway))
    assert gateway.queue()[0]["state"] == "ready"
    spool = gateway.check()["spool"]
    assert (spool["integrity"], spool["blobs_without_row"]) == ("ok", [])
    running.ask_to_end()
    assert running.wait(30) == 0
    assert not running.found("^FORGED-LINE")
    assert all(line.isprintable() for line in running.lines)
    assert not running.found("SECRET-ID")


def blobs(gateway: Gateway) -> list[tuple[str, int, int, bytes]]:
    """Return name, inode, time of change and content of every file that is kept."""
    found = []
    for path in sorted(gateway.state_dir.glob("spool/blobs/*/*")):
        facts = path.stat()
        found.append((path.name, facts.st_ino, facts.st_mtime_ns, path.read_bytes()))
    return found


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_on_the_port_is_aborted_in_one_line(victim: Victim, what: str) -> None:
    assert answer_to(victim.gateway.port, GARBAGE[what]) == ul.ABORT
    (line,) = victim.logged("ended .*how=broken")
    assert "WARNING" in line
    victim.keeps_nothing_more()


@pytest.mark.parametrize("cut", [1, 6, 40, len(REQUEST) - 1])
def test_a_caller_that_hangs_up_in_its_request_is_forgotten(victim: Victim, cut: int) -> None:
    with connected(victim.gateway.port) as peer:
        peer.sendall(REQUEST[:cut])
    assert len(victim.logged("ended .*how=closed")) == 1
    victim.keeps_nothing_more()


def test_a_caller_that_stops_in_its_request_is_aborted_in_time(victim: Victim) -> None:
    with connected(victim.gateway.port) as peer:
        peer.sendall(REQUEST[:40])
        assert ul.read_pdu(peer)[0] == ul.ABORT
    assert len(victim.logged("ended .*how=timeout")) == 1


@pytest.mark.parametrize("ends", ["abort", "hang up", "release"])
def test_an_object_that_stops_half_way_leaves_nothing(victim: Victim, ends: str) -> None:
    uid = new_uid()
    with Modality(victim.gateway.port) as modality:
        modality.begin(ul.US_IMAGE, uid)
        modality.socket.sendall(ul.p_data(1, 0, small(uid)))
        if ends == "abort":
            modality.abort()
        elif ends == "release":
            modality.socket.sendall(ul.pdu(ul.RELEASE, bytes(4)))
            ul.read_pdu(modality.socket)
    victim.logged("receive ended", 2)
    victim.keeps_nothing_more()


@pytest.mark.parametrize("uid", WRONG_UIDS)
def test_a_wrong_instance_uid_in_the_command_is_refused(victim: Victim, uid: str) -> None:
    assert victim.store(WRONG_UIDS[uid], small("2.25.7")) == INVALID_SOP_INSTANCE
    (line,) = victim.logged("receive refused")
    assert "status=0117" in line
    victim.keeps_nothing_more()


def test_an_empty_data_set_is_refused(victim: Victim) -> None:
    assert victim.store(new_uid(), b"") == CANNOT_UNDERSTAND
    assert len(victim.logged("receive refused .*status=C000")) == 1
    victim.keeps_nothing_more()


def test_a_longer_pdu_than_agreed_is_aborted(victim: Victim) -> None:
    with Modality(victim.gateway.port) as modality:
        modality.begin(ul.US_IMAGE, new_uid())
        modality.socket.sendall(ul.pdu(ul.DATA, b"", ENDLESS))
        assert ul.read_pdu(modality.socket)[0] == ul.ABORT
    assert len(victim.logged("ended .*how=broken")) == 1
    victim.keeps_nothing_more()


def unsound() -> dict[str, bytes]:
    """Return data sets that do not end exactly at their last byte."""
    whole = small("2.25.8")
    private = element(0x00091001, "UN", b"short", length=0x7FFFFFF0)
    return {
        "cut by one byte": whole[:-1],
        "cut in a header": whole[: len(small("2.25.8", body=b"\0")) + 3],
        "with bytes behind its end": whole + b"\xe0\x7f\x10",
        "with a length beyond its end": small("2.25.8", body=private),
        "without the sequence delimiter": small("2.25.8", body=fragmented(b"ab")[:-8]),
        "garbage": bytes(range(256)) * 8,
    }


@pytest.mark.parametrize("how", unsound())
def test_a_data_set_that_does_not_end_exactly_is_kept_and_held(victim: Victim, how: str) -> None:
    data = unsound()[how]
    assert victim.store("2.25.8", data) == 0
    assert len(victim.logged("ERROR prepare held .*code=structure")) == 1
    held = victim.gateway.queue()[1]
    assert (held["state"], held["reason"]["code"]) == ("held", "structure")
    assert victim.gateway.data_set(held) == data


@pytest.mark.parametrize(
    ("own", "code"),
    [
        ("", "no-sop-instance-uid"),
        ("2.25.9", "uid-mismatch"),
        ("1." + "2" * 63, "uid-mismatch"),
        ("../../escaped", "uid-mismatch"),
    ],
)
def test_an_object_whose_own_uid_is_wrong_is_kept_and_held(
    victim: Victim, own: str, code: str
) -> None:
    data = small(own)
    assert victim.store("2.25.8", data) == 0
    victim.logged(f"prepare held .*code={code}")
    held = victim.gateway.queue()[1]
    assert (held["state"], held["reason"]["code"]) == ("held", code)
    assert victim.gateway.data_set(held) == data


def test_the_same_uid_with_other_bytes_is_kept_as_well_and_held(victim: Victim) -> None:
    (first,) = victim.gateway.queue()
    uid = first["sop_instance_uid"]
    other = small(uid, pixels=bytes(256))
    assert victim.store(uid, other) == 0
    victim.logged("prepare held .*code=conflict")
    kept, held = victim.gateway.queue()
    assert kept["state"] == "ready"
    assert (held["state"], held["reason"]["code"]) == ("held", "conflict")
    assert victim.gateway.data_set(held) == other
    assert victim.gateway.data_set(kept) == small(uid)


def test_the_same_bytes_ten_times_are_one_instance_and_one_delivery(
    make_gateway: Callable[..., Gateway], make_archive: Callable[..., ScriptedArchive]
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port)])
    running = gateway.start()
    uid = new_uid()
    for _ in range(10):
        with Modality(gateway.port) as modality:
            assert modality.store(ul.US_IMAGE, uid, small(uid)) == 0
    running.wait_for("prepare merged", 9)
    running.wait_for("forward@archive sent")
    counts = gateway.status()["instances"]
    assert (counts["ready"], counts["merged"]) == (1, 9)
    assert len(peer.took) == 1
    received = [one for one in blobs(gateway) if small(uid) in one[3]]
    assert len(received) == 1


def test_a_hostile_title_and_uid_never_start_a_line_of_their_own(victim: Victim) -> None:
    titles = {"calling": b"A\nFORGED-LINE", "called": b"\x1b[2J\x07"}
    assert victim.store("1.2\r\nFORGED-LINE", small("2.25.7"), **titles) == INVALID_SOP_INSTANCE
    shown = "\n".join(victim.logged("receive (refused|associated)", 3))
    assert r"A\nFORGED-LINE" in shown
    assert re.search(r"\\x1b\[2J\\x07", shown)


def test_nothing_leaves_the_state_folder(victim: Victim, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    for uid in WRONG_UIDS.values():
        victim.store(uid, small("../../escaped"))
    victim.store("2.25.8", small("../../escaped"))
    victim.logged("prepare held")
    assert set(tmp_path.iterdir()) == before
    assert not list(tmp_path.rglob("*escaped*"))
