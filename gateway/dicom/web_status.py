"""web_status: what a DICOMweb archive's answer to a store request means for the delivery, as data.

Takes      a Failure Reason (0008,1197), a Warning Reason (0008,1196), an HTTP status
Gives      what is done about it, what it means and what a person does next
Holds      nothing; the first row that matches decides

Stable codes are made of the number, decimal as archives print it: ``stow-43264``, ``http-413``.

References: PS3.18 8.5, 10.5.3 and I.2 (tables I.2-1, I.2-2), PS3.7 annex C, RFC 9110 15, RFC 6585,
RFC 4918 11.5; Azure, AWS and Google: their conformance statements, read in November 2026.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.dicom.status import Verdict
from gateway.language import N_

_TRIES_AGAIN = N_("It is tried again by itself; nothing is lost.")
_ARCHIVE_LOG = N_("Look into the archive's log, settle it there, then retry.")
_URL = N_("Check the destination's url with the archive's administrator.")
_NOTHING = N_("Nothing needs to be done.")
_COMPARE = N_("Compare the image in the archive with this one.")
_ARCHIVE_SIDE = N_("Have the archive's operator look; it is tried again by itself.")
_RIGHTS = N_("Have the archive's administrator give this account the right to store, then retry.")


@dataclass(frozen=True, slots=True)
class Row:
    first: int
    last: int
    verdict: Verdict
    meaning: str  #: what happened; `N_`
    next_step: str  #: what a person does; `N_`
    asks: bool = False  #: the object's fault only if the archive answers a query at the same time


#: Failure Reason (0008,1197): PS3.18 table I.2-2, PS3.7 C.5; 45070 and 45071 are Azure's.
FAILURES = (
    Row(
        0x0110,
        0x0110,
        Verdict.REFUSED,
        N_("The archive met a general failure with this image (0110)."),
        N_("Look into the archive's log; in Google Cloud another image has the same UID, perhaps."),
    ),
    Row(
        0x0111,
        0x0111,
        Verdict.SENT,
        N_("The archive already has an image with this SOP Instance UID (0111)."),
        _NOTHING,
    ),
    Row(
        0x0112,
        0x0112,
        Verdict.REFUSED,
        N_("The archive misses something that this image refers to (0112)."),
        _ARCHIVE_LOG,
    ),
    Row(
        0x0117,
        0x0117,
        Verdict.REFUSED,
        N_("The archive calls the SOP Instance UID invalid (0117)."),
        N_("Ask the modality's vendor how UIDs are formed, the archive's operator what it wants."),
    ),
    Row(
        0x0119,
        0x0119,
        Verdict.REFUSED,
        N_("The archive knows this SOP Instance UID with another SOP class (0119)."),
        _COMPARE,
    ),
    Row(
        0x0122,
        0x0122,
        Verdict.REFUSED,
        N_("The archive does not store this kind of image (0122)."),
        N_("Have the archive accept the image's SOP class, then retry."),
    ),
    Row(
        0x0124,
        0x0124,
        Verdict.REFUSED,
        N_("The archive does not allow us to store this image (0124)."),
        _RIGHTS,
    ),
    Row(
        0x0213,
        0x0213,
        Verdict.BUSY,
        N_("The archive has no resources for the image now (0213)."),
        _ARCHIVE_SIDE,
    ),
    Row(
        0xA700,
        0xA7FF,
        Verdict.BUSY,
        N_("The archive has no room or no resources for the image (A700)."),
        _ARCHIVE_SIDE,
    ),
    Row(
        0xA901,
        0xA901,
        Verdict.REFUSED,
        N_("The archive expected an image of another study (A901)."),
        _ARCHIVE_LOG,
    ),
    Row(
        0xA900,
        0xA9FF,
        Verdict.REFUSED,
        N_("The image does not pass the archive's checks of its attributes (A900)."),
        N_("The archive's log names the attributes; Azure wants a Patient ID, for one."),
    ),
    Row(
        0xB00E,
        0xB00E,
        Verdict.SENT,
        N_("The archive already has an image with these UIDs (45070); it is confirmed as others."),
        _NOTHING,
    ),
    Row(
        0xB00F,
        0xB00F,
        Verdict.REFUSED,
        N_("The archive has half of this image from an earlier try (45071)."),
        N_("If it stays so, have the archive's operator delete that half there, then retry."),
    ),
    Row(
        0xC122,
        0xC122,
        Verdict.OTHER_SYNTAX,
        N_("The archive does not take this transfer syntax (C122)."),
        N_("It is sent in another one; if none is taken, have the archive accept one."),
    ),
    Row(
        0xC000,
        0xCFFF,
        Verdict.REFUSED,
        N_("The archive cannot understand certain elements of the image (C000)."),
        _ARCHIVE_LOG,
    ),
)
UNKNOWN_FAILURE = Row(
    0x0000,
    0xFFFF,
    Verdict.HELD,
    N_("The archive refused the image with a reason that no table has."),
    N_("Look up the reason in the archive's conformance statement, then retry."),
)

#: Warning Reason (0008,1196) of an object that was stored: PS3.18 table I.2-1; 1 is Azure's,
#: B1xx are those of AWS HealthImaging.
WARNINGS = (
    Row(
        0x0001,
        0x0001,
        Verdict.SENT,
        N_("The archive has kept the image, but attributes of it do not pass its checks (1)."),
        N_("They cannot be searched there; the archive's log names them."),
    ),
    Row(
        0xB000,
        0xB000,
        Verdict.SENT,
        N_("The archive has kept the image and changed attributes of it (B000)."),
        N_('Ask the archive\'s operator which ones; confirm = "readback" shows them.'),
    ),
    Row(
        0xB006,
        0xB006,
        Verdict.SENT,
        N_("The archive has kept the image and discarded attributes of it (B006)."),
        N_('Ask the archive\'s operator which ones; confirm = "readback" shows them.'),
    ),
    Row(
        0xB007,
        0xB007,
        Verdict.SENT,
        N_("The archive has kept the image, which does not match its SOP class (B007)."),
        N_("The archive's log names the attributes."),
    ),
    Row(
        0xB100,
        0xB1FF,
        Verdict.SENT,
        N_("The archive has kept the image, but cannot show its pixels (B100)."),
        N_("Open the image in the archive's viewer; report it to the archive's vendor."),
    ),
    Row(
        0xB000,
        0xBFFF,
        Verdict.SENT,
        N_("The archive has kept the image with a warning (B000 to BFFF)."),
        N_("Look up the reason in the archive's conformance statement."),
    ),
)
UNKNOWN_WARNING = Row(
    0x0000,
    0xFFFF,
    Verdict.SENT,
    N_("The archive has kept the image with a warning that no table has."),
    N_("Look up the reason in the archive's conformance statement."),
)

#: HTTP status, for an object that the body does not name: RFC 9110 15, RFC 6585, RFC 4918 11.5,
#: PS3.18 table 8.5-1 and 10.5.3-1.  What lies at the address or the account is BUSY: all objects
#: would meet the same, and none is at fault.  2xx without a word on the object is not here.
HTTP = (
    Row(
        300,
        399,
        Verdict.BUSY,
        N_("The server sends us to another address."),
        N_("Enter the address that it names as the destination's url, if you trust it."),
    ),
    Row(
        400,
        400,
        Verdict.REFUSED,
        N_("The archive does not understand the request or the image."),
        _ARCHIVE_LOG,
    ),
    Row(
        401,
        401,
        Verdict.BUSY,
        N_("The archive does not accept our credentials."),
        N_("Check the account, its password or token, and whether they have expired."),
    ),
    Row(403, 403, Verdict.REFUSED, N_("The archive does not allow us to store."), _RIGHTS, True),
    Row(404, 404, Verdict.BUSY, N_("The server has no DICOMweb service at this address."), _URL),
    Row(405, 405, Verdict.BUSY, N_("The service at this address stores nothing."), _URL),
    Row(
        406,
        406,
        Verdict.BUSY,
        N_("The archive answers neither in JSON nor in XML."),
        N_("Ask the archive's vendor for PS3.18 conformance."),
    ),
    Row(
        407,
        407,
        Verdict.BUSY,
        N_("The proxy does not let us through without credentials."),
        N_("Have the network's administrator let this box through."),
    ),
    Row(408, 408, Verdict.BUSY, N_("The archive waited too long for the images."), _TRIES_AGAIN),
    Row(
        409,
        409,
        Verdict.REFUSED,
        N_("The archive refused the image: a conflict with what it has, or an invalid image."),
        _COMPARE,
    ),
    Row(410, 410, Verdict.BUSY, N_("The service has left this address for good."), _URL),
    Row(
        411,
        411,
        Verdict.BUSY,
        N_("A proxy on the way has removed the length of the request."),
        N_("Have the network's administrator look at the proxy."),
    ),
    Row(
        413,
        413,
        Verdict.HELD,
        N_("The image alone is larger than the archive, or a proxy before it, takes."),
        N_("Have the archive's administrator raise the limit of a request, then retry."),
    ),
    Row(
        415,
        415,
        Verdict.OTHER_SYNTAX,
        N_("The archive does not take this media type or transfer syntax."),
        N_("It is sent in another one; if none is taken, have the archive accept one."),
    ),
    Row(417, 417, Verdict.BUSY, N_("A proxy on the way asks for what we do not do."), _URL),
    Row(421, 421, Verdict.BUSY, N_("The server is not the one for this address."), _URL),
    Row(422, 422, Verdict.REFUSED, N_("The archive cannot process the image."), _ARCHIVE_LOG),
    Row(
        424,
        424,
        Verdict.BUSY,
        N_("The archive cannot reach what it depends on, its own storage perhaps."),
        _ARCHIVE_SIDE,
    ),
    Row(425, 425, Verdict.BUSY, N_("The archive takes no request so early."), _TRIES_AGAIN),
    Row(426, 426, Verdict.BUSY, N_("The server wants another protocol."), _URL),
    Row(429, 429, Verdict.BUSY, N_("The archive was sent too much at a time."), _TRIES_AGAIN),
    Row(400, 499, Verdict.REFUSED, N_("The archive refused the request."), _ARCHIVE_LOG, True),
    Row(501, 501, Verdict.BUSY, N_("The service at this address stores nothing."), _URL),
    Row(
        502,
        502,
        Verdict.BUSY,
        N_("A proxy does not reach the archive behind it."),
        _ARCHIVE_SIDE,
    ),
    Row(503, 503, Verdict.BUSY, N_("The archive is busy or under maintenance."), _TRIES_AGAIN),
    Row(
        504,
        504,
        Verdict.BUSY,
        N_("A proxy waited too long for the archive behind it."),
        _ARCHIVE_SIDE,
    ),
    Row(507, 507, Verdict.BUSY, N_("The archive has no room left."), _ARCHIVE_SIDE),
    Row(
        511,
        511,
        Verdict.BUSY,
        N_("The network wants a login before it lets anything through."),
        N_("Log in at the network, or have its administrator let this box through."),
    ),
    Row(500, 599, Verdict.REFUSED, N_("The archive met an error of its own."), _ARCHIVE_LOG, True),
)
UNKNOWN_HTTP = Row(
    0,
    999,
    Verdict.BUSY,
    N_("The server answered with a status that HTTP does not have."),
    _URL,
)

_TABLES = {
    "stow": (*FAILURES, *WARNINGS, UNKNOWN_FAILURE),
    "http": (*HTTP, UNKNOWN_HTTP),
}


def failure_row(reason: int) -> Row:
    """Return the row of a Failure Reason; one in no row is held."""
    return next((row for row in FAILURES if row.first <= reason <= row.last), UNKNOWN_FAILURE)


def warning_row(reason: int) -> Row:
    """Return the row of the Warning Reason of an object that is said to be stored.

    Some archives put a reason for failure there: then it counts as that.
    """
    if (row := failure_row(reason)) is not UNKNOWN_FAILURE:
        return row
    return next((row for row in WARNINGS if row.first <= reason <= row.last), UNKNOWN_WARNING)


def http_row(status: int) -> Row:
    """Return the row of an HTTP status."""
    return next((row for row in HTTP if row.first <= status <= row.last), UNKNOWN_HTTP)


def rows() -> Iterator[tuple[str, Row]]:
    """Yield every row with its code; of a range the first, where the rows before leave it any."""
    for table, found in _TABLES.items():
        for row in found:
            yield f"{table}-{row.first}", row


def row_of_code(code: str) -> Row | None:
    """Return the row behind a stable code, ``stow-43264``; None where it is none of these."""
    table, _, number = code.partition("-")
    if table not in _TABLES or not (number.isascii() and number.isdigit()):
        return None
    return next((row for row in _TABLES[table] if row.first <= int(number) <= row.last), None)
