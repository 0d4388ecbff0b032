"""person: who signs a decision."""

import os
import pwd


def who() -> str:
    """Return who signs: by the process, since an environment may name anybody."""
    uid = os.getuid()
    try:
        return f"person:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a user without an entry, as in a container
        return f"person:{uid}"
