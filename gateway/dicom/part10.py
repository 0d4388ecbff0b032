"""part10: what the head of a DICOM file says, and where its data set begins.

Takes      a path: with preamble and file meta, with file meta only, or a bare data set as legacy
           software writes it
Gives      SOP Class, SOP Instance and Transfer Syntax UID; offset and bytes of the data set
Holds      NotDicom where that cannot be said
Guesses    the transfer syntax where none is named: by the first header, never by the name

A DICOMDIR is a file like others, told by its class (`MEDIA_STORAGE_DIRECTORY`).

References: PS3.10 7.1 (file meta), PS3.5 7.1 (headers).
"""

import os
import struct
from dataclasses import dataclass

from gateway.dicom.attributes import Attributes
from gateway.dicom.malformed import Malformed
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    syntax_of,
)
from gateway.dicom.vr import LONG_VRS, SHORT_VRS

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"  #: SOP class of a DICOMDIR (PS3.10 8.6)
META_BYTES_MOST = 1 << 20  #: more than any file meta with private information has
_MEDIA_STORAGE_SOP_CLASS_UID, _SOP_CLASS_UID = 0x00020002, 0x00080016
_MEDIA_STORAGE_SOP_INSTANCE_UID, _SOP_INSTANCE_UID = 0x00020003, 0x00080018
_TRANSFER_SYNTAX_UID = 0x00020010
_WANTED = {_MEDIA_STORAGE_SOP_CLASS_UID, _MEDIA_STORAGE_SOP_INSTANCE_UID, _TRANSFER_SYNTAX_UID}

#: what is missing, by its stable code; a person reads the sentences of `gateway.reasons`
REASONS = {
    "no-data-set": "the file is no DICOM file and no data set",
    "meta-broken": "the file meta information is broken",
    "uid-missing": "the file names no SOP Class UID or no SOP Instance UID",
}


class NotDicom(Exception):
    """The file is not a DICOM object, or does not say which.

    Attributes
    ----------
    code
        Stable word for the reason, a key of `REASONS` here and of `gateway.reasons.FILE`.
    what
        The reason in English: fit for a log.
    """

    def __init__(self, code: str):
        self.code = code
        self.what = REASONS[code]
        super().__init__(self.what)


@dataclass(frozen=True, slots=True)
class FileMeta:
    """The head of one file; the UIDs are as written, without padding, not judged."""

    sop_class_uid: str  #: (0002,0002), else (0008,0016)
    sop_instance_uid: str  #: (0002,0003), else (0008,0018)
    transfer_syntax_uid: str  #: (0002,0010), else guessed
    dataset_offset: int  #: bytes before the data set
    dataset_bytes: int


def read_file_meta(path: str | os.PathLike[str]) -> FileMeta:
    """Return what the head of the file says.

    Raises
    ------
    NotDicom
        No DICOM file and no sound data set, or one that names no object.
    OSError
        The file cannot be read.
    """
    with Source(path) as file:
        begin = _begin(file)
        found, offset = _meta_elements(file, begin) if begin is not None else ({}, 0)
    with Source(path, offset) as dataset:
        syntax_uid = found.get(_TRANSFER_SYNTAX_UID) or guessed_syntax(dataset)
        sop_class_uid = found.get(_MEDIA_STORAGE_SOP_CLASS_UID, "")
        sop_instance_uid = found.get(_MEDIA_STORAGE_SOP_INSTANCE_UID, "")
        if not (sop_class_uid and sop_instance_uid):
            code = "no-data-set" if begin is None else "uid-missing"
            own_class_uid, own_instance_uid = _own_uids(dataset, syntax_uid, code)
            sop_class_uid = sop_class_uid or own_class_uid
            sop_instance_uid = sop_instance_uid or own_instance_uid
        return FileMeta(sop_class_uid, sop_instance_uid, syntax_uid, offset, dataset.size)


def guessed_syntax(dataset: Source) -> str:
    """Return the uncompressed transfer syntax that the first header looks like."""
    head = dataset.read(0, min(6, dataset.size))
    if head[4:6].decode("latin-1") not in LONG_VRS | SHORT_VRS:
        return IMPLICIT_VR_LITTLE_ENDIAN
    # the first group is a low one, 0008 as a rule: read the wrong way round it is a high one
    little = int.from_bytes(head[:2], "little") <= int.from_bytes(head[:2], "big")
    return EXPLICIT_VR_LITTLE_ENDIAN if little else EXPLICIT_VR_BIG_ENDIAN


def _begin(file: Source) -> int | None:
    """Return where the file meta begins; None where there is none."""
    head = file.read(0, min(132, file.size))
    if head[128:132] == b"DICM":
        return 132
    return 0 if head[0:2] == b"\x02\0" and head[4:6] in (b"UL", b"OB", b"UI") else None


def _meta_elements(file: Source, at: int) -> tuple[dict[int, str], int]:
    """Return the UIDs of group 0002 by tag, and where the group ends.

    Its length (0002,0000) is not believed: it may be absent, and legacy software writes wrong ones.
    """
    found: dict[int, str] = {}
    while file.size - at >= 8 and file.read(at, 2) == b"\x02\0":
        tag, value, length = _meta_header(file, at)
        at = value + length
        if at > min(file.size, META_BYTES_MOST):
            raise NotDicom("meta-broken")
        if tag in _WANTED:  # whole, be it too long: cut, two objects might become one
            found[tag] = file.read(value, length).decode("latin-1").strip(" \0")
    return found, at


def _meta_header(file: Source, at: int) -> tuple[int, int, int]:
    """Return tag, offset of the value and its length: always Explicit VR Little Endian."""
    group, element, vr, length = struct.unpack("<HH2sH", file.read(at, 8))
    tag = group << 16 | element
    if vr.decode("latin-1") in SHORT_VRS:
        return tag, at + 8, length
    if vr.decode("latin-1") not in LONG_VRS or file.size - at < 12:
        raise NotDicom("meta-broken")
    return tag, at + 12, struct.unpack("<I", file.read(at + 8, 4))[0]


def _own_uids(dataset: Source, syntax_uid: str, code: str) -> tuple[str, str]:
    """Return SOP Class and SOP Instance UID of the data set itself.

    Without file meta there is no magic word: only a data set that is sound to its last byte, and
    names its object, is believed to be one.
    """
    syntax = syntax_of(syntax_uid)
    if syntax.deflated:
        raise NotDicom("uid-missing")
    try:
        attributes = Attributes(dataset, syntax)
    except Malformed as error:
        raise NotDicom(code) from error
    sop_class_uid, sop_instance_uid = map(attributes.text, (_SOP_CLASS_UID, _SOP_INSTANCE_UID))
    if not (sop_class_uid and sop_instance_uid):
        raise NotDicom("uid-missing" if attributes.elements else code)
    return sop_class_uid, sop_instance_uid
