"""again: has this SOP Instance UID come before, and is it the same?

Takes      a received instance
Gives      the id of the instance that it repeats, or None
Holds      conflict: the same UID with other bytes; both are kept
Repeats    decides by what came earlier, so twice the same
"""

from spool.errors import Hold
from spool.model import Instance
from spool.preparing import Preparing

CONFLICT = "conflict"


def repeats(instance: Instance, preparing: Preparing) -> int | None:
    """Return the id of the earlier instance with the same data set in the same encoding.

    Raises
    ------
    Hold
        `conflict`: an earlier one has other bytes, unless a person has waived that.
    """
    earlier = preparing.others(instance)
    same = (instance.received.blob.sha256, instance.received.transfer_syntax_uid)
    for instance_id, *this in earlier:
        if tuple(this) == same:
            return instance_id
    if earlier and CONFLICT not in instance.waived:
        raise Hold(CONFLICT, f"instance {earlier[0][0]} has this UID and other bytes")
    return None
