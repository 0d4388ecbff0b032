"""`gateway demo`: play the main job in a folder of its own, prove it, write the page.

Takes      the peers to play against, and where the page goes
Gives      exit code 0 when every object arrived unaltered and the kill hit what it must
Holds      nothing: every program it started ends with it
"""

import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from gateway.demo.appliance import Appliance
from gateway.demo.board import Board
from gateway.demo.children import ChildFailed
from gateway.demo.embedded import EmbeddedArchive, EmbeddedModality
from gateway.demo.orthanc import Orthanc, Storescu
from gateway.demo.page import write_page
from gateway.demo.peers import Archive, MissingTool, Modality
from gateway.demo.pictures import make_pictures
from gateway.demo.screen import Screen
from gateway.demo.story import Outcome, Story
from gateway.language import _

NOT_PROVED = 1
INTERRUPTED = 128 + signal.SIGINT
PAGE = "demo.html"

Peers = Callable[[Path], tuple[Modality, Archive]]


def main(*, orthanc: bool, out: Path, keep: bool) -> int:
    """Show the main job and return the exit code for the shell.

    Parameters
    ----------
    orthanc
        True: DCMTK's storescu and a real Orthanc; False: the embedded peers.
    out
        Folder for the page `demo.html`; made where it is missing.
    keep
        The working folder stays, with every log and every object.
    """
    try:
        return show(with_orthanc if orthanc else with_embedded, out=out, keep=keep)
    except MissingTool as missing:
        text = _("{program} is not installed. Install it with: apt-get install {package}")
        print(text.format(program=missing.program, package=missing.package), file=sys.stderr)
        return os.EX_UNAVAILABLE
    except KeyboardInterrupt:
        return INTERRUPTED
    except ChildFailed as failed:
        print(_("A program did not do its part: {what}").format(what=failed), file=sys.stderr)
        return os.EX_SOFTWARE


def with_embedded(folder: Path) -> tuple[Modality, Archive]:
    """Return the peers that come with the gateway."""
    return EmbeddedModality(folder), EmbeddedArchive(folder)


def with_orthanc(folder: Path) -> tuple[Modality, Archive]:
    """Return DCMTK and Orthanc.

    Raises
    ------
    MissingTool
        One of the two is not installed.
    """
    return Storescu(folder), Orthanc(folder)


def show(peers: Peers, *, out: Path, keep: bool) -> int:
    """Play the story against `peers`, print the proof, write the page, return the exit code."""
    with ExitStack() as ending:
        ending.enter_context(_quiet_samples())
        ending.enter_context(_terminated_is_ended())
        folder = ending.enter_context(_working_folder(keep=keep))
        screen = ending.enter_context(Screen())
        outcome = _play(peers, folder, screen, ending)
        page = out / PAGE
        write_page(page, outcome, screen.said, verdict(outcome))
        screen.table(outcome.evidence)
        screen.close_with([*verdict(outcome), *_places(page, folder, keep=keep)])
    return 0 if outcome.proved else NOT_PROVED


def _play(peers: Peers, folder: Path, screen: Screen, ending: ExitStack) -> Outcome:
    """Put the players together and let them play; `ending` ends each of them."""
    samples = folder / "modality"
    samples.mkdir()
    modality, archive = peers(folder)
    ending.callback(archive.stop)
    board = Board(make_pictures(samples))
    appliance = Appliance(folder, archive.port, board.hear)
    ending.callback(appliance.stop)
    return Story(appliance, modality, archive, board, screen).play()


def _places(page: Path, folder: Path, *, keep: bool) -> Iterator[str]:
    yield _("The page with the pictures lies in {path}").format(path=page.resolve())
    if keep:
        yield _("Everything else lies in {path}").format(path=folder)


def verdict(outcome: Outcome) -> list[str]:
    """Return the outcome in sentences: how many arrived whole, then each fault of the kill."""
    good = sum(each.proved for each in outcome.evidence)
    counts = {"good": good, "count": len(outcome.evidence)}
    sentences = [
        _("{good} of {count} objects arrived with equal pixels and equal elements.").format(
            **counts
        )
    ]
    if not outcome.kill.on_the_wire:
        sentences.append(_("The kill hit no object on the wire: nothing is shown by it."))
    if not outcome.kill.unsent:
        sentences.append(_("The kill hit no acknowledged, unsent object: nothing is shown by it."))
    if outcome.kill.lost:
        names = ", ".join(picture.name for picture in outcome.kill.lost)
        sentences.append(_("Acknowledged and lost by the kill: {names}").format(names=names))
    return sentences


@contextmanager
def _working_folder(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


@contextmanager
def _terminated_is_ended() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C: children end, the working folder goes."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _quiet_samples() -> Iterator[None]:
    """Keep pydicom's remarks on what old modalities wrote off the screen."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield
