"""web_server: a real HTTP or HTTPS server on loopback that answers as a test says.

A reply is status, headers and body; or the very bytes, where a test wants none of HTTP's manners.
"""

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What is answered; `raw` replaces all the rest and ends the connection."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    hang_up: bool = False  #: without a word


class WebServer:
    """Serves until closed; `asked` holds all requests, `connections` counts them."""

    def __init__(
        self,
        answer: Callable[[Asked], Reply] = lambda _asked: Reply(),
        *,
        context: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
        early: bool = False,
    ) -> None:
        """`early`: answer before the request's body is read, then close."""
        self.early = early
        self.answer, self.asked, self.connections = answer, list[Asked](), 0
        self._server = _Server((address, 0), self, context)
        self.address, self.port = address, self._server.server_address[1]
        self.scheme = "https" if context else "http"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, place: tuple[str, int], web: WebServer, context: ssl.SSLContext | None):
        self.web, self.context = web, context
        super().__init__(place, _Handler)

    def finish_request(self, request: socket.socket, client_address: object) -> None:
        self.web.connections += 1
        if self.context:  # in this connection's own thread
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)
        request.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what some tests are about."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        self._answer()

    def _answer(self) -> None:
        headers = {key.title(): value for key, value in self.headers.items()}
        early = self.server.web.early
        asked = Asked(self.command, self.path, headers, b"" if early else self._body())
        self.server.web.asked.append(asked)
        reply = self.server.web.answer(asked)
        if reply.hang_up or reply.raw is not None:
            self.wfile.write(reply.raw or b"")
            self.close_connection = True
            return
        self.send_response(reply.status)
        sent = {"Content-Length": str(len(reply.body)), **reply.headers}
        for key, value in sent.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection |= early

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def log_message(self, *_arguments: object) -> None:
        return
