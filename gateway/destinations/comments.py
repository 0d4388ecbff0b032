"""comments: what may be shown of the words with which an archive refuses.

Takes      an Error Comment (0000,0902), or a comment in an answer by HTTP
Gives      the tags that it names, and nothing else: archives quote what patients are called there
Holds      nothing
"""

import re

#: Where a comment names an attribute.
_TAG = re.compile(r"\(?\b([0-9A-Fa-f]{4}),\s?([0-9A-Fa-f]{4})\)?")
TAGS_MOST = 5


def tags_in(text: str) -> list[str]:
    """Return the tags that a comment names, each once, at most `TAGS_MOST`."""
    found = dict.fromkeys(f"({group},{element})".lower() for group, element in _TAG.findall(text))
    return list(found)[:TAGS_MOST]


def shown(comment: str) -> str:
    """Return what may follow a status: " (0010,0020)", "" where no tag is named."""
    return "".join(f" {tag}" for tag in tags_in(comment))
