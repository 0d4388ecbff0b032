"""What the codec must know of a frame: the shape of its pixels and where its bytes lie.

Holds nothing of DICOM but its words: the caller reads the data set, the codec reads frames.
"""

from dataclasses import dataclass
from typing import Literal

Coding = Literal["raw", "rle", "jpeg2000"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The pixels of every frame of one image (PS3.3 C.7.6.3).

    A decoded frame is `frame_bytes` long: little endian cells, colour-by-pixel, rows from the top.
    """

    rows: int  #: (0028,0010)
    columns: int  #: (0028,0011)
    samples: int  #: (0028,0002) Samples per Pixel, 1 or 3
    bits_allocated: int  #: (0028,0100), 8 or 16
    bits_stored: int  #: (0028,0101), 1 to `bits_allocated`; the high bit is one less
    signed: bool  #: (0028,0103) Pixel Representation, two's complement
    #: (0028,0006) Planar Configuration of a raw frame: colour-by-plane
    planar: bool = False
    #: Reversible colour transform (PS3.5 8.2.4): applied by the encoder, and what the codestream
    #: given to the decoder must say. None, to decode only: whichever the codestream says.
    colour_transform: bool | None = False
    #: A raw frame is made of big endian 16-bit words, also when its pixels have 8 bits (OW)
    swapped: bool = False

    @property
    def cell_bytes(self) -> int:
        return self.bits_allocated // 8

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.samples * self.cell_bytes


@dataclass(frozen=True, slots=True)
class Target:
    """As what a frame is encoded."""

    coding: Literal["jpeg2000", "htj2k"] = "jpeg2000"
    ratio: float = 0.0  #: 0: lossless; else pixel bits to codestream bits, and content is lost
    #: The stored frame, once decoded, is RGB: the encoder applies RCT, or ICT with loss
    colour_transform: bool = False


LOSSLESS = Target()  #: JPEG 2000 without a colour transform


@dataclass(frozen=True, slots=True)
class FrameAt:
    """Where one frame's bytes lie.

    `parts` are (offset in the file, bytes), in order; together they are one frame: a raw frame,
    an RLE frame (PS3.5 Annex G) or one JPEG 2000 codestream. A raw frame of swapped 8-bit pixels
    and odd length takes its padding byte along.
    """

    path: str
    coding: Coding
    parts: tuple[tuple[int, int], ...]

    @property
    def stored_bytes(self) -> int:
        return sum(count for _, count in self.parts)
