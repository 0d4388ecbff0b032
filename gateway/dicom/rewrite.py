"""rewrite: a data set with a few elements changed, in the same or another transfer syntax.

Takes      a walked data set, the changes by tag, and the new Pixel Data when there is one
Gives      the data set, in order, piece by piece
Holds      Unrewritable where the new syntax cannot say the same; then nothing was written
Bounds     memory by the number of elements, never by a value

What is not named in `changes` comes out as it went in: byte for byte where the form is the same
(Explicit to Explicit little endian), value for value where it is not.  Group lengths that are
there are counted again.  References: PS3.5 7, 6.2.2, A.4.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.dicom.element import Element
from gateway.dicom.group_length import Part, joined
from gateway.dicom.headers import header
from gateway.dicom.pieces import Piece, Stream, write
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import Syntax
from gateway.dicom.transcode import Transcoder, is_encapsulated
from gateway.dicom.unrewritable import Unrewritable
from gateway.dicom.vr import PIXEL_DATA
from gateway.dicom.vr_choice import Context
from gateway.dicom.walk import walk

__all__ = ["PixelData", "Unrewritable", "rewrite"]

Changes = Mapping[int, tuple[str, bytes] | None]


@dataclass(frozen=True, slots=True)
class PixelData:
    """What is to stand in (7FE0,0010)."""

    vr: str  #: "OB" or "OW"
    length: int | None  #: bytes; None: encapsulated, undefined length
    #: the value, little endian; encapsulated: items and the sequence delimiter included
    chunks: Iterator[bytes]


def rewrite(
    source: Source,
    syntax_in: Syntax,
    out: Callable[[bytes], object],
    syntax_out: Syntax,
    *,
    changes: Changes,
    pixel_data: PixelData | None,
    elements: Iterable[Element] | None = None,
) -> None:
    """Write the data set of `source` to `out` in `syntax_out`.

    Parameters
    ----------
    out
        Called with each piece in order, e.g. a file's write.
    syntax_out
        Little endian and not deflated.
    changes
        Tag to (VR, value in little endian, of even length), or to None: the element goes.  A tag
        that is not there yet is put where it belongs.
    pixel_data
        Replaces (7FE0,0010); None: it is copied.
    elements
        What `walk` gave for `source`; None: it is walked here.

    Raises
    ------
    Malformed
        The data set contradicts itself.
    Unrewritable
        See its codes; nothing has been given to `out`.
    ValueError
        The caller's mistake: a syntax that cannot be written, or Pixel Data of another length
        than announced (then `out` has a part, and what it wrote is to be thrown away).
    """
    if syntax_out.deflated or not syntax_out.little:
        raise ValueError(f"{syntax_out.name} is not written here")
    found = walk(source, syntax_in) if elements is None else list(elements)
    if pixel_data is None:
        _check_pixels(found, syntax_out)
    new = _new_pieces(changes, pixel_data, syntax_out)
    coder = Transcoder(source, syntax_in, syntax_out)
    write(source, joined(_parts(found, new, coder), explicit=syntax_out.explicit), out)


def _check_pixels(elements: list[Element], syntax_out: Syntax) -> None:
    """Pixel Data that is copied must be in the form of the new syntax already (PS3.5 A.4)."""
    for element in elements:
        if element.tag == PIXEL_DATA and is_encapsulated(element) != syntax_out.encapsulated:
            code = "not-encapsulated" if syntax_out.encapsulated else "still-encapsulated"
            raise Unrewritable(code, PIXEL_DATA)


def _new_pieces(
    changes: Changes, pixel_data: PixelData | None, syntax_out: Syntax
) -> dict[int, list[Piece]]:
    """Return what is written for each changed tag; nothing for one that goes."""
    explicit = syntax_out.explicit
    new: dict[int, list[Piece]] = {tag: [] for tag in changes}
    for tag, change in changes.items():
        if change:
            vr, value = change
            new[tag] = [header(tag, vr, len(value), explicit=explicit), value]
    if pixel_data:
        head = header(PIXEL_DATA, pixel_data.vr, pixel_data.length, explicit=explicit)
        new[PIXEL_DATA] = [head, Stream(pixel_data.length, pixel_data.chunks)]
    return new


def _parts(
    elements: list[Element], new: dict[int, list[Piece]], coder: Transcoder
) -> Iterator[Part]:
    """Yield every element in order; a tag that was not there stands before the next higher one."""
    there = {element.tag for element in elements}
    added = sorted(tag for tag in new if tag not in there)
    context = coder.context(elements, Context())
    for element in elements:
        while added and added[0] < element.tag:
            tag = added.pop(0)
            yield tag, new[tag]
        kept = element.tag not in new
        yield element.tag, coder.top(element, context) if kept else new[element.tag]
    yield from ((tag, new[tag]) for tag in added)
