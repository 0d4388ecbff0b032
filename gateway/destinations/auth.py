"""auth: how a dicomweb destination is told who we are.

Takes      a request that is ready to go
Gives      the request with what proves who we are
Defers     ArchiveAway: a file with a secret is not there, a token is not to be had
Holds      nothing that is written anywhere: secrets are read from files at each use

One kind a class: none, Basic and Bearer here, tokens in `auth_token`, AWS in `auth_aws`; which of
them it is, `auth_choice` says.

References: RFC 7617 (Basic), RFC 6750 2.1 (Bearer).
"""

import base64
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import requests

from gateway.config.secret import Secret, SecretUnreadable, first_line
from gateway.destinations.archive import ArchiveAway
from gateway.destinations.http_line import Line

#: Opens a line to an address beside the archive's own: the one that gives out tokens.
LineTo = Callable[[str], Line]


class Authentication(Protocol):
    """Proves who we are; used by one thread, except for `interrupt`."""

    def sign(self, request: requests.PreparedRequest) -> None:
        """Add what proves who we are.

        Raises
        ------
        ArchiveAway
        """
        ...

    def renew(self) -> bool:
        """After a 401: tell whether there is something newer to try with."""
        ...

    def interrupt(self) -> None:
        """End what hangs, from another thread."""
        ...


class Anonymous:
    """Says nothing; what has no line of its own has nothing that hangs."""

    def sign(self, request: requests.PreparedRequest) -> None:
        return

    def renew(self) -> bool:
        return False

    def interrupt(self) -> None:
        return


class Basic(Anonymous):
    """A user and a password (RFC 7617)."""

    def __init__(self, user: str, file: Path) -> None:
        self._user, self._file, self._used = user, file, Secret("")

    def sign(self, request: requests.PreparedRequest) -> None:
        with unreadable_is_away():
            self._used = first_line(self._file)
        pair = f"{self._user}:{self._used.reveal()}".encode()
        request.headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"

    def renew(self) -> bool:
        with unreadable_is_away():
            return first_line(self._file) != self._used


class Bearer(Anonymous):
    """A token that somebody else puts into a file, and renews there (RFC 6750)."""

    def __init__(self, file: Path) -> None:
        self._file, self._used = file, Secret("")

    def sign(self, request: requests.PreparedRequest) -> None:
        with unreadable_is_away():
            self._used = first_line(self._file)
        request.headers["Authorization"] = f"Bearer {self._used.reveal()}"

    def renew(self) -> bool:
        with unreadable_is_away():
            return first_line(self._file) != self._used


@contextlib.contextmanager
def unreadable_is_away() -> Iterator[None]:
    """A secret that cannot be read keeps every image of this destination waiting."""
    try:
        yield
    except SecretUnreadable as fault:
        raise ArchiveAway(fault.code, str(fault.path), whole=True) from fault
