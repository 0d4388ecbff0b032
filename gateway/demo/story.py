"""The main job, played once: send, kill in the middle, start again, deliver.

Takes      the gateway, a modality and an archive, none of them running yet
Gives      the proof of each object, and what was in flight when the gateway was killed
Holds      `ChildFailed` where a program does not do its part
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.demo.appliance import Appliance
from gateway.demo.board import Board
from gateway.demo.compare import Evidence, prove
from gateway.demo.peers import Archive, Modality, Stored
from gateway.demo.pictures import Picture
from gateway.demo.relay import NEVER, Relay
from gateway.demo.screen import Screen
from gateway.language import _

SEND_S = 60.0
DELIVER_S = 60.0
LOOK_S = 0.5  #: at least this often the gateway is asked, also when nothing was heard


@dataclass(frozen=True, slots=True)
class Kill:
    """What the gateway held at the moment it was killed, asked of it while it was dead."""

    on_the_wire: tuple[Picture, ...]  #: partly received, never answered, and not in the spool
    unsent: tuple[Picture, ...]  #: acknowledged, in the spool, not sent
    lost: tuple[Picture, ...]  #: acknowledged, and not in the spool: must be empty


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that the demo has to show."""

    kill: Kill
    evidence: tuple[Evidence, ...]

    @property
    def proved(self) -> bool:
        """Whether the demo showed what it promises; a kill that hit nothing shows nothing."""
        hit = bool(self.kill.on_the_wire and self.kill.unsent and not self.kill.lost)
        return hit and all(each.proved for each in self.evidence)


@dataclass(frozen=True, slots=True)
class Story:
    """The players and the place where they are watched."""

    appliance: Appliance
    modality: Modality
    archive: Archive
    board: Board
    screen: Screen

    def play(self) -> Outcome:
        """Run it from the first image to the last proof."""
        pictures = [row.picture for row in self.board.rows]
        self._open(len(pictures))
        kill = self._kill_in_the_middle(pictures)
        self._start_again()
        self._deliver()
        self.screen.say(_("Every object is compared with what the modality had."))
        stored = self.archive.stored()
        return Outcome(kill, tuple(self._prove(each, stored) for each in pictures))

    def _prove(self, picture: Picture, stored: Mapping[str, Stored]) -> Evidence:
        return prove(picture, stored.get(picture.sop_instance_uid), self.archive.drops)

    def _open(self, count: int) -> None:
        self.screen.say(_("The archive is down. The gateway starts."))
        self.appliance.start()
        text = _("The ultrasound sends {count} images ({program}).")
        self.screen.say(text.format(count=count, program=self.modality.name))

    def _kill_in_the_middle(self, pictures: Sequence[Picture]) -> Kill:
        """Send all, stop the wire half-way through the middle one, kill, and look."""
        middle = len(pictures) // 2
        with self._sending(pictures, _bytes_until_half_of(pictures, middle)) as (wire, sending):
            self._follow(lambda: wire.stopped.is_set() or sending.done(), SEND_S)
            if wire.stopped.is_set():
                text = _("{name} is on the wire: half of it has gone, the rest is still to come.")
                self.screen.say(text.format(name=pictures[middle].name))
            self.appliance.kill()
            self.screen.say(_("SIGKILL: no process of the gateway is left."))
        return self._look_at_the_dead()

    def _look_at_the_dead(self) -> Kill:
        """Ask the killed gateway's spool what it holds."""
        self._look()
        saved = [row for row in self.board.rows if row.received]
        kill = Kill(
            on_the_wire=tuple(
                row.picture for row in self.board.rows if row.step == "unanswered" and not row.item
            ),
            unsent=tuple(row.picture for row in saved if row.item and row.item.unsent),
            lost=tuple(row.picture for row in saved if not row.item),
        )
        text = _("At the kill: {wire} on the wire, {unsent} acknowledged and not yet sent.")
        self.screen.say(text.format(wire=len(kill.on_the_wire), unsent=len(kill.unsent)))
        return kill

    def _start_again(self) -> None:
        self.screen.say(_("The gateway starts again."))
        self.appliance.start()
        again = self.board.unacknowledged()
        text = _("The ultrasound sends again what was not acknowledged: {count} images.")
        self.screen.say(text.format(count=len(again)))
        with self._sending(again) as (_wire, sending):
            self._follow(sending.done, SEND_S)

    def _deliver(self) -> None:
        text = _("The archive comes up ({program}). The gateway delivers.")
        self.screen.say(text.format(program=self.archive.name))
        self.archive.start(self.board.hear)
        rows = self.board.rows
        self._follow(lambda: all(row.sent and row.arrived for row in rows), DELIVER_S)

    @contextmanager
    def _sending(
        self, pictures: Sequence[Picture], stop_after_bytes: int = NEVER
    ) -> Iterator[tuple[Relay, Future[None]]]:
        """Send `pictures` in a thread; on leaving the wire ends first, and so the modality."""
        with ThreadPoolExecutor(1) as thread:
            with Relay(self.appliance.port, stop_after_bytes) as wire:
                sending = thread.submit(self.modality.send, pictures, wire.port, self.board.tell)
                yield wire, sending
            sending.result()

    def _follow(self, done: Callable[[], bool], within_s: float) -> None:
        """Show every change until `done`, or until `within_s` has passed."""
        ends_at_s = time.monotonic() + within_s
        while not done() and time.monotonic() < ends_at_s:
            self.board.news.wait(LOOK_S)
            self.board.news.clear()
            self._look()

    def _look(self) -> None:
        self.board.observe(self.appliance.items(), self.archive.arrived())
        self.screen.show(self.board.rows)


def _bytes_until_half_of(pictures: Sequence[Picture], index: int) -> int:
    """Return how many bytes go over the wire until half of `pictures[index]` has gone.

    Commands, PDU headers and the association itself (some 10 KB) are not counted: the middle
    picture is the largest, so that the cut falls into it all the same.
    """
    before = sum(picture.dataset_bytes for picture in pictures[:index])
    return before + pictures[index].dataset_bytes // 2
