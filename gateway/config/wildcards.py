"""wildcards: does a text look like a pattern, in time linear in its length?

Takes      a pattern in which ``*`` stands for any characters and ``?`` for one
Gives      whether the whole text is as it says
Holds      the patterns of the configuration, cut into parts
"""

import re
from functools import lru_cache


def matches(pattern: str, text: str) -> bool:
    """Return whether the whole of `text` is as `pattern` says, in time linear in its length.

    A pattern is cut at its ``*``: each part is looked for behind the one before, which is enough,
    and, unlike one long regular expression, never tries again.
    """
    first, *others = _parts(pattern)
    begin = first.match(text)
    if begin is None:
        return False
    if not others:
        return begin.end() == len(text)
    at = begin.end()
    for part in others[:-1]:
        found = part.search(text, at)
        if found is None:
            return False
        at = found.end()
    last_length = len(pattern.rpartition("*")[2])
    last_at = len(text) - last_length
    return last_at >= at and others[-1].match(text, last_at) is not None


@lru_cache(maxsize=1024)
def _parts(pattern: str) -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(re.escape(part).replace(r"\?", "."), re.DOTALL) for part in pattern.split("*")
    )
