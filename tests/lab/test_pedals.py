"""Pedals that bounce, stick and are unplugged: gadgets of the kernel, in a guest.

One boot; `pedals_driver` is the foot there, and the tests judge what was told.
"""

import statistics
from pathlib import Path

import pytest

from tests.lab.guest import Stages, stages
from tests.lab.kernel import Kernel

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

MODULES = (*("dummy_hcd", "usb_f_hid", "usb_f_acm", "usbhid", "hid_generic", "evdev", "cdc_acm"),)
PRESSES, LINE_PRESSES = 100, 10


@pytest.fixture(scope="module")
def told(
    guest_kernel: Kernel, eyes: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Stages:
    folder = tmp_path_factory.mktemp("pedals")
    return stages(guest_kernel, eyes, root, folder, "pedals_driver.py", MODULES)


def test_a_pedal_that_is_not_there_is_said_once_and_found_when_it_comes(told: Stages) -> None:
    assert told["absent"]["told"] == ["lost"]
    assert told["plugged"]["found"]


def test_of_a_hundred_presses_none_is_lost_or_doubled(told: Stages) -> None:
    assert told["hundred"]["told"] == PRESSES
    assert told["hundred"]["left"] == []


def test_the_time_a_pedal_was_held_is_known(told: Stages) -> None:
    apart_ms = told["hundred"]["apart_ms"]
    median, worst = statistics.median(apart_ms), max(apart_ms)
    print(f"held: median {median:.2f} ms, worst {worst:.2f} ms apart")
    assert median <= 5
    assert worst <= 20


@pytest.mark.parametrize(
    ("stage", "kinds"),
    [
        ("short", ["short"]),
        ("long", ["long"]),
        ("double", ["double"]),
        ("stuck", ["long", "stuck"]),
        ("bounce", ["short"]),
    ],
)
def test_a_press_is_told_as_what_it_was(told: Stages, stage: str, kinds: list[str]) -> None:
    assert told[stage]["told"] == kinds


def test_a_pedal_types_into_nothing_else(told: Stages) -> None:
    assert told["grabbed"]["grabbed"]
    assert told["grabbed"]["told"] == ["short"]


def test_a_pedal_that_is_unplugged_while_pressed_counts_as_released(told: Stages) -> None:
    assert told["pulled while down"]["told"] == ["short", "lost"]


def test_a_pedal_that_is_plugged_in_again_is_found_by_what_it_is(told: Stages) -> None:
    assert told["replugged"]["found"]
    assert told["replugged"]["told"] == ["short"]


def test_a_contact_on_a_serial_line_wakes_its_reader(told: Stages) -> None:
    assert told["acm"]["waits"]  # TIOCMIWAIT, no polling
    assert told["acm"]["told"] == LINE_PRESSES
    assert told["acm"]["left"] == []
    assert statistics.median(told["acm"]["apart_ms"]) <= 10


def test_a_serial_adapter_may_be_unplugged_while_pressed(told: Stages) -> None:
    assert told["acm pulled while down"]["told"] == ["short", "lost"]
    assert told["acm pulled while down"]["threads"] == 0  # TIOCMIWAIT ends with its device
    assert told["acm replugged"]["found"]
