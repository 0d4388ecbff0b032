"""gateway.toml -> Settings, or all its errors at once.

Takes      the path given on the command line, else GATEWAY_CONFIG, else /etc/gateway/gateway.toml
Gives      Settings, typed and checked
Holds      nothing; the file is read once, a running process does not see it change
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from gateway.config import relations
from gateway.config.model import Settings
from gateway.config.problems import ConfigError, Problem
from gateway.config.reader import Reader
from gateway.language import _

DEFAULT_FILE = Path("/etc/gateway/gateway.toml")
_LINE = re.compile(r" \(at line (\d+), column \d+\)$")  # the end of tomllib's message


def config_file(given: str | None) -> Path:
    """Return the file to load: `given` by ``--config``, else ``$GATEWAY_CONFIG``, else in /etc."""
    return Path(given or os.environ.get("GATEWAY_CONFIG") or DEFAULT_FILE)


def load(path: Path | None = None) -> Settings:
    """Return the settings of the file at `path`, or of `config_file(None)`.

    Relative paths in the file start in its folder.  Nothing that a path names is opened.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, or has settings that are refused: all of them.

    References
    ----------
    TOML 1.0, https://toml.io/en/v1.0.0
    """
    file = path or config_file(None)
    reader = Reader(file)
    settings = reader.settings(_parse(file))
    refused = {one.key for one in reader.problems}
    for place, fault in relations.broken(settings, refused):
        reader.refuse(place, fault)
    if reader.problems:
        raise ConfigError(reader.problems)
    return settings


def _parse(file: Path) -> dict[str, Any]:
    try:
        # Editors on Windows put a byte order mark first, which TOML does not know.
        return tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError([Problem(file, "", "unreadable", _unreadable(error))]) from error
    except UnicodeDecodeError as error:
        text = _("The file is not UTF-8: save it with this encoding.")
        raise ConfigError([Problem(file, "", "not-utf-8", text)]) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError([_syntax(file, str(error))]) from error


def _unreadable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return _("There is no such file: write one, or name another with --config.")
    if isinstance(error, PermissionError):
        return _("This user may not read the file.")
    return _("The file cannot be read: {cause}.").format(cause=error.strerror)


def _syntax(file: Path, said: str) -> Problem:
    """Return what tomllib said, which is English; where it tells a line, as a number."""
    place = _LINE.search(said)
    cause = _LINE.sub("", said)
    text = _("This is not valid TOML: {cause}.").format(cause=cause)
    return Problem(file, "", "toml-syntax", text, line=int(place[1]) if place else None)
