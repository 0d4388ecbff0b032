"""It stops well, is alone on its folder, and leaves no process behind."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said
from tests.fakes.modality import Modality
from tests.fakes.objects import new_uid, several, small
from tests.fakes.running import session, wait_for_port
from tests.fakes.scripted_archive import Fault, ScriptedArchive

EX_TEMPFAIL = 75
#: 20 s for what ends by itself, and some to break off the rest.
END_MOST_S = 28
#: The kernel holds 10 MiB of a connection at most (net.ipv4.tcp_rmem, tcp_wmem): of an object of
#: this size something was read when all is sent.
MORE_THAN_BUFFERED = 24 << 20


def half_way(modality: Modality, uid: str, parts: list[bytes]) -> None:
    """Send the beginning of an object; return when the receiver is certainly at it."""
    modality.begin(ul.US_IMAGE, uid)
    for part in parts:
        modality.socket.sendall(part)


@pytest.mark.parametrize("names", [(), ("intake",), ("receive",)], ids=" ".join)
def test_sigterm_lets_an_object_on_the_wire_come_to_its_end(
    make_gateway: Callable[..., Gateway], names: tuple[str, ...]
) -> None:
    gateway = make_gateway()
    running = gateway.start(*names)
    uid = new_uid()
    data = small(uid, pixels=bytes(MORE_THAN_BUFFERED))
    with Modality(gateway.port) as modality:
        *most, last = ul.fragments(1, data)
        half_way(modality, uid, most)
        running.ask_to_end()
        wait_for_port(running, gateway.port, is_open=False)
        modality.socket.sendall(last)
        assert modality.status() == 0
    assert running.wait(END_MOST_S) == 0
    (instance,) = gateway.queue()
    assert gateway.data_set(instance) == data


def test_sigterm_ends_idle_associations_at_once(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway()
    running = gateway.start()
    with Modality(gateway.port) as modality:
        begun = time.monotonic()
        running.ask_to_end()
        assert ul.read_pdu(modality.socket)[0] == ul.ABORT
        assert running.wait(END_MOST_S) == 0
    assert time.monotonic() - begun < 5


def test_sigterm_breaks_off_a_hanging_archive_and_gives_its_delivery_back(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
) -> None:
    peer = make_archive()
    peer.standing = Fault.HANG
    gateway = make_gateway(destination=[archive(peer.port, answer_s=600)])
    running = gateway.start()
    store(gateway.port, [sample("CT_small.dcm")])
    peer.wait_for(lambda: len(peer.took) == 1)
    running.ask_to_end()
    assert running.wait(END_MOST_S) == 0
    (delivery,) = gateway.deliveries().values()
    assert (delivery["state"], delivery["attempts"]) == ("queued", 0)
    peer.standing = 0
    gateway.start().wait_for("forward@archive sent", within_s=10)
    first, second = peer.took
    assert first.data == second.data


def test_sigterm_in_an_object_that_never_ends_exits_in_time(
    make_gateway: Callable[..., Gateway],
) -> None:
    gateway = make_gateway()
    running = gateway.start("receive")
    with Modality(gateway.port) as modality:
        half_way(modality, new_uid(), [ul.p_data(1, 0, bytes(1 << 16))] * 400)
        running.ask_to_end()
        assert running.wait(END_MOST_S) == 0
    assert gateway.queue() == []
    assert not list(gateway.state_dir.glob("spool/*/*"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((), ()),
        ((), ("intake",)),
        ((), ("receive",)),
        (("receive",), ()),
        (("receive",), ("intake",)),
        (("intake",), ("receive",)),
    ],
)
def test_a_second_instance_on_the_same_folder_is_refused_with_a_clear_message(
    make_gateway: Callable[..., Gateway], first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    gateway = make_gateway()
    running = gateway.start(*first)
    refused = gateway.begin(*second)
    assert refused.wait(20) == EX_TEMPFAIL
    (line,) = refused.found("state-folder-in-use")
    assert "Another gateway is already running on this state folder." in line
    uid = new_uid()
    with Modality(gateway.port) as modality:
        assert modality.store(ul.US_IMAGE, uid, small(uid)) == 0
    assert not running.is_over()


@pytest.mark.parametrize("names", [("intake",), ("receive",)])
def test_intake_takes_while_nothing_else_runs_and_work_goes_on_later(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
    names: tuple[str, ...],
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port)])
    gateway.start(*names)
    files = several(sample("CT_small.dcm"), tmp_path / "sent", 3)
    assert store(gateway.port, files).acknowledged == tuple(files)
    assert {one["state"] for one in gateway.queue()} == {"received"}
    gateway.start("work").wait_for("forward@archive sent", 3)
    assert len(peer.took) == 3


def test_each_stage_runs_alone(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port)])
    gateway.start("receive")
    store(gateway.port, [sample("CT_small.dcm")])
    gateway.start("prepare").wait_for("prepare ready")
    gateway.start("forward").wait_for("forward@archive sent")


def test_killing_only_the_supervisor_ends_every_process(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port)])
    running = gateway.start()
    store(gateway.port, [sample("examples_rgb_color.dcm")])
    running.wait_for("forward@archive sent")
    assert any("gateway.codec.child" in command for command in session(running.pid).values())
    running.kill_only_it()
    running.wait_until_alone(10)
    assert gateway.status()["running"] == []
    gateway.start()


def test_a_process_that_dies_is_started_anew(make_gateway: Callable[..., Gateway]) -> None:
    gateway = make_gateway()
    running = gateway.start()
    (line,) = running.wait_for("run started process=intake")
    os.kill(int(line.rpartition("pid=")[2]), signal.SIGKILL)
    running.wait_for("run ended process=intake")
    (*_, line) = running.wait_for("receive listening", 2)
    gateway.port = int(line.rpartition("port=")[2])
    uid = new_uid()
    with Modality(gateway.port) as modality:
        assert modality.store(ul.US_IMAGE, uid, small(uid)) == 0
