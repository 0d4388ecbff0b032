"""sender: a modality that stores without a pause, and knows what it was promised.

Takes      the port of a gateway that may die at any moment
Gives      `sent`, all it began with, and `acked`, what was answered 0x0000 and when
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.fakes import upper_layer as ul
from tests.fakes.modality import Modality
from tests.lab.pictures import Picture

AGAIN_S = 0.2  #: the pause before an association that failed is tried again


@dataclass(frozen=True, slots=True)
class Acked:
    """A promise: it was heard when the drive had seen `position` requests, or fewer."""

    picture: Picture
    position: int


class Sender:
    """Stores `pictures` one after the other over `port`, to the last one or to `stop`."""

    def __init__(self, port: int, pictures: Iterator[Picture], position: Callable[[], int]) -> None:
        self.sent: list[Picture] = []
        self.acked: list[Acked] = []
        self._port, self._pictures, self._position = port, pictures, position
        self._heard, self._over = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def wait_for(self, count: int, within_s: float) -> None:
        """Return when `count` objects are acknowledged."""
        with self._heard:
            reached = self._heard.wait_for(lambda: len(self.acked) >= count, within_s)
        assert reached, f"{len(self.acked)} of {count} acknowledged within {within_s} s"

    def stop(self) -> None:
        """Return when nothing is sent any more; the gateway must be dead, or answer."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                self._associate()
            except OSError:  # the power went, or is not there yet
                self._over.wait(AGAIN_S)

    def _associate(self) -> None:
        with Modality(self._port) as modality:
            while not self._over.is_set():
                if picture := next(self._pictures, None):
                    self._store(modality, picture)
                else:
                    self._over.set()

    def _store(self, modality: Modality, picture: Picture) -> None:
        self.sent.append(picture)
        status = modality.store(ul.US_IMAGE, picture.uid, picture.data)
        if status == 0:
            with self._heard:
                self.acked.append(Acked(picture, self._position()))
                self._heard.notify_all()
