"""What is wrong with a configuration, or not yet possible, in words a technician reads.

Gives      Problem (refuses the file), Notice (does not), ConfigError (all problems of a file)
Holds      nothing; a code never changes once released, its text may
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """One value that its setting does not take; `nearest` is what was probably meant, or ""."""

    code: str
    text: str
    nearest: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a file is refused.

    `key` is the setting's place, ``destination[2].port`` for the port of the second
    ``[[destination]]``; "" where the whole file is meant.  `line` is known only for a file that
    is not TOML.  `text` is translated, and never shows the value, which may be a secret.
    """

    file: Path
    key: str
    code: str
    text: str
    nearest: str = ""
    line: int | None = None

    def __str__(self) -> str:
        file = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{file}: {self.key}{': ' if self.key else ''}{self.text} [{self.code}]"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something configured that this version does not do, or does otherwise than it seems."""

    code: str
    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text} [{self.code}]"


class ConfigError(Exception):
    """A configuration that is refused, with every problem it has; exit code 78 (EX_CONFIG)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))
