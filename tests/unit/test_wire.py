"""wire: exactly the bytes asked for, across any cutting by the network; silence ends."""

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dicom.pdu import Broken
from gateway.dicom.wire import BUFFER_BYTES, Wire


def connected() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        one = socket.create_connection(door.getsockname())
        other, _ = door.accept()
    return one, other


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Wire]]:
    """Return the peer's socket, and our wire."""
    peer, own = connected()
    wire = Wire(own, 10.0)
    yield peer, wire
    peer.close()
    wire.close()


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    cuts=st.lists(st.integers(1, 9000), min_size=1, max_size=20),
    asks=st.lists(st.integers(1, 9000), min_size=1, max_size=20),
)
def test_bytes_come_in_order_however_the_network_cuts_them(
    cuts: list[int], asks: list[int]
) -> None:
    peer, own = connected()
    wire = Wire(own, 10.0)
    total = max(sum(cuts), sum(asks))
    data = bytes(at * 7 % 251 for at in range(total))
    pieces, at = [], 0
    for cut in [*cuts, total]:
        pieces.append(data[at : at + cut])
        at += cut
    sender = threading.Thread(target=lambda: [peer.sendall(piece) for piece in pieces])
    sender.start()
    at = 0
    for ask in asks:
        assert bytes(wire.exactly(ask)) == data[at : at + ask]
        at += ask
    while at < total:
        view = bytes(wire.some(5000))
        assert view == data[at : at + len(view)]
        at += len(view)
    sender.join()
    peer.close()
    wire.close()


def test_a_buffer_full_is_read_whole_also_from_its_middle(
    ends: tuple[socket.socket, Wire],
) -> None:
    peer, wire = ends
    data = bytes(range(256)) * (BUFFER_BYTES // 128)
    sender = threading.Thread(target=peer.sendall, args=(data,))
    sender.start()
    assert bytes(wire.exactly(100)) == data[:100]
    assert bytes(wire.exactly(BUFFER_BYTES)) == data[100 : 100 + BUFFER_BYTES]
    assert bytes(wire.exactly(1000)) == data[100 + BUFFER_BYTES :][:1000]
    at = 1100 + BUFFER_BYTES
    while at < len(data):
        at += len(wire.some(1 << 20))
    sender.join()


def test_more_than_a_buffer_at_once_is_broken(ends: tuple[socket.socket, Wire]) -> None:
    with pytest.raises(Broken):
        ends[1].exactly(BUFFER_BYTES + 1)


def test_nothing_asked_for_is_nothing_waited_for(ends: tuple[socket.socket, Wire]) -> None:
    assert len(ends[1].exactly(0)) == 0


def test_a_pdu_is_sent_whole_from_its_parts(ends: tuple[socket.socket, Wire]) -> None:
    peer, wire = ends
    parts = [b"head", b"", memoryview(bytes(3_000_000)), b"tail"]
    sender = threading.Thread(target=wire.send, args=(4, *parts))
    sender.start()
    whole = b"".join(bytes(part) for part in parts)
    got = b""
    while len(got) < 6 + len(whole):
        got += peer.recv(1 << 20)
    sender.join()
    assert got == struct.pack(">BxI", 4, len(whole)) + whole


def test_the_head_of_a_pdu_is_its_type_and_length(ends: tuple[socket.socket, Wire]) -> None:
    ends[0].sendall(struct.pack(">BxI", 4, 1 << 31))
    assert ends[1].head() == (4, 1 << 31)


@pytest.mark.parametrize("patience_s", [0.1, 1.0])
def test_a_silent_peer_ends_the_patience(
    ends: tuple[socket.socket, Wire], patience_s: float
) -> None:
    wire = ends[1]
    wire.patience(patience_s)
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        wire.exactly(1)
    assert patience_s * 0.9 < time.monotonic() - begin < patience_s + 5


def test_a_peer_that_trickles_meets_the_deadline(ends: tuple[socket.socket, Wire]) -> None:
    peer, wire = ends
    wire.deadline = time.monotonic() + 0.3
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(0.02):
            peer.sendall(b"x")

    sender = threading.Thread(target=trickle)
    sender.start()
    with pytest.raises(TimeoutError):
        wire.exactly(100_000)
    ended.set()
    sender.join()


def test_a_peer_that_takes_nothing_ends_the_patience(ends: tuple[socket.socket, Wire]) -> None:
    wire = ends[1]
    wire.patience(0.2)
    with pytest.raises(TimeoutError):
        wire.send(4, bytes(64 << 20))


def test_a_peer_that_closes_is_told_from_one_that_is_silent(
    ends: tuple[socket.socket, Wire],
) -> None:
    peer, wire = ends
    peer.sendall(b"half")
    peer.close()
    with pytest.raises(ConnectionResetError):
        wire.exactly(8)


def test_news_are_told_without_waiting_and_without_taking_them(
    ends: tuple[socket.socket, Wire],
) -> None:
    peer, wire = ends
    assert not wire.has_news()
    peer.sendall(b"ab")
    assert bytes(wire.exactly(1)) == b"a"
    assert wire.has_news()
    assert bytes(wire.exactly(1)) == b"b"
    assert not wire.has_news()
    peer.close()
    while not wire.has_news():
        threading.Event().wait(0.001)


def test_neither_side_waits_for_the_other_to_fill_a_packet(
    ends: tuple[socket.socket, Wire],
) -> None:
    assert ends[1].socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
