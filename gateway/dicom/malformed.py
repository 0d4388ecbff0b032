"""malformed: why a data set contradicts itself, as a stable code and a sentence.

Takes      the byte, the code and the tag, from whoever walks the data set
Gives      English without any value, fit for the log and for an item's detail
"""

#: what is wrong, by its stable code
REASONS = {
    "header-cut": "it ends inside the header of an element of {element}",
    "past-end": "the length of {element} reaches past the end of what holds it",
    "no-delimiter": "the end of {element} is missing",
    "vr-illegal": "{element} names no value representation",
    "undefined-length": "{element} may not have an undefined length",
    "delimiter-length": "a delimiter in {element} has a length",
    "item-expected": "{element} holds something that is not an item",
    "item-misplaced": "an item or a delimiter stands in {element} where an element must be",
    "command-element": "{element} does not belong into a data set",
    "tag-twice": "{element} occurs twice",
    "too-deep": "{element} is nested too deep",
    "too-many-elements": "there are too many elements, up to {element}",
    "too-many-items": "there are too many items, up to those of {element}",
}


class Malformed(Exception):
    """The data set contradicts itself: a person must look.

    Attributes
    ----------
    offset
        Byte of the data set at which the offending header begins.
    code
        Stable word for the reason, a key of `REASONS`.
    what
        The reason in English, with a tag and without any value: fit for a log.
    """

    def __init__(self, offset: int, code: str, tag: int):
        self.offset = offset
        self.code = code
        self.tag = tag
        self.what = REASONS[code].format(element=tag_text(tag))
        super().__init__(f"byte {offset}: {self.what}")


def tag_text(tag: int) -> str:
    """Return `tag` as the standard writes it, (0008,0018); 0 stands for the data set itself."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})" if tag else "the data set"
