"""A contact on a serial server (RFC 2217): each press is told once, also over a cut connection."""

import queue as queues
import random
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import pytest
from serial import rfc2217

from capture.modem_lines import ModemLine
from capture.pedal import Attached, Lost, Pedal, Pressed, Told
from capture.press import Kind, Meaning

#: pyserial 3.5 calls what Python 3.10 deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")

POLL_S = 0.005  # of the server


class Lines:
    """The port behind the server, as far as PortManager asks; its inputs are the test's."""

    def __init__(self) -> None:
        self.cts = self.dsr = self.ri = self.cd = False
        self.baudrate, self.bytesize, self.parity, self.stopbits = 9600, 8, "N", 1
        self.rts = self.dtr = self.xonxoff = self.rtscts = self.dsrdtr = False
        self.break_condition, self.timeout = False, 1.0

    def reset_input_buffer(self) -> None: ...

    def reset_output_buffer(self) -> None: ...


class Server:
    """A serial server on loopback."""

    def __init__(self) -> None:
        self.lines, self._stop = Lines(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self.peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        assert self.peer
        self.peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self.peer:
            self.peer.close()
        self._thread.join()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self.peer = peer
            self._talk(peer)

    def _talk(self, peer: socket.socket) -> None:
        link = type("Link", (), {"write": staticmethod(peer.sendall)})
        manager = rfc2217.PortManager(self.lines, link)
        peer.settimeout(POLL_S)
        with peer:
            while not self._stop.is_set():
                try:
                    data = peer.recv(1024)
                    if not data:
                        return
                    b"".join(manager.filter(data))
                except TimeoutError:
                    manager.check_modem_lines()
                except OSError:
                    return


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.close()


class Watched:
    """A pedal whose words come through a queue."""

    def __init__(self, server: Server, line: str, meaning: Meaning) -> None:
        self.told: queues.Queue[Told] = queues.Queue()
        self.pedal = Pedal("pedal", lambda: ModemLine(server.url, line), meaning, self.told.put)
        self._thread = threading.Thread(target=self.pedal.run)
        self._thread.start()

    def next(self) -> Told:
        return self.told.get(timeout=20)

    def stop(self) -> list[Told]:
        self.pedal.stop()
        self._thread.join()
        return list(self.told.queue)


# A line is sampled: on a machine so busy that a whole press falls between two looks, one is lost.
@pytest.mark.nightly
@pytest.mark.parametrize("line", ["cts", "dcd"])
def test_no_press_is_lost_or_doubled(server: Server, line: str) -> None:
    watched = Watched(server, line, Meaning(has_long=True, long_ns=10**10))
    assert watched.next() == Attached("pedal")
    assert server.lines.rts, "the contact is fed"
    jitter, name, apart_ns = random.Random(11), {"dcd": "cd"}.get(line, line), list[int]()  # noqa: S311
    for _ in range(50):
        setattr(server.lines, name, True)
        down_ns = time.monotonic_ns()
        time.sleep(jitter.uniform(0.06, 0.12))  # a foot
        setattr(server.lines, name, False)
        up_ns = time.monotonic_ns()
        pressed = watched.next()
        assert isinstance(pressed, Pressed)
        assert pressed.press.pressed_at_ns >= down_ns
        apart_ns.append(abs(pressed.press.held_ns - (up_ns - down_ns)))
        time.sleep(jitter.uniform(0.04, 0.08))
    assert watched.stop() == []
    # Both ends ask every few milliseconds; a busy machine makes them late.
    assert statistics.median(apart_ns) < 100e6


def test_a_server_that_goes_while_pressed_ends_the_press_and_is_found_again(
    server: Server,
) -> None:
    watched = Watched(server, "cts", Meaning(has_long=True))
    assert watched.next() == Attached("pedal")
    server.lines.cts = True
    time.sleep(0.1)  # a foot that stays
    server.cut()
    pressed, lost = watched.next(), watched.next()
    assert isinstance(pressed, Pressed)
    assert pressed.press.kind is Kind.SHORT
    assert isinstance(lost, Lost)
    server.lines.cts = False
    assert watched.next() == Attached("pedal")
    watched.stop()


def test_a_port_that_is_not_there_is_said_once() -> None:
    told: queues.Queue[Told] = queues.Queue()
    pedal = Pedal("pedal", lambda: ModemLine("/dev/ttyNONE", "cts"), Meaning(), told.put)
    thread = threading.Thread(target=pedal.run)
    thread.start()
    first = told.get(timeout=10)
    assert isinstance(first, Lost)
    assert "ttyNONE" in first.why
    pedal.look_again()
    pedal.stop()
    thread.join()
    assert told.empty()
