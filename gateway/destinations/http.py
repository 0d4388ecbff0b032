"""http: a web service that we know by its base address, and that knows us.

Takes      method, path below the base address, headers, a body that can be read again
Gives      an HttpAnswer, whatever its status, its body still on the wire
Defers     ArchiveAway: not reached, not encrypted, no token, no answer; an answer that sends us
           to another scheme, host or port (`redirected`)
Holds      nothing; credentials go to the configured scheme, host and port alone
Repeats    once after a 401, where there is a newer token or password to try with

    client = HttpClient(destination, settings)
    with client.request("POST", "studies", headers={…}, body=parts) as answer:
        answer.status, answer.content_type, answer.read(1 << 20)

References: RFC 9110 15.4 (redirection), 15.5.2 (401), 9.2.1 (safe methods).
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol
from urllib.parse import quote, urlencode

import requests

from gateway import certificates
from gateway.config.model import Destination, Settings
from gateway.config.secret import place_of
from gateway.destinations.archive import ArchiveAway
from gateway.destinations.auth_choice import authentication_of
from gateway.destinations.http_answer import HttpAnswer
from gateway.destinations.http_line import Line, Reach
from gateway.destinations.let_in import must_be_let_in
from gateway.destinations.origin import below, origin_of, redirected_to
from gateway.dicom.tls import Secured
from spool.facts import Facts

REDIRECTS = (301, 302, 303, 307, 308)
REDIRECTS_MOST = 5


class Body(Protocol):
    """A body of known length that can be read from its start again: for a 401, for a hash."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...


class HttpClient:
    """Speaks to one destination; used by one thread, except for `interrupt`."""

    def __init__(
        self, destination: Destination, settings: Settings, facts: Facts | None = None
    ) -> None:
        self._url = destination.url or ""
        self._destination = destination
        self._secured = certificates.secured_of(destination, facts)
        self._line = self._line_to(self._url)
        place = partial(place_of, config_folder=settings.file.parent)
        self._authentication = authentication_of(destination, place, self._line_to)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
        body: bytes | Body | None = None,
    ) -> HttpAnswer:
        """Send a request below the base address, and return the answer when its headers are there.

        Parameters
        ----------
        path
            ``studies/1.2.3/series``: segments percent-encoded where they have to be.
        body
            In pieces of at most some 64 KiB: each must be taken within `answer_s`.

        Raises
        ------
        ArchiveAway
        ValueError
            `path` does not lie below the base address.
        """
        # A space as %20: not everybody who signs or reads it takes a plus for one.
        asked = urlencode(query, quote_via=quote)
        url = below(self._url, path) + (f"?{asked}" if asked else "")
        answer = self._ask(method, url, headers, body)
        for _ in range(REDIRECTS_MOST):
            if answer.status not in REDIRECTS:
                return answer
            with answer:
                url = self._elsewhere(method, url, answer)
            answer = self._ask(method, url, headers, body)
        answer.close()
        raise ArchiveAway("redirected", "in circles", whole=True)

    def release(self) -> None:
        """Close what is open; the next request connects anew."""
        self._line.close()

    def interrupt(self) -> None:
        """End what hangs, from another thread, for good: all that follows raises ArchiveAway."""
        self._line.interrupt()
        self._authentication.interrupt()

    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | Body | None,
    ) -> HttpAnswer:
        answer = self._once(method, url, headers, body)
        if answer.status == 401 and self._authentication.renew():
            answer.close()
            answer = self._once(method, url, headers, body)
        must_be_let_in(answer)
        return answer

    def _once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | Body | None,
    ) -> HttpAnswer:
        request = requests.Request(method, url, dict(headers or {}), data=body)
        return self._line.ask(request, self._authentication.sign)

    def _elsewhere(self, method: str, url: str, answer: HttpAnswer) -> str:
        """Return where a redirect leads, if it may be followed."""
        origin, target = redirected_to(url, answer.headers.get("Location", ""))
        if method == "GET" and origin == self._line.origin:
            return target
        # Not its path: a careless server may have put there what it should not repeat.
        where = "another path" if origin == self._line.origin else str(origin or "nowhere")
        raise ArchiveAway("redirected", f"{answer.status} {where}", whole=True)

    def _line_to(self, url: str) -> Line:
        """Return a line to an origin: only the archive's own sees our certificate."""
        one, origin = self._destination, origin_of(url)
        is_archive = origin == origin_of(self._url)
        secured = self._secured if is_archive and self._secured else Secured(one.token_ca)
        return Line(origin, Reach(one.connect_s, one.answer_s, secured, one.proxy))
