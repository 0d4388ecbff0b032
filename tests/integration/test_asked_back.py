"""An object that was asked back goes into a scratch file; whatever else comes is an arrival."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from spool.store import Spool
from tests.fakes import upper_layer as ul
from tests.fakes.objects import new_uid, small
from tests.fakes.port import Port
from tests.fakes.spools import opened


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return opened(tmp_path)


@pytest.fixture
def port(spool: Spool, ending: ExitStack) -> Port:
    one = Port(spool)
    ending.callback(one.close)
    return one


def send(port: Port, uid: str, originator: str = "", cut: int = 0, asked_by: int = 7) -> int:
    """Store an object; return the status, -1 where it was cut off before its end.

    `originator` and `asked_by` are title and message id of who asked for it by C-MOVE.
    """
    data = small(uid, side=200)
    with socket.create_connection(("127.0.0.1", port.port), 20) as peer:
        peer.sendall(ul.request([(ul.US_IMAGE, [ul.EXPLICIT])], calling=b"ARCHIVE", called=b"EDGE"))
        assert ul.read_pdu(peer)[0] == ul.ACCEPT
        body: dict[int, int | str] = {2: ul.US_IMAGE, 0x100: ul.C_STORE, 0x110: 1, 0x700: 0}
        body |= {0x800: 0, 0x1000: uid}
        body |= {0x1030: originator.ljust(16), 0x1031: asked_by} if originator else {}
        peer.sendall(ul.p_data(1, ul.COMMAND | ul.LAST, ul.command(body)))
        for number, part in enumerate(ul.fragments(1, data)):
            if cut and number == cut:
                return -1
            peer.sendall(part)
        _, answer = ul.read_pdu(peer)
        return int.from_bytes(ul.command_of(answer[6:])[0x900], "little")


def received(spool: Spool) -> int:
    return spool.counting.instances()["received"]


def test_what_is_expected_goes_into_a_file_and_not_into_the_queue(spool: Spool, port: Port) -> None:
    uid = new_uid()
    spool.readbacks.expect("archive", uid)
    assert send(port, uid, "EDGE") == 0
    came = spool.readbacks.take(uid)
    assert came
    assert came.path.read_bytes() == small(uid, side=200)
    assert (came.dataset_offset, came.transfer_syntax_uid) == (0, ul.EXPLICIT)
    assert came.dataset_bytes == came.path.stat().st_size
    assert received(spool) == 0


def test_whoever_sends_what_nobody_expects_brings_an_arrival(spool: Spool, port: Port) -> None:
    assert send(port, new_uid(), "EDGE") == 0
    assert received(spool) == 1


def test_an_expected_uid_without_us_as_originator_is_an_arrival(spool: Spool, port: Port) -> None:
    uid = new_uid()
    spool.readbacks.expect("archive", uid)
    assert send(port, uid) == 0
    assert send(port, uid, "ANOTHER") == 0
    assert received(spool) == 2
    assert spool.readbacks.take(uid) is None


def test_an_object_that_is_cut_off_leaves_nothing_and_is_still_expected(
    spool: Spool, port: Port
) -> None:
    uid = new_uid()
    spool.readbacks.expect("archive", uid)
    assert send(port, uid, "EDGE", cut=1) == -1
    assert send(port, uid, "EDGE") == 0
    came = spool.readbacks.take(uid)
    assert came
    left = {one for one in came.path.parent.iterdir() if one != came.path}
    port.close()
    assert not {one for one in left if one.exists()}


def test_what_a_stop_leaves_is_swept_at_the_start(spool: Spool, ending: ExitStack) -> None:
    left = spool.state_dir / "spool" / "read-back" / "receive" / "left.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    one = Port(spool)
    ending.callback(one.close)
    assert not left.exists()


def test_where_it_cannot_be_written_down_the_archive_hears_it(
    spool: Spool, port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = new_uid()
    spool.readbacks.expect("archive", uid)
    monkeypatch.setattr(spool.readbacks, "came", lambda *_arguments: False)
    assert send(port, uid, "EDGE") == 0xA700
    assert received(spool) == 0
    assert not list((spool.state_dir / "spool" / "read-back" / "receive").iterdir())


def test_what_one_archive_gives_back_never_counts_for_another(spool: Spool, port: Port) -> None:
    uid = new_uid()
    assert spool.readbacks.expect("one", uid, 7)
    assert not spool.readbacks.expect("two", uid, 8), "one at a time"
    spool.readbacks.forget(uid)
    assert spool.readbacks.expect("two", uid, 8)
    assert send(port, uid, "EDGE", asked_by=7) == 0, "late, of the first"
    assert received(spool) == 1
    assert spool.readbacks.take(uid) is None
    assert send(port, uid, "EDGE", asked_by=8) == 0
    assert spool.readbacks.take(uid)
