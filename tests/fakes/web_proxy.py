"""web_proxy: a real HTTP proxy on loopback, that notes whom it was asked for (RFC 9110 9.3.6)."""

import contextlib
import socket
import threading


class WebProxy:
    """Tunnels what CONNECT asks for; `asked` holds the first line of each connection.

    `seen` holds every byte that passed from the client on.
    """

    def __init__(self, *, refuses: bytes = b"") -> None:
        self.asked, self.seen, self._refuses = list[str](), bytearray(), refuses
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = bytearray()
            while b"\r\n\r\n" not in head:
                head += client.recv(1)
            first = head.split(b"\r\n")[0].decode()
            self.asked.append(first)
            if self._refuses:
                client.sendall(self._refuses)
                return
            host, _, port = first.split()[1].rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
                back.start()
                self._pass(client, server, note=True)
                back.join()

    def _pass(self, source: socket.socket, target: socket.socket, *, note: bool = False) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                if note:
                    self.seen += piece
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
