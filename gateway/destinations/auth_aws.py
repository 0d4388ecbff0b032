"""auth_aws: requests signed for AWS (Signature Version 4).

Takes      an AWS credentials file; a request that is ready to go
Gives      the request with its signature, over the body's own SHA-256
Defers     aws-credentials: the file is not one; extra-missing
Holds      nothing: the file is read again for each request, so that short-lived keys work

The body is read twice, once for its hash, instead of being sent as UNSIGNED-PAYLOAD or in signed
chunks, which only some services take. The library would read it into memory to hash it: it is
shown a request without a body, and given the hash.

References: AWS Identity and Access Management, "Create a signed AWS API request";
AWS SDKs and Tools, "Shared config and credentials files".
"""

import configparser
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests

from gateway.config.secret import Secret, whole
from gateway.destinations.archive import ArchiveAway
from gateway.destinations.auth import Anonymous, unreadable_is_away

PROFILE = "default"


class Signature4(Anonymous):
    """Signs for one region and service."""

    def __init__(self, region: str, service: str, credentials_file: Path) -> None:
        self._region, self._service, self._file = region, service, credentials_file

    def sign(self, request: requests.PreparedRequest) -> None:
        with unreadable_is_away():
            credentials = _credentials(whole(self._file), self._file)
        body = request.body
        digest = _sha256(body)
        request.body = None
        try:
            _signer(digest, self._region, self._service, credentials)(request)
        finally:
            request.body = body


def _credentials(text: Secret, file: Path) -> dict[str, Secret]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text.reveal())
        found = {key: Secret(value) for key, value in parser[PROFILE].items()}
    except (configparser.Error, KeyError):  # its text would show a line of the file
        found = {}
    if not {"aws_access_key_id", "aws_secret_access_key"} <= found.keys():
        raise ArchiveAway("aws-credentials", str(file), whole=True)
    return found


def _signer(digest: str, region: str, service: str, credentials: dict[str, Secret]) -> Any:
    """Return what signs a request, as if its body had this SHA-256."""
    try:
        from requests_aws4auth.aws4auth import AWS4Auth
    except ImportError as fault:
        raise ArchiveAway("extra-missing", "aws", whole=True) from fault
    who, secret = credentials["aws_access_key_id"], credentials["aws_secret_access_key"]
    token = credentials.get("aws_session_token")
    signer: Any = AWS4Auth(  # type: ignore[no-untyped-call]
        who.reveal(),
        secret.reveal(),
        region,
        service,
        session_token=token.reveal() if token else None,
    )
    canonical = signer.get_canonical_headers

    def with_digest(request: requests.PreparedRequest, include: Any) -> Any:
        request.headers["x-amz-content-sha256"] = digest
        return canonical(request, include)

    signer.get_canonical_headers = with_digest
    return signer


def _sha256(body: Any) -> str:
    digest = hashlib.sha256()
    pieces: Iterable[bytes] = [body] if isinstance(body, bytes) else body or ()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
