"""http_line: requests to one origin, over connections of our own making.

Takes      a request, signed by who knows how
Gives      an HttpAnswer whose body is still on the wire
Defers     ArchiveAway, with what failed: name, route, proxy, TLS, the answer
Holds      nothing sent in clear where https was said; no cookie, no proxy of the environment, no
           password of ~/.netrc; nothing to a link-local address that a name leads to
Repeats    nothing: a request is sent once

Each connection checks whom it has reached before the first byte is written: a name server that
changes its answer between a check and the connection would pass any earlier one.

References: RFC 9110, RFC 9112; man 7 ip.
"""

import contextlib
import http.client
import http.cookiejar
import re
import socket
import ssl
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, exceptions
from urllib3.connection import HTTPConnection, HTTPSConnection

from gateway.destinations.archive import ArchiveAway
from gateway.destinations.http_answer import HttpAnswer
from gateway.destinations.origin import Origin, is_link_local, origin_of
from gateway.dicom import certificate
from gateway.dicom.probe import words_at
from gateway.dicom.tls import BadFile, Secured, words_of

#: Kinds of HTTPException that say no more than that the peer has gone.
_LOST = (ConnectionError, http.client.IncompleteRead)
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: (\d+)")


@dataclass(frozen=True, slots=True)
class Reach:
    """How an origin is reached."""

    connect_s: float
    answer_s: float
    secured: Secured  #: https: whom to trust, and who we are
    proxy: str | None = None  #: ``http://HOST:PORT``


class Line:
    """Asks one origin; used by one thread, except for `interrupt`."""

    def __init__(self, origin: Origin, reach: Reach) -> None:
        self.origin, self._reach = origin, reach
        #: The very address that a person wrote, or the proxy's, is meant: only names are judged.
        self._meant = frozenset({origin.host, origin_of(reach.proxy).host if reach.proxy else ""})
        self._connections: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._interrupted = False
        self._session = self._new_session()
        #: As addresses of this origin look once they are prepared: a name may be xn--… then.
        itself = self._session.prepare_request(requests.Request("GET", str(origin)))
        self._goes_to = origin_of(str(itself.url))

    def ask(
        self,
        request: requests.Request,
        sign: Callable[[requests.PreparedRequest], None] = lambda _prepared: None,
    ) -> HttpAnswer:
        """Send `request` and return the answer when its headers are there.

        Raises
        ------
        ArchiveAway
        ValueError
            The address lies elsewhere: neither request nor credentials go there.
        """
        request.headers = {"Accept-Encoding": "identity", **request.headers}
        prepared = self._session.prepare_request(request)
        # Judged as it was given and as it will go: what prepares it reads addresses in its own way.
        asked, goes_to = origin_of(str(request.url)), origin_of(str(prepared.url))
        if (asked, goes_to) != (self.origin, self._goes_to):
            raise ValueError("another origin")
        sign(prepared)
        proxies = {"http": self._reach.proxy, "https": self._reach.proxy}
        with self._guarded():
            response = self._session.send(
                prepared,
                stream=True,
                timeout=(self._reach.connect_s, self._reach.answer_s),
                allow_redirects=False,
                proxies={key: one for key, one in proxies.items() if one},
            )
        return HttpAnswer(response.status_code, response.headers, response.raw, self._guarded)

    def close(self) -> None:
        """Close what is open; the next request connects anew."""
        self._session.close()

    def interrupt(self) -> None:
        """End what hangs, from another thread: it raises ArchiveAway, as does all that follows."""
        self._interrupted = True
        for one in list(self._connections):
            connected = one.sock
            if connected is not None:
                with contextlib.suppress(OSError):  # it has ended in this moment
                    # Not SSLSocket's own, which takes the session from under the other thread.
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def connected(self, connection: HTTPConnection, peer: str) -> None:
        """Judge whom a new connection has reached, before anything is sent.

        Raises
        ------
        ArchiveAway
        """
        if is_link_local(peer) and peer not in self._meant:
            raise ArchiveAway("address-refused", peer, whole=True)
        self._connections.add(connection)
        if self._interrupted:
            raise ArchiveAway("stopped")

    def encrypted(self, connected: socket.socket, host: str) -> ssl.SSLSocket:
        """Return the socket under TLS, before the handshake, so that `interrupt` reaches it."""
        secured = self._reach.secured
        return secured.context().wrap_socket(
            connected, server_hostname=secured.name_at(host), do_handshake_on_connect=False
        )

    def proved(self, secured: ssl.SSLSocket) -> None:
        """Tell what the archive has shown of itself."""
        told, der = self._reach.secured.told, secured.getpeercert(binary_form=True)
        if told and der:
            with contextlib.suppress(ValueError):  # OpenSSL takes it; its days cannot be told
                told(certificate.of_der(der))

    def words_of(self, fault: OSError | BadFile) -> tuple[str, str]:
        """Return code and detail of what kept us from encrypting."""
        if self._reach.proxy:  # nobody else can have a look at it
            return words_of(fault)
        return words_at(fault, self.origin.host, self.origin.port, self._reach.secured)

    def wait_for_room(self, connection: HTTPConnection) -> None:
        """Let an archive be slow to take what we send, as it may be slow to answer."""
        if connection.sock is not None:
            connection.sock.settimeout(self._reach.answer_s)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            if self._interrupted:
                raise ArchiveAway("stopped")
            yield
        except ArchiveAway:
            raise
        except (requests.RequestException, exceptions.HTTPError, OSError, ValueError) as fault:
            if self._interrupted:
                raise ArchiveAway("stopped") from fault
            raise _away(fault) from fault

    def _new_session(self) -> requests.Session:
        session = _Session()
        session.trust_env = False  # neither proxies nor ~/.netrc that nobody wrote for this box
        session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
        session.headers.clear()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self))
        return session


