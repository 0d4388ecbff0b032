"""What can go wrong in the codec, each named by what it says about the picture.

`code` is stable: history and messages carry it, and a test in the manual looks for it.
`CodecClosed` stands apart: it says nothing about the picture, only that the work was given back.
"""

from typing import ClassVar


class CodecError(Exception):
    """This picture cannot be recoded; what was received stays as it is."""

    code: ClassVar[str] = "codec-error"


class CodestreamMismatch(CodecError):
    """Decoding did not give back the pixels that were encoded."""

    code = "codestream-mismatch"


class UnusedBits(CodecError):
    """The pixel cells hold something above Bits Stored, which a codestream cannot carry."""

    code = "unused-bits"


class CodecDied(CodecError):
    """The child ended on this frame: memory, processor time or a signal."""

    code = "codec-died"


class OverBudget(CodecError):
    """One frame is larger than a codec child is allowed to open."""

    code = "over-budget"


class Undecodable(CodecError):
    """The stored frame is broken, or does not say what its data set says."""

    code = "undecodable"


class Unencodable(CodecError):
    """The encoder does not take a picture of this shape."""

    code = "unencodable"


class NoHtj2k(CodecError):
    """The codec for High-Throughput JPEG 2000 is not installed: extra `htj2k`."""

    code = "htj2k-missing"


class TooLossy(CodecError):
    """At this ratio the image would no longer be what it was."""

    code = "too-lossy"


class CodecClosed(Exception):
    """The codec was closed while this frame waited or was being worked on: try again later."""


#: The errors that a child reports by name; anything else ends the child.
REPORTED: dict[str, type[CodecError]] = {
    kind.code: kind
    for kind in (
        CodestreamMismatch,
        UnusedBits,
        OverBudget,
        Undecodable,
        Unencodable,
        NoHtj2k,
        TooLossy,
    )
}
