"""vr: how each Value Representation is laid out in bytes.

The tables are PS3.5 7.1.2 (width of the length field) and PS3.5 7.3 (words that byte order swaps).
"""

#: two reserved bytes and a length of 32 bits in Explicit VR (PS3.5 table 7.1-1)
LONG_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
#: a length of 16 bits in Explicit VR (PS3.5 table 7.1-2)
SHORT_VRS = frozenset(
    ("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL")
).union(("SS", "ST", "TM", "UI", "UL", "US"))
#: bytes of the word that is swapped in big endian; the rest of our VRs are bytes.  An AT is two
#: words of 16 bits (PS3.5 7.3); a UN is little endian everywhere (PS3.5 6.2.2)
WORD_BYTES = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
UNDEFINED_LENGTH = 0xFFFFFFFF  #: the value ends at its delimiter (PS3.5 7.1.1)
SHORT_LENGTH_MOST = 65534  #: a longer value does not fit a 16-bit length and goes as UN
ITEM = 0xFFFEE000  #: PS3.5 7.5
ITEM_DELIMITATION = 0xFFFEE00D
SEQUENCE_DELIMITATION = 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