class _Session(requests.Session):
    """A session that looks at no redirect: the library would read its body without a bound."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Adapter(HTTPAdapter):
    """Makes pools whose connections belong to a line; whom they trust is the line's alone."""

    def __init__(self, line: Line) -> None:
        plain = type("Plain", (_Plain,), {"line": line})
        tls = type("Tls", (_Tls,), {"line": line})
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, _tls = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: the base class would add certifi's authorities to the archive's own."""


class _Plain(HTTPConnection):
    """A connection that names its faults, and is judged before it is used."""

    line: Line

    def connect(self) -> None:
        super().connect()
        self.line.wait_for_room(self)

    def _new_conn(self) -> socket.socket:
        try:
            connected = super()._new_conn()
        except exceptions.HTTPError as fault:
            raise ArchiveAway(*_not_reached(self, fault), whole=True) from fault
        try:
            self.line.connected(self, connected.getpeername()[0])
        except BaseException:
            connected.close()
            raise
        return connected

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        except TimeoutError as fault:
            raise ArchiveAway("proxy-unreachable", "no answer", whole=True) from fault
        except (OSError, http.client.HTTPException) as fault:
            status = _TUNNEL_STATUS.search(str(fault))
            raise ArchiveAway("proxy-refused", status[1] if status else "", whole=True) from fault


class _Tls(_Plain, HTTPSConnection):
    """As `_Plain`, and encrypted by the line's own context, which urllib3 would alter."""

    def connect(self) -> None:
        self.sock = self._new_conn()
        if self._tunnel_host:
            self._tunnel()
        try:
            self.sock = self.line.encrypted(self.sock, self._tunnel_host or self.host)
            self.sock.do_handshake()
        except (OSError, BadFile) as fault:  # an SSLError is an OSError
            raise ArchiveAway(*self.line.words_of(fault), whole=True) from fault
        self.line.proved(self.sock)
        self.is_verified = True
        self.line.wait_for_room(self)

    def send(self, data: Any) -> None:
        """Send; a server of TLS 1.3 says only now what it thinks of our certificate."""
        try:
            super().send(data)
        except OSError as fault:
            raise _refusal(self.sock) or fault from fault


def _refusal(connected: socket.socket | None) -> ssl.SSLError | None:
    """Return what the archive said before it hung up, None where it said nothing."""
    try:
        if connected is not None:
            connected.setblocking(False)
            connected.recv(1)
    except (ssl.SSLWantReadError, ssl.SSLEOFError):
        return None
    except ssl.SSLError as said:
        return said
    except OSError:
        return None
    return None


def _not_reached(connection: HTTPConnection, fault: exceptions.HTTPError) -> tuple[str, str]:
    place, cause = f"{connection.host}:{connection.port}", fault.__cause__
    if connection.proxy:
        return "proxy-unreachable", place
    if isinstance(fault, exceptions.NameResolutionError):
        return "unknown-host", connection.host
    if isinstance(cause, TimeoutError):
        return "connect-timeout", place
    if isinstance(cause, ConnectionRefusedError):
        return "connection-refused", place
    return "unreachable", f"{place}: {getattr(cause, 'strerror', None) or 'no route'}"


def _away(fault: BaseException) -> ArchiveAway:
    """Return what ended a request that was on its way, by the innermost cause that is known."""
    causes = list(_causes(fault))
    if any(isinstance(one, TimeoutError | exceptions.ReadTimeoutError) for one in causes):
        return ArchiveAway("timeout")
    for one in causes:
        if isinstance(one, http.client.HTTPException) and not isinstance(one, _LOST):
            return ArchiveAway("not-http", whole=True)
        if isinstance(one, ssl.SSLError):
            return ArchiveAway(*words_of(one))
    if any(isinstance(one, OSError | exceptions.ProtocolError) for one in causes):
        return ArchiveAway("closed", type(causes[-1]).__name__)
    return ArchiveAway("not-http", type(causes[-1]).__name__, whole=True)


def _causes(fault: BaseException) -> Iterator[BaseException]:
    """Yield a fault and all that it wraps, outermost first; the libraries wrap by argument too."""
    seen: set[int] = set()
    todo: list[BaseException] = [fault]
    while todo:
        one = todo.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
        todo += [each for each in inner if isinstance(each, BaseException)]
