"""port: our own DICOM port in this process, as the intake runs it, on a spool of the test."""

import threading

from gateway.config.model import Destination, Gateway, Listen, Receive, Settings
from gateway.stages import receive
from spool.store import Spool


class Port:
    """Listens from construction to `close`, under the title EDGE."""

    def __init__(
        self, spool: Spool, *destinations: Destination, limits: Receive | None = None
    ) -> None:
        settings = Settings(
            gateway=Gateway(name="test", ae_title="EDGE", state_dir=spool.state_dir),
            listen=(Listen(kind="dicom", address="127.0.0.1", port=0),),
            destination=destinations,
            receive=limits or Receive(),
        )
        self._stage = receive.Receive(settings, spool)
        self.port = int(self._stage._doors[0].socket.getsockname()[1])
        self._thread = threading.Thread(target=self._stage.run)
        self._thread.start()

    def close(self) -> None:
        """Return when every association has ended; the second call does nothing."""
        if not self._thread.is_alive():
            return
        self._stage.stop()
        self._thread.join()
        self._stage._wake.close()
        self._stage._waker.close()
