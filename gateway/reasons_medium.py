"""reasons_medium: why a stick or a folder could not be written, or does not take an image.

Gives      tables for `gateway.reasons`, in its form: code -> (what happened, next step)
Holds      nothing; a code never changes once released, its sentences may
"""

from gateway.language import N_

_OTHER_STICK = N_("Insert another stick with the same label; this one is left as it is.")

#: why nothing goes to a destination with kind = "folder" for now
MEDIUM = {
    "medium-missing": (
        N_("The stick or folder is not there."),
        N_("Insert the stick, or check the destination's path; it goes on by itself."),
    ),
    "medium-other": (
        N_("Another stick is there than the one with the label that the destination names."),
        N_("Insert the right one, or correct the destination's volume."),
    ),
    "medium-unknown": (
        N_("What is mounted there does not tell its label."),
        N_("Give the stick a label, or take the destination's volume away if any stick will do."),
    ),
    "medium-foreign": (
        N_("The stick has an index that another program wrote; nothing on it is touched."),
        _OTHER_STICK,
    ),
    "medium-damaged": (
        N_("The index on the stick is not what was written there."),
        _OTHER_STICK,
    ),
    "medium-full": (N_("The stick is full; what is on it is whole."), _OTHER_STICK),
    "medium-read-only": (
        N_("The stick cannot be written: it is locked, or the system found it faulty."),
        N_("Open its lock; if it has none, have it checked, and insert another one."),
    ),
    "medium-not-allowed": (
        N_("The gateway may not write there."),
        N_("Give its user the right to write, or mount the stick with uid=."),
    ),
    "medium-failed": (
        N_(
            "The stick was pulled out, or it fails; what it was being given is not counted as sent."
        ),
        N_("Insert it again, or another one with the same label; it goes on by itself."),
    ),
}

#: why one image does not go to a stick
ON_MEDIUM = {
    "medium-has-another": (
        N_("The stick has another image with the same SOP Instance UID."),
        N_("Compare both; remove that stick, or cancel this one."),
    ),
    "medium-file-too-large": (
        N_("The image is longer than the 4 GB that a FAT file system takes."),
        N_("Format a stick with exFAT or ext4, then retry."),
    ),
    "medium-no-record": (
        N_("The index of a medium has no place for such an object, or its header is not readable."),
        N_("Send it to an archive over the network; cancel it here."),
    ),
}
