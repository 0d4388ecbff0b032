"""dicomdir_records: what an index says of an object, taken from its header.

Takes      a rendition, as it lies on the disk
Gives      the records for patient, study, series and the object itself, encoded; what was made up
Holds      NoRecord: an index has no place for such an object, or its header cannot be read

What a record must have and the object lacks (a Study ID, a Study Time) is made for the record
alone; the object stays as it is. Which attributes each kind of record has is pydicom's knowledge;
of a structured report only what modifies its title goes in, not the whole of it.

References: PS3.3 F.4, F.5 (record types and their keys).
"""

import base64
import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.fileset import _FOUR_LEVEL_SOP_CLASSES, _SINGLE_LEVEL_SOP_CLASSES, DIRECTORY_RECORDERS
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from gateway.destinations.dicomdir import DIGEST, DIGEST_OWNER, ITEM, Chain, Leaf
from spool.model import Rendition

_DATES = ("SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate", "StudyDate")
_TIMES = ("SeriesTime", "AcquisitionTime", "ContentTime", "InstanceCreationTime", "StudyTime")
_NO_DATE, _NO_TIME, _UNKNOWN = "19000101", "000000", "UNKNOWN"

#: Keys of type 1 (PS3.3 F.5) and what stands for those that an object lacks.
_MADE: dict[str, Callable[[Dataset], Any]] = {
    "StudyInstanceUID": lambda ds: _made_uid("study", ds),
    "SeriesInstanceUID": lambda ds: _made_uid("series", ds),
    "PatientID": lambda ds: f"{_UNKNOWN}-{_short(ds.StudyInstanceUID)}",
    "StudyDate": lambda ds: _first(ds, _DATES, _NO_DATE),
    "StudyTime": lambda ds: _first(ds, _TIMES, _NO_TIME),
    "StudyID": lambda ds: _short(ds.StudyInstanceUID),
    "Modality": lambda _ds: "OT",
    "SeriesNumber": lambda _ds: "0",
    "InstanceNumber": lambda _ds: "0",
    "ContentDate": lambda ds: _first(ds, _DATES, _NO_DATE),
    "ContentTime": lambda ds: _first(ds, _TIMES, _NO_TIME),
    "ContentLabel": lambda _ds: _UNKNOWN,
    "PresentationCreationDate": lambda ds: _first(ds, _DATES, _NO_DATE),
    "PresentationCreationTime": lambda ds: _first(ds, _TIMES, _NO_TIME),
    "InstanceCreationDate": lambda ds: _first(ds, _DATES, _NO_DATE),
    "CompletionFlag": lambda _ds: "PARTIAL",
    "VerificationFlag": lambda _ds: "UNVERIFIED",
    "DoseSummationType": lambda _ds: _UNKNOWN,
    "StructureSetLabel": lambda _ds: _UNKNOWN,
    "RTPlanLabel": lambda _ds: _UNKNOWN,
    "MIMETypeOfEncapsulatedDocument": lambda _ds: "application/octet-stream",
    "ConceptNameCodeSequence": lambda _ds: _unknown_concept(),
}
#: Which of them a record type needs beside InstanceNumber; no others are made.
_NEEDS: dict[str, tuple[str, ...]] = {
    "PRESENTATION": ("PresentationCreationDate", "PresentationCreationTime", "ContentLabel"),
    "SR DOCUMENT": (
        *("CompletionFlag", "VerificationFlag", "ContentDate", "ContentTime"),
        "ConceptNameCodeSequence",
    ),
    "KEY OBJECT DOC": ("ContentDate", "ContentTime", "ConceptNameCodeSequence"),
    "RT DOSE": ("DoseSummationType",),
    "RT STRUCTURE SET": ("StructureSetLabel",),
    "RT PLAN": ("RTPlanLabel",),
    "ENCAP DOC": ("MIMETypeOfEncapsulatedDocument",),
    "ASSESSMENT": ("InstanceCreationDate",),
    **dict.fromkeys(("WAVEFORM", "RAW DATA", "SURFACE SCAN"), ("ContentDate", "ContentTime")),
    **dict.fromkeys(
        ("REGISTRATION", "FIDUCIAL", "VALUE MAP", "MEASUREMENT", "SURFACE", "TRACT"),
        ("ContentDate", "ContentTime", "ContentLabel"),
    ),
    "SPECTROSCOPY": ("ContentDate", "ContentTime"),
}
_ABOVE = (
    *("StudyInstanceUID", "SeriesInstanceUID", "PatientID", "StudyDate", "StudyTime", "StudyID"),
    *("Modality", "SeriesNumber", "InstanceNumber"),
)
#: Everything that a record may say; the rest of a header is not read.
_WANTED = [
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", *_MADE, *_DATES, *_TIMES),
    *("PatientName", "IssuerOfPatientID", "StudyDescription", "AccessionNumber"),
    *("ContentDescription", "ContentCreatorName", "ContentSequence", "VerificationDateTime"),
    *("ReferencedSeriesSequence", "BlendingSequence", "StructureSetDate", "StructureSetTime"),
    *("RTPlanDate", "RTPlanTime", "TreatmentDate", "TreatmentTime", "DocumentTitle"),
    *("HL7InstanceIdentifier", "ImageType", "NumberOfFrames", "Rows", "Columns", "DataPointRows"),
    *("DataPointColumns", "ReferencedImageEvidenceSequence", "InstanceCreationTime"),
    *("UserContentLabel", "UserContentLongLabel"),
]


