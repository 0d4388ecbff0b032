"""auth_token: access tokens, each until shortly before its end.

Takes      who gives them out, and what is sent there: a client's secret, or a signed statement
Gives      the token in the request; a new one after a 401
Defers     token-refused, with what the server said; token-unreachable
Holds      the token in memory alone; a restart asks for another one

References: RFC 6749 4.4 (client credentials), 2.3.1 (client authentication), 5.1, 5.2 (answers);
RFC 7523 2.1 (JWT as an authorization grant).
"""

import base64
import json
import time
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

import requests

from gateway.config.secret import Secret, first_line
from gateway.destinations.archive import ArchiveAway
from gateway.destinations.auth import LineTo, unreadable_is_away
from gateway.destinations.http_answer import HttpAnswer, TooLong
from gateway.destinations.http_line import Line
from gateway.destinations.origin import origin_of

ANSWER_BYTES_MOST = 65_536
SAID_MOST = 160
#: Of a token whose answer does not say how long it is good (RFC 6749 5.1 only recommends it).
UNSAID_S = 300.0
#: A token is renewed so long before its end: an upload that begins may take a while.
EARLY_MOST_S = 120.0


class Giver(Protocol):
    """Asks for one token."""

    def ask(self) -> tuple[Secret, float]:
        """Return a token, and the seconds for which it is good.

        Raises
        ------
        ArchiveAway
        """
        ...

    def interrupt(self) -> None: ...


class Tokens:
    """Bearer tokens of a giver."""

    def __init__(self, giver: Giver) -> None:
        self._giver = giver
        self._token, self._renew_at = Secret(""), 0.0

    def sign(self, request: requests.PreparedRequest) -> None:
        if time.monotonic() >= self._renew_at:
            asked_at = time.monotonic()
            self._token, good_s = self._giver.ask()
            self._renew_at = asked_at + good_s - min(EARLY_MOST_S, good_s / 4)
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"

    def renew(self) -> bool:
        self._renew_at = 0.0
        return True

    def interrupt(self) -> None:
        self._giver.interrupt()


class Endpoint:
    """The address that gives out tokens: bound to its own scheme, host and port."""

    def __init__(self, url: str, line_to: LineTo) -> None:
        self.url, self.name = url, str(origin_of(url))
        self._line: Line = line_to(url)

    def post(self, form: dict[str, str], headers: dict[str, str]) -> HttpAnswer:
        """Send a form and return the answer, whatever its status."""
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            **headers,
        }
        try:
            return self._line.ask(requests.Request("POST", self.url, headers, data=urlencode(form)))
        except ArchiveAway as fault:
            detail = f"{self.name}: {fault.code} {fault.detail}".rstrip()
            raise ArchiveAway("token-unreachable", detail, whole=True) from fault

    def token_in(self, answer: HttpAnswer, *shown: Secret) -> tuple[Secret, float]:
        """Return the token that an answer brings, and for how long it is good.

        `shown` is what we have shown of ourselves: a careless server repeats it in its error.

        Raises
        ------
        ArchiveAway
        """
        with answer:
            said = self._json(answer)
        if answer.status == 200 and isinstance(token := said.get("access_token"), str) and token:
            return Secret(token), _seconds(said.get("expires_in"))
        words = f"{said.get('error', '')} {said.get('error_description', '')}".strip()
        for secret in shown:
            words = secret.masked(words)
        detail = f"{self.name}: {answer.status} {words[:SAID_MOST]}".rstrip()
        retry_s = answer.retry_after_s
        raise ArchiveAway("token-refused", detail, whole=True, retry_after_s=retry_s)

    def interrupt(self) -> None:
        self._line.interrupt()

    def _json(self, answer: HttpAnswer) -> dict[str, object]:
        """Return what was said, nothing where it is not what RFC 6749 asks for."""
        try:
            said = json.loads(answer.read(ANSWER_BYTES_MOST))
        except (ValueError, TooLong, RecursionError):
            return {}
        except ArchiveAway as fault:
            raise ArchiveAway("token-unreachable", self.name, whole=True) from fault
        return said if isinstance(said, dict) else {}


class ClientCredentials:
    """A client's name and secret (RFC 6749 4.4)."""

    def __init__(
        self, token_url: str, client_id: str, secret_file: Path, scope: str, line_to: LineTo
    ) -> None:
        self._endpoint = Endpoint(token_url, line_to)
        self._client_id, self._secret_file, self._scope = client_id, secret_file, scope
        self._in_form = False  #: this server takes the secret only in the form

    def ask(self) -> tuple[Secret, float]:
        with unreadable_is_away():
            secret = first_line(self._secret_file)
        answer = self._post(secret)
        # Every server must know Basic and may know the form (RFC 6749 2.3.1); some know only that.
        if answer.status in (400, 401) and not self._in_form:
            answer.close()
            self._in_form = True
            answer = self._post(secret)
        try:
            return self._endpoint.token_in(answer, secret, self._pair(secret))
        except ArchiveAway:
            self._in_form = False
            raise

    def interrupt(self) -> None:
        self._endpoint.interrupt()

    def _post(self, secret: Secret) -> HttpAnswer:
        form, headers = {"grant_type": "client_credentials"}, dict[str, str]()
        if self._scope:
            form["scope"] = self._scope
        if self._in_form:
            form |= {"client_id": self._client_id, "client_secret": secret.reveal()}
        else:
            headers["Authorization"] = f"Basic {self._pair(secret).reveal()}"
        return self._endpoint.post(form, headers)

    def _pair(self, secret: Secret) -> Secret:
        pair = f"{quote(self._client_id, '')}:{quote(secret.reveal(), '')}"
        return Secret(base64.b64encode(pair.encode()).decode())


def _seconds(value: object) -> float:
    """Return for how long a token is good; some servers write the number as text."""
    try:
        good_s = float(str(value))
    except ValueError:
        return UNSAID_S
    return good_s if 0 < good_s < 10**7 else UNSAID_S
