"""known_secrets: what the tests use for passwords, tokens and keys, so that it can be looked for.

Each begins with `MARK`, which occurs nowhere else: whatever a test or a program of ours prints,
logs or stores with it has given a secret away.
"""

import base64
import json
import secrets
from pathlib import Path

MARK = "s3cr3t-mark-"
#: Lines of programs that held one, until the test's report has told so.
GIVEN_AWAY: list[str] = []


def look(text: str) -> None:
    """Note what a program of ours has printed, if it holds a secret: the test fails then."""
    if MARK in text:
        GIVEN_AWAY.append(text)


def new_secret(what: str) -> str:
    """Return a secret that nobody had before."""
    return f"{MARK}{what}-{secrets.token_hex(8)}"


def forms_of(secret: str) -> list[bytes]:
    """Return the ways in which a secret may stand somewhere: as it is, escaped, packed."""
    text = secret.encode()
    packed = base64.b64encode(text)
    # Somewhere inside a longer text, the packed form begins at one of three places.
    inside = [base64.b64encode(b"x" * shift + text)[4:-4] for shift in range(3)]
    return [
        text,
        json.dumps(secret).strip('"').encode(),
        packed.rstrip(b"="),
        *inside,
        text.hex().encode(),
    ]


def found_in(secret: str, folder: Path, but: set[Path]) -> list[Path]:
    """Return the files below `folder` that hold a secret in any form, except those meant to."""
    forms = forms_of(secret)
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and path not in but and any(one in path.read_bytes() for one in forms)
    ]
