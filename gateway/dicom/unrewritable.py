"""unrewritable: why a data set cannot be put in another transfer syntax without a guess."""

from gateway.dicom.malformed import tag_text

#: what stands in the way, by its stable code
REASONS = {
    "still-encapsulated": "{element} is encapsulated, and the new syntax is not",
    "not-encapsulated": "{element} is not encapsulated, and the new syntax is",
    "word-unknown": "the byte order inside {element} is not known",
    "word-cut": "{element} ends inside a word",
    "too-long": "{element} does not fit into 4 GiB",
}


class Unrewritable(Exception):
    """The data set stays in the syntax it has: send it as received, or have a person look.

    Attributes
    ----------
    code
        Stable word for the reason, a key of `REASONS`.
    what
        The reason in English, with the tag and without any value: fit for a log.
    """

    def __init__(self, code: str, tag: int):
        self.code = code
        self.tag = tag
        self.what = REASONS[code].format(element=tag_text(tag))
        super().__init__(self.what)
