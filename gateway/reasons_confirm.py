"""reasons_confirm: why an image that was sent is not confirmed yet.

Gives      a table for `gateway.reasons`, in its form: code -> (what happened, next step)
Holds      nothing; a code never changes once released, its sentences may
"""

from gateway.language import N_

_ASKED_AGAIN = N_("It is asked again by itself; nothing is lost.")
_NOTHING = N_("Nothing needs to be done.")

#: why an image that was sent is not confirmed yet
CONFIRM = {
    "not-there": (
        N_("The archive took the image, but does not show it."),
        N_("It is asked again, and then sent again; if it goes on, ask the archive's operator."),
    ),
    "queries-refused": (
        N_("The archive answers no queries, so nobody can tell whether it kept the image."),
        N_("Have it allow queries by our AE title or user, or release it if sent is enough."),
    ),
    "readback-refused": (
        N_("The archive gives no images back, so nothing can be compared."),
        N_("Have it allow retrieval by our AE title or user, or release it if sent is enough."),
    ),
    "same-uid": (
        N_("Other content may be there under the same UID; only reading back tells what it keeps."),
        N_(
            "Have the archive allow retrieval; or compare by eye, and release it if sent is enough."
        ),
    ),
    "not-comparable": (
        N_("What the archive gave back cannot be decoded here, so it is not compared."),
        N_("Have it give images back as they were stored, or release it if sent is enough."),
    ),
    "no-room-to-read-back": (
        N_("The disk is too full to read the image back."),
        N_("Make room; it is tried again by itself."),
    ),
    "commitment-refused": (
        N_("The archive takes no storage commitment requests; it is asked by query instead."),
        N_('Have it allow Storage Commitment for our AE title, or say confirm = "query".'),
    ),
    "commitment-silent": (
        N_("The archive took a storage commitment request and did not report in time."),
        N_("Check that it knows our AE title, address and port; meanwhile it is asked by query."),
    ),
    "commitment-0110": (
        N_("The archive failed while it looked for the image (0110)."),
        _ASKED_AGAIN,
    ),
    "commitment-0112": (
        N_("The archive says that it does not have the image (0112)."),
        N_("It is asked again, and then sent again; if it goes on, ask the archive's operator."),
    ),
    "commitment-0122": (
        N_("The archive does not commit to keep this kind of image (0122); a query tells."),
        _NOTHING,
    ),
    "commitment-0131": (
        N_("The archive knew the transaction already (0131)."),
        _ASKED_AGAIN,
    ),
    "commitment-0213": (
        N_("The archive had no resources to look for the image (0213)."),
        _ASKED_AGAIN,
    ),
    "commitment-failed": (
        N_("The archive does not commit to keep the image, for a reason that no table has."),
        N_("It is asked by query; look up the reason in the archive's conformance statement."),
    ),
}
