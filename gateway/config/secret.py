"""secret: passwords, tokens and keys, that are read from files and never shown.

Takes      the path of a file, as the configuration names it
Gives      a Secret, whose text is had only by asking for it
Defers     SecretUnreadable: the file is not there, may not be read, or is empty
Holds      nothing: a file is read again at each use, so that a new one counts at once

A path in the folder of the configuration is first looked for among systemd's credentials, by its
name: ``password_file = "pacs-password"`` finds ``LoadCredential=pacs-password:…`` of the unit.

References: man 5 systemd.exec (LoadCredential=), https://systemd.io/CREDENTIALS.
"""

import os
import stat
from pathlib import Path
from urllib.parse import quote, quote_plus

#: The largest is the key file of a cloud account, about 3 kB.
BYTES_MOST = 65_536


class SecretUnreadable(Exception):
    """`code` is stable (see gateway.reasons), `path` names the file."""

    def __init__(self, code: str, path: Path) -> None:
        super().__init__(f"{code}: {path}")
        self.code, self.path = code, path


class Secret:
    """A text that shows itself as ``***``; compared and hashed by what it hides."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text: only for what is sent to whom it belongs."""
        return self._text

    def masked(self, text: str) -> str:
        """Return what a stranger said, without this secret should he have repeated it."""
        for form in {self._text, quote(self._text, ""), quote_plus(self._text)} - {""}:
            text = text.replace(form, str(self))
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not written anywhere")


def place_of(path: Path, config_folder: Path) -> Path:
    """Return where the file lies: among systemd's credentials, or where the setting says."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and path.parent == config_folder.absolute():
        given = Path(credentials) / path.name
        if given.is_file():
            return given
    return path


def first_line(path: Path) -> Secret:
    """Return the first line of a file, without spaces at its ends.

    Raises
    ------
    SecretUnreadable
    """
    lines = whole(path).reveal().splitlines()
    secret = lines[0].strip() if lines else ""
    if not secret:
        raise SecretUnreadable("secret-empty", path)
    return Secret(secret)


def whole(path: Path) -> Secret:
    """Return all of a file, as text.

    Raises
    ------
    SecretUnreadable
    """
    try:
        with path.open("rb") as file:
            return Secret(file.read(BYTES_MOST).decode("utf-8-sig"))
    except FileNotFoundError as fault:
        raise SecretUnreadable("secret-missing", path) from fault
    except (OSError, ValueError):  # the latter, of the encoding, carries the bytes along
        raise SecretUnreadable("secret-unreadable", path) from None


def is_open_to_others(path: Path) -> bool:
    """Tell whether others than owner and group may read the file."""
    return bool(path.stat().st_mode & stat.S_IRWXO)
