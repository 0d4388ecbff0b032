"""coercion: what an archive may change of an image and still keep that image.

Takes      a tag, how it differs, and the tags that were sent
Gives      whether that is administration: whose request, which visit, where it is kept
Holds      nothing

Everything else may change what is seen, measured or dosed, and is an alteration: a list of what is
dangerous would forget something. So are left out, though PS3.4 lets an archive coerce some of them:
weight and size of the patient (uptake is reckoned with them), dates and times of series and
acquisition (decay is), descriptions of the series (they may name the side).

Private elements: what the archive adds in a block of its own is its own. What we sent stands for
dose, geometry and measures of its maker, and nobody here can read it: changed, gone, or added to in
the maker's own block, it is an alteration.

References: PS3.4 B.4.1 and annex B (coercion by a storage SCP); PS3.3 C.7.1.1 (Patient), C.7.2.1,
C.7.2.2 (Study), C.7.5.1 (Equipment), C.12.1 (SOP Common, Original Attributes), C.4 (requests,
visits), PS3.4 C.4 (what only answers have); PS3.5 7.8.1 (private blocks).
"""

from collections.abc import Container

#: Requests and visits: no attribute of the image itself.
_GROUPS = {0x0032, 0x0038}
ADMINISTRATIVE = {
    0x00080005,  # Specific Character Set
    *(0x00080012, 0x00080013, 0x00080014, 0x00080015),  # Instance Creation, Coercion
    *(0x00080020, 0x00080030),  # Study Date, Study Time
    *(0x00080050, 0x00080051),  # Accession Number and its issuer
    *(0x00080054, 0x00080056, 0x00081190),  # Retrieve AE Title, Instance Availability, Retrieve URL
    *(0x00080080, 0x00080081, 0x00080082),  # Institution
    *(0x00080090, 0x00080092, 0x00080094, 0x00080096),  # Referring Physician
    *(0x0008009C, 0x0008009D),  # Consulting Physician
    *(0x00081010, 0x00081030, 0x00081032),  # Station Name, Study Description, Procedure Code
    *(0x00081040, 0x00081041),  # Institutional Department
    *(0x00081048, 0x00081049, 0x00081050, 0x00081052),  # Physicians of Record, Performing
    *(0x00081060, 0x00081062, 0x00081070, 0x00081072),  # Physicians Reading, Operators
    *(0x00081080, 0x00081084),  # Admitting Diagnoses
    *(0x00081110, 0x00081111, 0x00081120, 0x00081125),  # Referenced Study, Step, Patient, Visit
    0x00100010,  # Patient's Name; the ID is identity
    *(0x00100030, 0x00100032, 0x00100040, 0x00101010),  # Birth Date, Birth Time, Sex, Age
    *(0x00100022, 0x00100024),  # Type of Patient ID, Issuer of Patient ID Qualifiers
    *(0x00101000, 0x00101001, 0x00101002, 0x00101005, 0x00101060),  # other IDs and names
    *(0x00101040, 0x00101080, 0x00101081, 0x00101090),  # Address, Rank, Service, Record Locator
    *(0x00102150, 0x00102152, 0x00102154, 0x00102155),  # Residence, Telephone
    *(0x00102160, 0x00102161, 0x00102180, 0x001021B0, 0x001021F0),  # Ethnic Group to Religion
    *(0x00102297, 0x00102298, 0x00102299, 0x00104000),  # Responsible Person, Comments
    0x0018A001,  # Contributing Equipment Sequence
    0x00200010,  # Study ID
    *(0x00201200, 0x00201202, 0x00201204, 0x00201206, 0x00201208, 0x00201209),  # Number of Related
    *(0x00400001, 0x00400002, 0x00400003, 0x00400006, 0x00400007, 0x00400008),  # Scheduled Step
    *(0x00400009, 0x00400010, 0x00400011),
    *(0x00400241, 0x00400242, 0x00400243, 0x00400244, 0x00400245),  # Performed Step
    *(0x00400250, 0x00400251, 0x00400252, 0x00400253, 0x00400254),
    *(0x00400260, 0x00400275),  # Performed Protocol Code, Request Attributes
    *(0x00401001, 0x00401002, 0x00401400, 0x00402016, 0x00402017),  # Requested Procedure, Order
    *(0x00880130, 0x00880140),  # Storage Media File-set ID and UID
    0x04000561,  # Original Attributes Sequence
}
#: Another issuer makes the same ID another patient's; one where none was is the archive's own.
_MAY_BE_ADDED = {0x00100021}


def may_be_coerced(tag: int, how: str, sent: Container[int]) -> bool:
    """Tell whether it is the same image though this element is "added", "changed" or "removed"."""
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2:
        return how == "added" and (group << 16 | element >> 8) not in sent
    return group in _GROUPS or tag in ADMINISTRATIVE or (how == "added" and tag in _MAY_BE_ADDED)
