"""auth_google: tokens for a Google service account, for a statement signed with its key.

Takes      the key file that Google gives out, JSON
Gives      a signed statement (JWT), exchanged for a token at the file's own token_uri
Defers     google-key: the file is not what Google gives out; extra-missing; token-refused
Holds      nothing; the key is read again for each token, so about once an hour

References: RFC 7515 7.1 (JWS compact form), RFC 7518 3.3 (RS256), RFC 7523 3 (claims).
"""

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.config.secret import Secret, whole
from gateway.destinations.archive import ArchiveAway
from gateway.destinations.auth import LineTo, unreadable_is_away
from gateway.destinations.auth_token import Endpoint
from gateway.destinations.origin import origin_of

SCOPE = "https://www.googleapis.com/auth/cloud-healthcare"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: The longest that Google takes.
GOOD_S = 3_600


@dataclass(frozen=True, slots=True)
class Key:
    """What of a key file is needed."""

    account: str
    number: str  #: of the key: an account may have several
    token_url: str
    private: Secret  #: PEM


class ServiceAccount:
    """A giver of tokens for one key file."""

    def __init__(self, key_file: Path, scope: str, line_to: LineTo) -> None:
        self._file, self._scope, self._line_to = key_file, scope or SCOPE, line_to
        self._endpoint: Endpoint | None = None

    def ask(self) -> tuple[Secret, float]:
        with unreadable_is_away():
            key = key_of(whole(self._file), self._file)
        if self._endpoint is None or self._endpoint.url != key.token_url:
            self._endpoint = Endpoint(key.token_url, self._line_to)
        statement = Secret(signed(key, self._scope, int(time.time()), self._file))
        form = {"grant_type": GRANT, "assertion": statement.reveal()}
        answer = self._endpoint.post(form, {})
        return self._endpoint.token_in(answer, statement)

    def interrupt(self) -> None:
        if endpoint := self._endpoint:
            endpoint.interrupt()


def key_of(text: Secret, file: Path) -> Key:
    """Return what a key file says.

    Raises
    ------
    ArchiveAway
        `google-key`, with the file's name.
    """
    try:
        said = json.loads(text.reveal())
        fields = [said[key] for key in ("client_email", "private_key_id", "token_uri")]
        account, number, token_url = map(str, fields)
        origin_of(token_url)
        return Key(account, number, token_url, Secret(said["private_key"]))
    except (ValueError, KeyError, TypeError):  # its text would show the key
        raise ArchiveAway("google-key", str(file), whole=True) from None


def signed(key: Key, scope: str, now: int, file: Path) -> str:
    """Return the statement that `key` may have a token, signed; `now` in seconds since 1970.

    Raises
    ------
    ArchiveAway
    """
    head = {"alg": "RS256", "typ": "JWT", "kid": key.number}
    claims: dict[str, str | int] = {"iss": key.account, "scope": scope, "aud": key.token_url}
    claims |= {"iat": now, "exp": now + GOOD_S}
    said = f"{_packed(json.dumps(head).encode())}.{_packed(json.dumps(claims).encode())}"
    return f"{said}.{_packed(_rs256(key.private, said.encode(), file))}"


def _rs256(private: Secret, message: bytes, file: Path) -> bytes:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
    except ImportError as fault:
        raise ArchiveAway("extra-missing", "google", whole=True) from fault
    try:
        key = serialization.load_pem_private_key(private.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ArchiveAway("google-key", str(file), whole=True) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ArchiveAway("google-key", str(file), whole=True)
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def _packed(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
