"""The demo's wire lets through what it should, and not one byte more."""

import socket
from collections.abc import Iterator

import pytest

from gateway.demo.relay import Relay

SENT = bytes(range(256)) * 1000
TIMEOUT_S = 10.0


@pytest.fixture
def gateway() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def read(one: socket.socket, count: int) -> bytes:
    one.settimeout(TIMEOUT_S)
    return b"".join(iter(lambda: one.recv(min(count, 65536)), b""))[:count]


def test_the_wire_stops_after_exactly_the_bytes_it_was_told(gateway: socket.socket) -> None:
    with (
        Relay(port_of(gateway), stop_after_bytes=100_001) as wire,
        socket.create_connection(("127.0.0.1", wire.port)) as modality,
    ):
        taken, _address = gateway.accept()
        modality.sendall(SENT)
        assert wire.stopped.wait(TIMEOUT_S)
        assert wire.passed_bytes == 100_001
    with taken:
        assert read(taken, len(SENT)) == SENT[:100_001]


def test_a_wire_without_a_limit_carries_everything_both_ways(gateway: socket.socket) -> None:
    with (
        Relay(port_of(gateway)) as wire,
        socket.create_connection(("127.0.0.1", wire.port)) as modality,
    ):
        taken, _address = gateway.accept()
        modality.sendall(SENT)
        modality.shutdown(socket.SHUT_WR)
        with taken:
            assert read(taken, len(SENT)) == SENT
        assert not wire.stopped.is_set()


def test_answers_still_come_back_while_the_wire_is_stopped(gateway: socket.socket) -> None:
    with (
        Relay(port_of(gateway), stop_after_bytes=10) as wire,
        socket.create_connection(("127.0.0.1", wire.port)) as modality,
    ):
        taken, _address = gateway.accept()
        modality.sendall(SENT[:100])
        assert wire.stopped.wait(TIMEOUT_S)
        with taken:
            taken.sendall(b"answer")
            modality.settimeout(TIMEOUT_S)
            assert modality.recv(6) == b"answer"


def test_when_the_gateway_dies_the_modality_sees_its_connection_end(gateway: socket.socket) -> None:
    with (
        Relay(port_of(gateway), stop_after_bytes=10) as wire,
        socket.create_connection(("127.0.0.1", wire.port)) as modality,
    ):
        taken, _address = gateway.accept()
        modality.sendall(SENT[:100])
        assert wire.stopped.wait(TIMEOUT_S)
        taken.close()
        assert ended(modality)


def test_leaving_the_wire_ends_every_connection_on_it(gateway: socket.socket) -> None:
    with Relay(port_of(gateway)) as wire:
        modality = socket.create_connection(("127.0.0.1", wire.port))
        taken, _address = gateway.accept()
    with modality, taken:
        assert ended(modality)
        assert ended(taken)


def ended(one: socket.socket) -> bool:
    """Return whether the other side closed; a reset says so, too."""
    one.settimeout(TIMEOUT_S)
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True
