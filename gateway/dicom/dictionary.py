"""dictionary: the Value Representation that PS3.6 gives to a tag.

Takes      a tag of a data set in Implicit VR, which names none
Gives      the VR as the dictionary writes it: "LO", "US or SS", "" where it knows none
Holds      pydicom's dictionary, loaded with the first question (0.2 s): never in a process that
           only receives
"""

from functools import lru_cache


@lru_cache(maxsize=4096)
def vr_of(tag: int) -> str:
    """Return the VR of `tag`, "LO" for a private creator, "UL" for a group length, "" if unknown.

    References
    ----------
    PS3.6 chapter 6; PS3.5 7.8.1 (private creators are LO), PS3.5 7.2 (group length is UL).
    """
    group, element = tag >> 16, tag & 0xFFFF
    if element == 0:
        return "UL"
    if group % 2:
        return "LO" if 0x10 <= element <= 0xFF else ""
    from pydicom.datadict import get_entry

    try:
        vr = get_entry(tag)[0]
    except KeyError:
        return ""
    return "" if vr == "NONE" else vr