class NoRecord(Exception):
    """`args[0]` says in English why; never with a value."""


@dataclass(frozen=True, slots=True)
class Records:
    """The records of one object, but for the name of its file."""

    chain: Chain
    kind: str  #: (0004,1430)
    keys: Dataset
    made: tuple[str, ...]  #: keywords that the object lacks


def records_of(rendition: Rendition) -> Records:
    """Return the records of an object.

    Raises
    ------
    NoRecord
    OSError
        Its file cannot be read.
    """
    if rendition.sop_class_uid in _SINGLE_LEVEL_SOP_CLASSES:
        raise NoRecord("it belongs to no patient")
    kind = _FOUR_LEVEL_SOP_CLASSES.get(UID(rendition.sop_class_uid), "IMAGE")
    try:
        with warnings.catch_warnings(), pydicom_config.disable_value_validation():
            warnings.simplefilter("ignore")  # they would quote values
            return _records(rendition, kind)
    except OSError:
        raise
    except Exception as fault:  # a stranger's header: pydicom lets seven kinds of fault out
        raise NoRecord(type(fault).__name__) from None


def leaf_of(records: Records, rendition: Rendition, file_id: tuple[str, ...]) -> Leaf:
    """Return the record of the object itself, which lies under `file_id`."""
    record = Dataset()
    record.ReferencedFileID = list(file_id)
    record.ReferencedSOPClassUIDInFile = rendition.sop_class_uid
    record.ReferencedSOPInstanceUIDInFile = rendition.sop_instance_uid
    record.ReferencedTransferSyntaxUIDInFile = rendition.transfer_syntax_uid
    record.update(records.keys)
    digest = rendition.blob.sha256
    record.add_new(DIGEST & 0xFFFF0000 | 0x10, "LO", DIGEST_OWNER)
    record.add_new(DIGEST, "LO", digest)
    encoded = _encoded(records.kind, record)
    return Leaf(rendition.sop_instance_uid, file_id, digest, encoded)


def _records(rendition: Rendition, kind: str) -> Records:
    ds = pydicom.dcmread(rendition.blob.path, stop_before_pixels=True, specific_tags=_WANTED)
    ds.SOPInstanceUID = rendition.sop_instance_uid
    made = tuple(_make(ds, (*_ABOVE, *_NEEDS.get(kind, ()))))
    if "ContentSequence" in ds:
        ds.ContentSequence = Sequence(
            one for one in ds.ContentSequence if one.get("RelationshipType") == "HAS CONCEPT MOD"
        )
        if not ds.ContentSequence:
            del ds.ContentSequence
    above = {one: _keys(one, ds) for one in ("PATIENT", "STUDY", "SERIES")}
    if "IssuerOfPatientID" in ds:
        above["PATIENT"].IssuerOfPatientID = ds.IssuerOfPatientID
    encoded = {one: _encoded(one, keys) for one, keys in above.items()}
    chain = Chain(
        (encoded["PATIENT"].decode("latin-1"), encoded["PATIENT"]),
        (str(ds.StudyInstanceUID), encoded["STUDY"]),
        (str(ds.SeriesInstanceUID), encoded["SERIES"]),
    )
    return Records(chain, kind, _keys(kind, ds), made)


def _keys(kind: str, ds: Dataset) -> Dataset:
    keys = DIRECTORY_RECORDERS[kind](ds)
    if "SpecificCharacterSet" in ds:
        keys.SpecificCharacterSet = ds.SpecificCharacterSet
    return keys


def _make(ds: Dataset, needed: tuple[str, ...]) -> list[str]:
    """Fill what is needed and lacks a value; return the keywords."""
    made = []
    for keyword in needed:
        if not _has(ds, keyword):
            setattr(ds, keyword, _MADE[keyword](ds))
            made.append(keyword)
    return made


def _has(ds: Dataset, keyword: str) -> bool:
    return keyword in ds and ds[keyword].VM != 0 and bool(str(ds[keyword].value).strip())


def _first(ds: Dataset, keywords: tuple[str, ...], otherwise: str) -> str:
    found = next((one for one in keywords if _has(ds, one)), None)
    return str(ds[found].value) if found else otherwise


def _short(text: str) -> str:
    return base64.b32encode(hashlib.sha256(str(text).encode()).digest())[:8].decode()


def _made_uid(what: str, ds: Dataset) -> str:
    """Return a UID that is the same for the same object (PS3.5 B.2)."""
    digest = hashlib.sha256(f"{what} {ds.SOPInstanceUID}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _unknown_concept() -> Sequence:
    concept = Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator = _UNKNOWN, "99GATEWAY"
    concept.CodeMeaning = "Unknown"
    return Sequence([concept])


def _encoded(kind: str, keys: Dataset) -> bytes:
    """Return a record as an item, its two offsets zero and at their places."""
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = 0
    record.RecordInUseFlag = 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = kind
    record.update(keys)
    _with_lengths(record)
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, False
    write_dataset(file, record)
    body = file.getvalue()
    return ITEM.pack(0xFFFE, 0xE000, len(body)) + body


def _with_lengths(ds: Dataset) -> None:
    """Have every sequence written with its length, so that a reader may step over it."""
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = False
            element.value.is_undefined_length = False
            for item in element.value:
                item.is_undefined_length_sequence_item = False
                _with_lengths(item)
