"""What the demo shows: the page, the table, the verdict."""

import base64
import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from rich.console import Console

from gateway.demo.appliance import Item
from gateway.demo.board import Board, Row
from gateway.demo.compare import Evidence, prove
from gateway.demo.page import write_page
from gateway.demo.peers import Stored
from gateway.demo.pictures import Picture, make_pictures, read_picture
from gateway.demo.pixels import png, thumbnail
from gateway.demo.screen import Screen, proof
from gateway.demo.show import verdict
from gateway.demo.story import Kill, Outcome


@pytest.fixture
def picture(sample: Callable[[str], Path]) -> Picture:
    return read_picture("rgb", sample("examples_rgb_color.dcm"))


@pytest.fixture
def evidence(picture: Picture) -> Evidence:
    return prove(picture, Stored((picture.path,), 1))


@pytest.fixture
def kill(picture: Picture) -> Kill:
    return Kill(on_the_wire=(picture,), unsent=(picture,), lost=())


def rows_of(data: bytes) -> bytes:
    """Return the inflated image data of a PNG file."""
    at = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[at - 4 : at])
    return zlib.decompress(data[at + 4 : at + 4 + length])


def printed(evidence: Evidence, columns: int = 200) -> str:
    console = Console(file=io.StringIO(), width=columns)
    with console.capture() as said:
        console.print(proof([evidence]))
    return said.get()


def test_a_png_holds_every_pixel() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    data = png(picture)
    assert data[16:24] == struct.pack(">II", 3, 2)
    assert rows_of(data) == b"\0" + picture[0].tobytes() + b"\0" + picture[1].tobytes()


def test_every_picture_of_the_demo_has_a_thumbnail(tmp_path: Path) -> None:
    for picture in make_pictures(tmp_path):
        assert re.match(r"data:image/(png|jpeg);base64,.{1000}", thumbnail(dcmread(picture.path)))


def test_no_two_pictures_of_the_demo_have_the_same_uid(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path)
    assert len({picture.sop_instance_uid for picture in pictures}) == len(pictures)


def test_the_largest_picture_stands_in_the_middle(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path)
    assert pictures[len(pictures) // 2] == max(pictures, key=lambda each: each.dataset_bytes)


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(
    evidence: Evidence, kill: Kill, tmp_path: Path
) -> None:
    named = replace(evidence, picture=replace(evidence.picture, name="<script>alert(1)</script>"))
    write_page(tmp_path / "out/demo.html", Outcome(kill, (named,)), [(1.5, "a < b")], ["done & ok"])
    page = (tmp_path / "out/demo.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &lt; b" in page
    assert "done &amp; ok" in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    shown = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert [base64.b64decode(each)[:4] for each in shown] == [b"\x89PNG"] * 2


def test_the_proof_fits_eighty_columns(evidence: Evidence) -> None:
    assert all(len(line) <= 80 for line in printed(evidence, 80).splitlines())
    assert "…" not in printed(evidence, 80)


def test_the_proof_says_yes_only_where_it_holds(evidence: Evidence) -> None:
    assert re.search(r"rgb +Explicit LE +Explicit LE +(\d+) +\1 +1.00 yes +yes", printed(evidence))
    assert "NO" in printed(replace(evidence, pixels_equal=False))
    assert "(0010,0010)" in printed(
        replace(evidence, identical=False, differing=("(0010,0010)",), archived=None)
    )
    assert "never" in printed(Evidence(evidence.picture))
    assert "2 times, the same" in printed(replace(evidence, times=2))
    assert "2 times, NOT THE SAME" in printed(replace(evidence, times=2, repeats_equal=False))


def test_a_kill_that_hit_nothing_proves_nothing(evidence: Evidence, kill: Kill) -> None:
    assert Outcome(kill, (evidence,)).proved
    for hit in (
        replace(kill, on_the_wire=()),
        replace(kill, unsent=()),
        replace(kill, lost=kill.unsent),
    ):
        outcome = Outcome(hit, (evidence,))
        assert not outcome.proved
        assert len(verdict(outcome)) == 2


def test_one_missing_object_fails_the_demo(evidence: Evidence, kill: Kill) -> None:
    outcome = Outcome(kill, (evidence, Evidence(evidence.picture)))
    assert not outcome.proved
    assert verdict(outcome)[0].startswith("1 of 2")


def test_a_row_tells_how_far_its_object_has_come(picture: Picture) -> None:
    row = Row(picture)
    stages = [row.stage]
    for step, item, arrived in (
        ("sending", None, 0),
        ("unanswered", None, 0),
        ("saved", Item("1", "received", ""), 0),
        ("saved", Item("1", "ready", "queued"), 0),
        ("saved", Item("1", "ready", "held"), 0),
        ("saved", Item("1", "ready", "sent"), 0),
        ("saved", Item("1", "ready", "sent"), 1),
    ):
        row.step, row.item, row.arrived = step, item, arrived  # type: ignore[assignment]
        stages.append(row.stage)
    assert stages == [
        "waiting",
        "on the wire",
        "not acknowledged",
        "saved",
        "prepared and queued",
        "held",
        "sent",
        "in the archive",
    ]


def test_without_a_terminal_each_change_is_one_plain_line(picture: Picture) -> None:
    out = io.StringIO()
    board = Board([picture])
    with Screen(Console(file=out, force_terminal=False)) as screen:
        screen.show(board.rows)
        board.tell(picture.sop_instance_uid, "saved")
        screen.show(board.rows)
        screen.show(board.rows)
        screen.say("[red]done[/]")
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "rgb: saved",
        "0.0 s  [red]done[/]",
    ]
