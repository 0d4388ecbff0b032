"""structure: is this data set what its carrier said, whole to its last byte?

Takes      a received instance
Gives      its study and series, for the row
Holds      structure, uid-mismatch, no-sop-instance-uid: kept as it came, a person looks
Repeats    reads only

`dcmread` is no validator: it returns a shorter data set without a word. A deflated data set, and
one in a private encoding that nobody here can walk, are let by as they are.

References: PS3.5 7.1, PS3.3 C.12.1 (SOP Common), C.7.2.1, C.7.3.1.
"""

from dataclasses import dataclass

from gateway.dicom.attributes import Attributes
from gateway.dicom.malformed import Malformed
from gateway.dicom.pdu import is_uid
from gateway.dicom.source import Source
from gateway.dicom.syntaxes import SYNTAXES, syntax_of
from gateway.prepare.data_set import DataSetAt
from spool.errors import Hold
from spool.model import Instance

SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STATION_NAME, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID = 0x00081010, 0x0020000D, 0x0020000E

STRUCTURE, UID_MISMATCH, NO_UID = "structure", "uid-mismatch", "no-sop-instance-uid"
CODES = frozenset({STRUCTURE, UID_MISMATCH, NO_UID})


@dataclass(frozen=True, slots=True)
class Belongs:
    """To what the instance belongs; empty where the data set does not say."""

    study_instance_uid: str = ""  #: (0020,000D)
    series_instance_uid: str = ""  #: (0020,000E)
    walked: bool = True  #: False: nothing is known of the inside


def examine(instance: Instance) -> Belongs:
    """Return to what the instance belongs.

    Raises
    ------
    Hold
        The data set does not end where its lengths say, or is another object than was announced,
        unless a person has waived that.
    """
    if instance.waived & CODES:
        return Belongs(walked=False)
    arrival, at_hand = instance.arrival, instance.at_hand
    blob = at_hand.blob
    place = DataSetAt(
        blob.path, blob.dataset_offset, blob.dataset_bytes, at_hand.transfer_syntax_uid
    )
    return examine_at(place, arrival.sop_class_uid, arrival.sop_instance_uid)


def examine_at(place: DataSetAt, sop_class_uid: str, sop_instance_uid: str) -> Belongs:
    """Return to what the data set there belongs, that was announced under these UIDs.

    Raises
    ------
    Hold
        As `examine`.
    """
    syntax = syntax_of(place.transfer_syntax_uid)
    if syntax.deflated:
        return Belongs(walked=False)
    with Source(place.path, place.dataset_offset, place.dataset_bytes) as source:
        try:
            attributes = Attributes(source, syntax)
        except Malformed as fault:
            if syntax.uid not in SYNTAXES:
                return Belongs(walked=False)
            raise Hold(STRUCTURE, str(fault)) from fault
        _must_be(sop_class_uid, sop_instance_uid, attributes)
        study, series = (
            uid if is_uid(uid) else ""
            for uid in (attributes.text(STUDY_INSTANCE_UID), attributes.text(SERIES_INSTANCE_UID))
        )
        return Belongs(study, series)


def _must_be(sop_class_uid: str, sop_instance_uid: str, attributes: Attributes) -> None:
    """Compare with the command; the archive's index would go by one or the other."""
    uid, sop_class = attributes.text(SOP_INSTANCE_UID), attributes.text(SOP_CLASS_UID)
    if not uid:
        raise Hold(NO_UID, "(0008,0018) is missing or empty")
    if uid != sop_instance_uid:
        raise Hold(UID_MISMATCH, "(0008,0018) is not the Affected SOP Instance UID")
    if sop_class != sop_class_uid:
        raise Hold(UID_MISMATCH, "(0008,0016) is not the Affected SOP Class UID")
