"""logs: one line an event, `key=value`, on standard error.

Every value is escaped and cut: what a peer sent can neither start a line nor colour a terminal.
Never a patient's name, id, accession number, birth date or pixels.

    2026-03-01T08:15:00.123Z INFO receive received instance=12 uid=1.2.3 bytes=524288

INFO an item moved, WARNING it will be tried again, ERROR a person is needed.
"""

import logging
import sys
import time

#: Longest value written; a UID has 64 characters.
VALUE_MOST = 200

_PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:;/@+-=()[]<>*#")


def begin(level: str = "info") -> None:
    """Write events of `level` and above to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    root = logging.getLogger("gateway")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level.upper())


def event(level: int, who: str, what: str, /, **values: object) -> None:
    """Write one line: `who` (the stage) did or met `what`."""
    logger = logging.getLogger("gateway")
    if logger.isEnabledFor(level):
        pairs = "".join(f" {key}={escape(value)}" for key, value in values.items())
        logger.log(level, "%s %s%s", who, what, pairs)


def info(who: str, what: str, /, **values: object) -> None:
    """An item moved."""
    event(logging.INFO, who, what, **values)


def warning(who: str, what: str, /, **values: object) -> None:
    """It will be tried again."""
    event(logging.WARNING, who, what, **values)


def error(who: str, what: str, /, **values: object) -> None:
    """A person is needed."""
    event(logging.ERROR, who, what, **values)


def escape(value: object) -> str:
    """Return `value` as one word: quoted where it has to be, control characters as `\\xNN`."""
    text = str(value)
    if len(text) > VALUE_MOST:
        text = text[: VALUE_MOST - 1] + "…"
    if text and all(one in _PLAIN for one in text):
        return text
    return ascii(text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        millis = int(record.created % 1 * 1000)
        return f"{stamp}.{millis:03d}Z {record.levelname} {super().format(record)}"
