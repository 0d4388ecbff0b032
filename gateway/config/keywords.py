"""keywords: the attributes and SOP classes that a rule may name, by their DICOM keywords.

Takes      a keyword or a tag as it stands in the file
Gives      tag, Value Representation and how many values there may be; a UID for a SOP class
Holds      the few that rules ask for most; pydicom's dictionary (34 MB, 0.2 s) is loaded for a
           keyword that is none of them, in each process that reads the file

The tables are PS3.6 chapter 6 and table A-1.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.config.rules import nearest

_TAG = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")

_ATTRIBUTES = """
00080005 CS n SpecificCharacterSet      00080008 CS n ImageType
00080016 UI 1 SOPClassUID               00080020 DA 1 StudyDate
00080022 DA 1 AcquisitionDate           00080050 SH 1 AccessionNumber
00080060 CS 1 Modality                  00080064 CS 1 ConversionType
00080070 LO 1 Manufacturer              00080080 LO 1 InstitutionName
00080090 PN 1 ReferringPhysicianName    00081010 SH 1 StationName
00081030 LO 1 StudyDescription          0008103E LO 1 SeriesDescription
00081040 LO 1 InstitutionalDepartmentName
00081050 PN n PerformingPhysicianName   00081070 PN n OperatorsName
00081090 LO 1 ManufacturerModelName     00100010 PN 1 PatientName
00100020 LO 1 PatientID                 00100021 LO 1 IssuerOfPatientID
00100030 DA 1 PatientBirthDate          00100040 CS 1 PatientSex
00101010 AS 1 PatientAge                00104000 LT 1 PatientComments
00180015 CS 1 BodyPartExamined          00181000 LO 1 DeviceSerialNumber
00181020 LO n SoftwareVersions          00181030 LO 1 ProtocolName
0020000D UI 1 StudyInstanceUID          0020000E UI 1 SeriesInstanceUID
00200010 SH 1 StudyID                   00200011 IS 1 SeriesNumber
00200060 CS 1 Laterality                00280002 US 1 SamplesPerPixel
00280004 CS 1 PhotometricInterpretation 00280008 IS 1 NumberOfFrames
00280010 US 1 Rows                      00280011 US 1 Columns
00280100 US 1 BitsAllocated             00280301 CS 1 BurnedInAnnotation
00282110 CS 1 LossyImageCompression     00321060 LO 1 RequestedProcedureDescription
00400275 SQ 1 RequestAttributesSequence 00400007 LO 1 ScheduledProcedureStepDescription
00400009 SH 1 ScheduledProcedureStepID  00401001 SH 1 RequestedProcedureID
7FE00010 OW 1 PixelData
"""
_SOP_CLASSES = """
1       ComputedRadiographyImageStorage         1.1     DigitalXRayImageStorageForPresentation
2       CTImageStorage                          2.1     EnhancedCTImageStorage
3.1     UltrasoundMultiFrameImageStorage        4       MRImageStorage
4.1     EnhancedMRImageStorage                  6.1     UltrasoundImageStorage
7       SecondaryCaptureImageStorage            11.1    GrayscaleSoftcopyPresentationStateStorage
12.1    XRayAngiographicImageStorage            12.2    XRayRadiofluoroscopicImageStorage
20      NuclearMedicineImageStorage             77.1.1  VLEndoscopicImageStorage
77.1.1.1 VideoEndoscopicImageStorage            77.1.4  VLPhotographicImageStorage
88.11   BasicTextSRStorage                      88.22   EnhancedSRStorage
88.33   ComprehensiveSRStorage                  88.67   XRayRadiationDoseSRStorage
104.1   EncapsulatedPDFStorage                  128     PositronEmissionTomographyImageStorage
"""
_STORAGE = "1.2.840.10008.5.1.4.1.1."


@dataclass(frozen=True, slots=True)
class Attribute:
    """What the dictionary says of one data element."""

    tag: int
    vr: str  #: as PS3.6 writes it, "US or SS" too; "" where nothing is known
    is_single: bool  #: its Value Multiplicity is 1


def _fours(table: str) -> Iterable[list[str]]:
    words = table.split()
    return (words[at : at + 4] for at in range(0, len(words), 4))


ATTRIBUTES = {
    keyword: Attribute(int(tag, 16), vr, many == "1")
    for tag, vr, many, keyword in _fours(_ATTRIBUTES)
}
_pairs = _SOP_CLASSES.split()
SOP_CLASSES = {
    keyword: _STORAGE + tail for tail, keyword in zip(_pairs[::2], _pairs[1::2], strict=True)
}


def attribute(written: str) -> Attribute | None:
    """Return what a keyword, or a tag as ``(0008,0060)``, names; None for an unknown keyword."""
    if written in ATTRIBUTES:
        return ATTRIBUTES[written]
    if found := _TAG.fullmatch(written):
        return _of_tag(int(found[1] + found[2], 16))
    if not written.isidentifier():
        return None
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(written)
    return None if tag is None else _of_tag(tag)


def nearest_attribute(written: str) -> str:
    """Return the known keyword most like `written`."""
    from pydicom.datadict import keyword_dict

    return nearest(written, keyword_dict)


def sop_class(written: str) -> str | None:
    """Return the UID of a SOP class keyword; None where there is no such storage class."""
    if written in SOP_CLASSES:
        return SOP_CLASSES[written]
    from pydicom._uid_dict import UID_dictionary

    found = (uid for uid, entry in UID_dictionary.items() if entry[4] == written)
    return next(found, None)


def nearest_sop_class(written: str) -> str:
    """Return the keyword of a SOP class most like `written`."""
    from pydicom._uid_dict import UID_dictionary

    return nearest(written, (one[4] for one in UID_dictionary.values() if one[1] == "SOP Class"))


def _of_tag(tag: int) -> Attribute:
    known = next((one for one in ATTRIBUTES.values() if one.tag == tag), None)
    if known or tag >> 16 & 1:  # a private one stands in no dictionary
        return known or Attribute(tag, "", is_single=False)
    from pydicom.datadict import dictionary_VM, dictionary_VR

    try:
        return Attribute(tag, dictionary_VR(tag), dictionary_VM(tag) == "1")
    except KeyError:
        return Attribute(tag, "", is_single=False)
