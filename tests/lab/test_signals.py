"""Grabbers whose cable is pulled, whose source changes, whose driver dies: on vivid, in a guest.

One boot; `signals_driver` pulls vivid's levers there, and the tests judge what it saw.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.lab.guest import Stages, stages
from tests.lab.kernel import Kernel

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(300)]

MODULES = ("vivid n_devs=2 node_types=0x1,0x1",)
#: 100% bars, from the left: white, yellow, cyan, green, magenta, red, blue, black.
BARS = [(r, g, b) for g in (255, 0) for r, b in ((255, 255), (255, 0), (0, 255), (0, 0))]

#: vivid's tables cut where they might round: its white is 234 where the standard's is 235.
VIVID_LEVELS = 2


@pytest.fixture(scope="module")
def seen(
    guest_kernel: Kernel, eyes: Path, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Stages:
    folder = tmp_path_factory.mktemp("signals")
    return stages(guest_kernel, eyes, root, folder, "signals_driver.py", MODULES)


@pytest.mark.parametrize(
    ("stage", "signal"),
    [
        ("no signal", "lost"),
        ("no lock", "unstable"),
        ("out of range", "out-of-range"),
        ("tv no signal", "lost"),
        ("tv no lock", "unstable"),
    ],
)
def test_a_bad_signal_is_named_though_frames_go_on_and_a_good_one_comes_back(
    seen: Stages, stage: str, signal: str
) -> None:
    assert seen[stage]["signals"][-1] == signal
    assert seen[stage]["frames"] >= 3
    assert seen[f"after {stage}"]["signals"][-1] == "present"
    assert seen[f"after {stage}"]["frames"] >= 3


@pytest.mark.parametrize(
    ("stage", "size"), [("ntsc", [720, 480]), ("pal", [720, 576]), ("timings", [720, 480])]
)
def test_frames_of_another_standard_or_timing_come_without_a_restart(
    seen: Stages, stage: str, size: list[int]
) -> None:
    assert "changed" in seen[stage]["signals"]
    assert seen[stage]["signals"][-1] == "present"
    assert seen[stage]["sizes"][-1] == size
    assert seen[stage]["frames"] >= 1


def test_dropped_buffers_are_counted(seen: Stages) -> None:
    assert seen["dropped"]["lost"] >= 5
    assert seen["dropped"]["signals"] == []


def test_a_damaged_buffer_is_marked(seen: Stages) -> None:
    assert 1 <= seen["damaged"]["damaged"] < seen["damaged"]["frames"]
    assert seen["damaged"]["signals"] == []


def test_a_stream_that_died_is_started_anew(seen: Stages) -> None:
    assert seen["streaming error"]["details"] == ["stream restarted"]
    assert seen["streaming error"]["signals"] == ["present"]
    assert seen["streaming error"]["frames"] >= 3


def test_a_second_program_is_told_that_the_device_is_busy(seen: Stages) -> None:
    assert seen["second opener"]["got"] == "busy"


def test_two_grabbers_give_frames_at_once(seen: Stages) -> None:
    assert seen["two"]["first"] >= 5 and seen["two"]["second"] >= 5


def test_an_unplugged_grabber_is_said_to_be_gone_once_and_the_other_goes_on(seen: Stages) -> None:
    assert seen["unplugged"]["signals"] == ["device-gone"]
    assert seen["unplugged"]["other"] >= 3
    assert seen["unplugged"]["other_signals"] == []
    assert seen["hung"]["left_behind"] == 0


def test_a_grabber_that_comes_back_under_another_number_is_found_by_its_bus(seen: Stages) -> None:
    back = seen["replugged"]
    assert back["missing"]
    assert back["before"] != back["after"]
    assert back["paths"][-1] == back["after"]
    assert back["signals"][-1] == "present" and back["frames"] >= 3
    assert seen["other replugged"]["signals"][-1] == "present"


def test_the_frame_that_shows_a_press_is_stamped_within_an_interval_of_it(seen: Stages) -> None:
    moments = seen["moments"]
    print([round(one, 1) for one in moments["apart_ms"]], moments["interval_ms"])
    assert all(abs(one) <= moments["interval_ms"] + 10 for one in moments["apart_ms"])


def test_an_edid_is_read_and_written_back(seen: Stages) -> None:
    assert seen["edid"]["blocks"] >= 1
    assert seen["edid"]["changed"] and seen["edid"]["written"]


@pytest.mark.parametrize("code", ["RGB3", "BGR3"])
def test_bars_come_out_equal_where_nothing_is_converted(seen: Stages, code: str) -> None:
    assert [tuple(one) for one in seen[f"bars {code}"]["rgb"]] == BARS


@pytest.mark.parametrize("code", ["YUYV", "UYVY", "NV12"])
def test_bars_are_converted_within_a_level_of_exact_arithmetic(seen: Stages, code: str) -> None:
    found = seen[f"bars {code}"]
    for bar, raw, rgb in zip(BARS, found["raw"], found["rgb"], strict=True):
        assert apart(raw, to_ycbcr(bar, found)) < VIVID_LEVELS, (bar, raw)
        assert apart(rgb, to_rgb(raw, found)) <= 1, (raw, rgb)


def apart(one: Iterable[int], other: Iterable[Fraction]) -> Fraction:
    return max(abs(Fraction(a) - b) for a, b in zip(one, other, strict=True))


def weights(found: dict[str, Any]) -> tuple[Fraction, Fraction, Fraction]:
    red, blue = {"601": ("0.299", "0.114"), "709": ("0.2126", "0.0722")}[found["matrix"]]
    return Fraction(red), 1 - Fraction(red) - Fraction(blue), Fraction(blue)


def to_ycbcr(bar: tuple[int, int, int], found: dict[str, Any]) -> list[Fraction]:
    """ITU-R BT.601-7 2.5, for 16 to 235: exact."""
    assert not found["full_range"]
    red, green, blue = weights(found)
    r, g, b = (Fraction(one, 255) for one in bar)
    y = red * r + green * g + blue * b
    return [
        16 + 219 * y,
        128 + 112 * (b - y) / (1 - blue),
        128 + 112 * (r - y) / (1 - red),
    ]


def to_rgb(raw: list[int], found: dict[str, Any]) -> list[Fraction]:
    red, green, blue = weights(found)
    y, cb, cr = Fraction(raw[0] - 16, 219), Fraction(raw[1] - 128, 112), Fraction(raw[2] - 128, 112)
    r, b = y + (1 - red) * cr, y + (1 - blue) * cb
    g = (y - red * r - blue * b) / green
    return [min(Fraction(255), max(Fraction(0), 255 * one)) for one in (r, g, b)]
