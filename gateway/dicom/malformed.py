"""malformed: why a data set contradicts itself, as a stable code and a sentence.

Takes      the byte, the code and the tag, from whoever walks the data set
Gives      English without any value for the log, the chosen language for a person
"""

from gateway.language import N_, _

#: what is wrong, by its stable code
REASONS = {
    "header-cut": N_("it ends inside the header of an element of {element}"),
    "past-end": N_("the length of {element} reaches past the end of what holds it"),
    "no-delimiter": N_("the end of {element} is missing"),
    "vr-illegal": N_("{element} names no value representation"),
    "undefined-length": N_("{element} may not have an undefined length"),
    "delimiter-length": N_("a delimiter in {element} has a length"),
    "item-expected": N_("{element} holds something that is not an item"),
    "item-misplaced": N_("an item or a delimiter stands in {element} where an element must be"),
    "command-element": N_("{element} does not belong into a data set"),
    "tag-twice": N_("{element} occurs twice"),
    "too-deep": N_("{element} is nested too deep"),
    "too-many-elements": N_("there are too many elements, up to {element}"),
    "too-many-items": N_("there are too many items, up to those of {element}"),
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

    def text(self) -> str:
        """Return the reason as a person reads it, in the chosen language."""
        what = _(REASONS[self.code]).format(element=tag_text(self.tag))
        said = _("The data set is broken at byte {offset}: {what}.")
        return said.format(offset=self.offset, what=what)


def tag_text(tag: int) -> str:
    """Return `tag` as the standard writes it, (0008,0018); 0 stands for the data set itself."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})" if tag else "the data set"
