"""charsets: the text of a value, by the Specific Character Set that its data set names.

Takes      bytes of an LO, LT, PN, SH, ST, UC or UT, and the values of (0008,0005)
Gives      `Decoded`: the text, or the texts that it may be, and how that is known
Holds      nothing; meant for comparing, never for writing
Guesses    where no character set is named, or a Latin one that Chinese legacy software names while
           it writes GBK: such bytes may be either, and both texts are given

References: PS3.3 C.12.1.1.2 (defined terms), PS3.5 6.1.2 (code extensions by escape sequences).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

How = Literal["", "guess", "bytes"]

#: Defined terms without code extensions -> Python's codec (PS3.3 table C.12-2, C.12-5)
CODECS = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "iso8859-11",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
#: Escape sequences -> codec (PS3.3 table C.12-3, C.12-4)
_ESCAPES = {
    b"(B": "ascii",
    b"(J": "shift_jis",
    b")I": "shift_jis",
    b"-A": "latin-1",
    b"-B": "iso8859-2",
    b"-C": "iso8859-3",
    b"-D": "iso8859-4",
    b"-L": "iso8859-5",
    b"-G": "iso8859-6",
    b"-F": "iso8859-7",
    b"-H": "iso8859-8",
    b"-M": "iso8859-9",
    b"-b": "iso8859-15",
    b"-T": "iso8859-11",
    b"$)C": "euc_kr",
    b"$)A": "gb2312",
}
#: Those that Python's codec wants to see itself
_JAPANESE = (b"$B", b"$@", b"$(D")
_ESCAPED = re.compile(rb"\x1b(\$\([D]|\$\)[AC]|\$[B@]|[()\-][A-Za-z])")
#: What legacy software names, or leaves out, while it writes something else.
_DOUBTFUL = ("", "ISO_IR 6", "ISO_IR 100")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a value says."""

    texts: tuple[str, ...]  #: as declared first, then what it may be beside that
    how: How = ""  #: "": as declared; "guess": one of the texts is one; "bytes": each a Latin-1


def decoded(value: bytes, terms: Sequence[str]) -> Decoded:
    """Return the text of `value`, padding included.

    Parameters
    ----------
    terms
        Values of (0008,0005) without padding; empty: the default repertoire.
    """
    declared = _declared(value, terms)
    if value.isascii():
        return Decoded((declared if declared is not None else value.decode(),))
    first = terms[0] if terms else ""
    if declared is not None and (first not in _DOUBTFUL or b"\x1b" in value):
        return Decoded((declared,))
    guesses = [text for codec in ("utf-8", "gb18030") if (text := _strict(value, codec))]
    texts = [one for one in (declared, *guesses) if one is not None]
    if not texts:
        return Decoded((value.decode("latin-1"),), "bytes")
    return Decoded(tuple(dict.fromkeys(texts)), "guess" if guesses else "")


def _declared(value: bytes, terms: Sequence[str]) -> str | None:
    """Return the text as declared; None where the bytes are none of that character set."""
    if b"\x1b" in value:
        return _with_escapes(value, terms)
    first = terms[0].replace("ISO 2022 IR", "ISO_IR") if terms else ""
    return _strict(value, CODECS.get(first, "ascii"))


def _with_escapes(value: bytes, terms: Sequence[str]) -> str | None:
    """Return the text, each piece by the escape sequence before it; those are not part of it."""
    first = terms[0].replace("ISO 2022 IR", "ISO_IR") if terms else ""
    pieces = _ESCAPED.split(value)
    texts = [_strict(pieces[0], CODECS.get(first, "ascii"))]
    for escape, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if escape in _JAPANESE:
            texts.append(_strict(b"\x1b" + escape + piece, "iso2022_jp_2"))
        else:
            texts.append(_strict(piece, _ESCAPES.get(escape, "")))
    return None if None in texts else "".join(map(str, texts))


def _strict(value: bytes, codec: str) -> str | None:
    try:
        return value.decode(codec)
    except (UnicodeDecodeError, LookupError):
        return None
