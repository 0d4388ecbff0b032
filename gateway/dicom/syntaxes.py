"""syntaxes: what a Transfer Syntax UID says about the bytes of a data set.

The table is PS3.6 table A-1 with the retired ones; the flags are PS3.5 chapter 10 and annex A.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Syntax:
    """One transfer syntax."""

    uid: str
    name: str
    explicit: bool  #: each element names its VR
    little: bool  #: least significant byte first
    encapsulated: bool  #: Pixel Data is not in native form: fragments, a reference, a stream
    deflated: bool  #: the whole data set is one deflate stream: nothing of it can be walked


IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR_LOSSLESS = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"
PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.20"

#: Pixel Data in native form; all others are encapsulated Explicit VR Little Endian (PS3.5 A.4)
_NATIVE = (
    Syntax(IMPLICIT_VR_LITTLE_ENDIAN, "Implicit VR Little Endian", False, True, False, False),
    Syntax(EXPLICIT_VR_LITTLE_ENDIAN, "Explicit VR Little Endian", True, True, False, False),
    Syntax(
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        "Deflated Explicit VR Little Endian",
        True,
        True,
        False,
        True,
    ),
    Syntax(EXPLICIT_VR_BIG_ENDIAN, "Explicit VR Big Endian", True, False, False, False),
    Syntax(
        PAPYRUS_3_IMPLICIT_VR_LITTLE_ENDIAN,
        "Papyrus 3 Implicit VR Little Endian",
        False,
        True,
        False,
        False,
    ),
)
_ENCAPSULATED = """
1.2.840.10008.1.2.1.98     Encapsulated Uncompressed Explicit VR Little Endian
1.2.840.10008.1.2.4.50     JPEG Baseline (Process 1)
1.2.840.10008.1.2.4.51     JPEG Extended (Process 2 and 4)
1.2.840.10008.1.2.4.52     JPEG Extended (Process 3 and 5)
1.2.840.10008.1.2.4.53     JPEG Spectral Selection, Non-Hierarchical (Process 6 and 8)
1.2.840.10008.1.2.4.54     JPEG Spectral Selection, Non-Hierarchical (Process 7 and 9)
1.2.840.10008.1.2.4.55     JPEG Full Progression, Non-Hierarchical (Process 10 and 12)
1.2.840.10008.1.2.4.56     JPEG Full Progression, Non-Hierarchical (Process 11 and 13)
1.2.840.10008.1.2.4.57     JPEG Lossless, Non-Hierarchical (Process 14)
1.2.840.10008.1.2.4.58     JPEG Lossless, Non-Hierarchical (Process 15)
1.2.840.10008.1.2.4.59     JPEG Extended, Hierarchical (Process 16 and 18)
1.2.840.10008.1.2.4.60     JPEG Extended, Hierarchical (Process 17 and 19)
1.2.840.10008.1.2.4.61     JPEG Spectral Selection, Hierarchical (Process 20 and 22)
1.2.840.10008.1.2.4.62     JPEG Spectral Selection, Hierarchical (Process 21 and 23)
1.2.840.10008.1.2.4.63     JPEG Full Progression, Hierarchical (Process 24 and 26)
1.2.840.10008.1.2.4.64     JPEG Full Progression, Hierarchical (Process 25 and 27)
1.2.840.10008.1.2.4.65     JPEG Lossless, Hierarchical (Process 28)
1.2.840.10008.1.2.4.66     JPEG Lossless, Hierarchical (Process 29)
1.2.840.10008.1.2.4.70     JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 SV1)
1.2.840.10008.1.2.4.80     JPEG-LS Lossless
1.2.840.10008.1.2.4.81     JPEG-LS Lossy (Near-Lossless)
1.2.840.10008.1.2.4.90     JPEG 2000 (Lossless Only)
1.2.840.10008.1.2.4.91     JPEG 2000
1.2.840.10008.1.2.4.92     JPEG 2000 Part 2 Multi-component (Lossless Only)
1.2.840.10008.1.2.4.93     JPEG 2000 Part 2 Multi-component
1.2.840.10008.1.2.4.94     JPIP Referenced
1.2.840.10008.1.2.4.95     JPIP Referenced Deflate
1.2.840.10008.1.2.4.100    MPEG2 Main Profile / Main Level
1.2.840.10008.1.2.4.100.1  Fragmentable MPEG2 Main Profile / Main Level
1.2.840.10008.1.2.4.101    MPEG2 Main Profile / High Level
1.2.840.10008.1.2.4.101.1  Fragmentable MPEG2 Main Profile / High Level
1.2.840.10008.1.2.4.102    MPEG-4 AVC/H.264 High Profile / Level 4.1
1.2.840.10008.1.2.4.102.1  Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1
1.2.840.10008.1.2.4.103    MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1
1.2.840.10008.1.2.4.103.1  Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1
1.2.840.10008.1.2.4.104    MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video
1.2.840.10008.1.2.4.104.1  Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video
1.2.840.10008.1.2.4.105    MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video
1.2.840.10008.1.2.4.105.1  Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video
1.2.840.10008.1.2.4.106    MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2
1.2.840.10008.1.2.4.106.1  Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2
1.2.840.10008.1.2.4.107    HEVC/H.265 Main Profile / Level 5.1
1.2.840.10008.1.2.4.108    HEVC/H.265 Main 10 Profile / Level 5.1
1.2.840.10008.1.2.4.110    JPEG XL Lossless
1.2.840.10008.1.2.4.111    JPEG XL JPEG Recompression
1.2.840.10008.1.2.4.112    JPEG XL
1.2.840.10008.1.2.4.201    High-Throughput JPEG 2000 (Lossless Only)
1.2.840.10008.1.2.4.202    High-Throughput JPEG 2000 with RPCL Options (Lossless Only)
1.2.840.10008.1.2.4.203    High-Throughput JPEG 2000
1.2.840.10008.1.2.4.204    JPIP HTJ2K Referenced
1.2.840.10008.1.2.4.205    JPIP HTJ2K Referenced Deflate
1.2.840.10008.1.2.5        RLE Lossless
1.2.840.10008.1.2.6.1      RFC 2557 MIME encapsulation
1.2.840.10008.1.2.6.2      XML Encoding
1.2.840.10008.1.2.7.1      SMPTE ST 2110-20 Uncompressed Progressive Active Video
1.2.840.10008.1.2.7.2      SMPTE ST 2110-20 Uncompressed Interlaced Active Video
1.2.840.10008.1.2.7.3      SMPTE ST 2110-30 PCM Digital Audio
1.2.840.10008.1.2.8.1      Deflated Image Frame Compression
"""


def _encapsulated(uid: str, name: str) -> Syntax:
    """Only the two "Referenced Deflate" ones deflate the data set itself (PS3.5 A.7, A.13)."""
    return Syntax(uid, name, True, True, True, deflated=name.endswith("Referenced Deflate"))


_NAMED = (_encapsulated(*line.split(maxsplit=1)) for line in _ENCAPSULATED.strip().splitlines())
SYNTAXES: dict[str, Syntax] = {syntax.uid: syntax for syntax in (*_NATIVE, *_NAMED)}


def syntax_of(uid: str) -> Syntax:
    """Return the transfer syntax of `uid`.

    An unknown or private one is taken for an encapsulated Explicit VR Little Endian, the form of
    every syntax since 1993 (PS3.5 A.4): its pixels are then nobody's to touch.
    """
    return SYNTAXES.get(uid) or Syntax(uid, uid, True, True, encapsulated=True, deflated=False)
