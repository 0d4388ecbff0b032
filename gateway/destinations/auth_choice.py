"""auth_choice: which way of proving who we are a destination's settings ask for.

Takes      a destination's settings
Gives      its `Authentication`; each kind is loaded only where it is asked for
Holds      nothing
"""

from collections.abc import Callable
from pathlib import Path

from gateway.config.model import Destination
from gateway.destinations.auth import Anonymous, Authentication, Basic, Bearer, LineTo


def authentication_of(
    one: Destination, place_of: Callable[[Path], Path], line_to: LineTo
) -> Authentication:
    """Return what the settings ask for; one way at most stands there (`gateway.config.relations`).

    `place_of` finds a file among systemd's credentials, or where the setting says.
    """
    if one.user and one.password_file:
        return Basic(one.user, place_of(one.password_file))
    if one.token_file:
        return Bearer(place_of(one.token_file))
    if one.token_url and one.client_id and one.client_secret_file:
        return _client(one, one.token_url, one.client_id, place_of(one.client_secret_file), line_to)
    if one.google_key_file:
        return _google(one, place_of(one.google_key_file), line_to)
    if one.aws_region and one.aws_credentials_file:
        return _aws(one, one.aws_region, place_of(one.aws_credentials_file))
    return Anonymous()


def _client(
    one: Destination, token_url: str, client_id: str, secret_file: Path, line_to: LineTo
) -> Authentication:
    from gateway.destinations.auth_token import ClientCredentials, Tokens

    return Tokens(ClientCredentials(token_url, client_id, secret_file, one.scope or "", line_to))


def _google(one: Destination, key_file: Path, line_to: LineTo) -> Authentication:
    from gateway.destinations.auth_google import ServiceAccount
    from gateway.destinations.auth_token import Tokens

    return Tokens(ServiceAccount(key_file, one.scope or "", line_to))


def _aws(one: Destination, region: str, credentials_file: Path) -> Authentication:
    from gateway.destinations.auth_aws import Signature4

    return Signature4(region, one.aws_service, credentials_file)
