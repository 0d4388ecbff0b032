"""tls_wire: as a wire, only encrypted: same bytes, same patience, nothing in plain text."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.dicom.tls import TlsFault, client_context, server_context
from gateway.dicom.tls_wire import TlsWire
from gateway.dicom.wire import BUFFER_BYTES, Wire
from tests.fakes.authority import Authority

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def connected() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        one = socket.create_connection(door.getsockname())
        other, _ = door.accept()
    return one, other


@pytest.fixture(scope="module")
def contexts(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts of who calls and of who is called."""
    authority = Authority(program("openssl"), tmp_path_factory.mktemp("tls"))
    good = authority.sign("archive")
    called = server_context(good.certificate, good.key, None)
    return client_context(authority.certificate), called


def shake(*wires: Wire) -> None:
    threads = [threading.Thread(target=one.open) for one in wires]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


Ends = tuple[TlsWire, TlsWire]


@pytest.fixture(params=VERSIONS, ids=[one.name for one in VERSIONS])
def ends(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], request: pytest.FixtureRequest
) -> Iterator[Ends]:
    """Return the peer's wire, which called, and ours."""
    calling, called = contexts
    before, calling.maximum_version = calling.maximum_version, request.param
    one, other = connected()
    peer = TlsWire(one, 10.0, calling, "localhost")
    own = TlsWire(other, 10.0, called)
    calling.maximum_version = before
    shake(peer, own)
    yield peer, own
    peer.close()
    own.close()


def test_bytes_come_whole_and_in_order_both_ways(ends: Ends) -> None:
    data = bytes(at * 7 % 251 for at in range(3_000_000))
    for sender, reader in (ends, ends[::-1]):
        thread = threading.Thread(target=sender.send, args=(4, data[:10], b"", data[10:]))
        thread.start()
        assert reader.head() == (4, len(data))
        assert bytes(reader.exactly(100)) == data[:100]
        assert bytes(reader.exactly(BUFFER_BYTES)) == data[100 : 100 + BUFFER_BYTES]
        at = 100 + BUFFER_BYTES
        while at < len(data):
            view = bytes(reader.some(50_000))
            assert view == data[at : at + len(view)]
            at += len(view)
        thread.join()


def test_each_side_sees_what_the_other_has_shown(ends: Ends) -> None:
    peer, own = ends
    assert peer.certificate is not None
    assert peer.certificate.names == ("127.0.0.1", "localhost")
    assert own.certificate is None  # nobody asked the caller for one


def test_news_are_told_without_waiting_and_a_message_of_tls_is_none(ends: Ends) -> None:
    peer, own = ends
    assert not own.has_news()
    assert not peer.has_news()
    peer.send(4, b"ab")
    while not own.has_news():
        threading.Event().wait(0.001)
    assert own.head() == (4, 2)
    assert own.has_news()
    assert bytes(own.exactly(2)) == b"ab"
    assert not own.has_news()
    peer.close()
    while not own.has_news():
        threading.Event().wait(0.001)


def test_a_silent_peer_ends_the_patience(ends: Ends) -> None:
    own = ends[1]
    own.patience(0.2)
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        own.exactly(1)
    assert 0.15 < time.monotonic() - begin < 5


def test_a_peer_that_trickles_meets_the_deadline(ends: Ends) -> None:
    peer, own = ends
    own.deadline = time.monotonic() + 0.3
    ended = threading.Event()

    def trickle() -> None:
        while not ended.wait(0.02):
            peer.send(4, b"x")

    sender = threading.Thread(target=trickle)
    sender.start()
    with pytest.raises(TimeoutError):
        own.exactly(100_000)
    ended.set()
    sender.join()


def test_a_peer_that_takes_nothing_ends_the_patience(ends: Ends) -> None:
    own = ends[1]
    own.patience(0.2)
    with pytest.raises(TimeoutError):
        own.send(4, bytes(64 << 20))


def test_who_waits_is_woken_from_another_thread(ends: Ends) -> None:
    own = ends[1]
    threading.Timer(0.1, own.interrupt).start()
    with pytest.raises(ConnectionResetError):
        own.exactly(1)


def test_after_an_interrupt_nothing_goes_out_in_plain_text(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Python's SSLSocket sends plain text after shutdown(); reading alone is shut here."""
    one, other = connected()
    peer = TlsWire(one, 5.0, contexts[0], "localhost")
    own = TlsWire(other, 5.0, contexts[1])
    shake(peer, own)
    own.socket.shutdown(socket.SHUT_RD)
    own.send(4, b"SECRET-TITLE")
    raw = one.recv(4096)
    assert raw
    assert b"SECRET" not in raw
    peer.close()
    own.close()


def test_nothing_is_sent_before_the_handshake(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    one, other = connected()
    wire = TlsWire(one, 5.0, contexts[0], "localhost")
    with pytest.raises(ConnectionAbortedError):
        wire.send(1, b"SECRET-TITLE")
    wire.close()
    assert other.recv(100) == b""
    other.close()


@pytest.mark.parametrize("said", [b"", b"\x16", struct.pack(">BHH", 22, 0x0301, 100)])
def test_a_caller_who_begins_no_handshake_is_left_in_time(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], said: bytes
) -> None:
    one, other = connected()
    one.sendall(said)
    wire = TlsWire(other, 0.2, contexts[1])
    begin = time.monotonic()
    with pytest.raises(TlsFault) as raised:
        wire.open()
    assert raised.value.code == "tls-caller-silent"
    assert time.monotonic() - begin < 5
    wire.close()
    one.close()


def test_a_caller_who_trickles_its_handshake_meets_the_deadline(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    one, other = connected()
    wire = TlsWire(other, 10.0, contexts[1])
    wire.deadline = time.monotonic() + 0.3
    ended = threading.Event()

    def trickle() -> None:
        one.sendall(struct.pack(">BHH", 22, 0x0301, 16_000))
        with contextlib.suppress(OSError):  # it is hung up on
            while not ended.wait(0.02):
                one.sendall(b"\x01")

    sender = threading.Thread(target=trickle)
    sender.start()
    with pytest.raises(TlsFault) as raised:
        wire.open()
    assert raised.value.code == "tls-caller-silent"
    ended.set()
    sender.join()
    wire.close()
    one.close()


def test_a_record_that_was_altered_on_the_way_ends_the_connection(ends: Ends) -> None:
    peer, own = ends
    peer.socket.sendall(struct.pack(">BHH", 23, 0x0303, 40) + bytes(40))
    with pytest.raises(TlsFault):
        own.exactly(1)
