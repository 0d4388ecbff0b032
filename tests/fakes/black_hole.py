"""black_hole: a port where a SYN is not answered, as behind a firewall that drops it."""

import contextlib
import socket


class BlackHole:
    """Listens from construction to `close`, with a full queue (man 2 listen), and never accepts."""

    def __init__(self) -> None:
        self._sockets = contextlib.ExitStack()
        door = self._sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        self.port = int(door.getsockname()[1])
        for _ in range(3):
            caller = self._sockets.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        """Free the port, for an archive that comes back."""
        self._sockets.close()
