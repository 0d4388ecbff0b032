"""stow_cases: answers to a store request, as they were recorded, and the verdict on each object.

The shapes are those of Orthanc 1.10 with DICOMweb 1.7 (run), of the conformance statements and
issues of Google Cloud Healthcare, Azure, AWS HealthImaging and dcm4chee (read in November 2026),
and of what stands between an archive and us.
"""

import gzip
import zlib
from dataclasses import dataclass

from gateway.dicom.status import Verdict
from gateway.dicom.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
)
from tests.fakes.stow_shapes import JSON, XML, as_json, as_xml, item, report
from tests.fakes.web_server import Reply

A, B = "1.2.826.0.1.1", "1.2.826.0.1.2"
SENT, BUSY, REFUSED = Verdict.SENT, Verdict.BUSY, Verdict.REFUSED
HELD, OTHER = Verdict.HELD, Verdict.OTHER_SYNTAX
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>%s %s</body></html>"
PORTAL = HTML % (A.encode(), B.encode())
BOTH = report([item(A), item(B)])


@dataclass(frozen=True)
class Case:
    """One answer, and what becomes of the objects A, and B where there are two verdicts."""

    name: str
    reply: Reply
    expected: tuple[tuple[Verdict, str], ...]
    syntax: str = EXPLICIT_VR_LITTLE_ENDIAN
    probe: Reply = Reply(200, {"Content-Type": JSON}, b"[]")  # noqa: RUF009


def said(status: int, data_set: object, kind: str = JSON, **headers: str) -> Reply:
    return Reply(status, {"Content-Type": kind, **headers}, as_json(data_set))


def page(status: int, body: bytes, kind: str = "text/html", **headers: str) -> Reply:
    return Reply(status, {"Content-Type": kind, **headers}, body)


def raw(text: bytes) -> Reply:
    return Reply(raw=text)


def packed(coding: str, body: bytes) -> Reply:
    return Reply(200, {"Content-Type": JSON, "Content-Encoding": coding}, body)


def chunked(*pieces: bytes) -> Reply:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in (*pieces, b""))
    return raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + body)


def one(verdict: Verdict, code: str = "") -> tuple[tuple[Verdict, str], ...]:
    return ((verdict, code),)


def fails(status: int, reason: object) -> Reply:
    return said(status, report([], [item(A, failure=reason)]))


def warns(reason: object) -> Reply:
    return said(200, report([item(A, warning=reason)]))


FOREIGN, UNNAMED = one(REFUSED, "not-dicomweb"), one(REFUSED, "not-named")
TWO_SENT = ((SENT, ""), (SENT, ""))
GONE = Reply(503)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
DTD = "<!DOCTYPE x [<!ENTITY a 'b'>]>"
REQUEST_DENIED = b"HTTP/1.1 999 Request denied\r\nContent-Length: 0\r\n\r\n"
KEYWORDS = {"ReferencedSOPSequence": [{"ReferencedSOPInstanceUID": A}]}
NUMBER_FOR_UID = {"00081199": [{"00081155": {"Value": [12]}}]}
ALIKE = report([item(f"{A}.1"), item(A[:-1])])
ORTHANC_ERROR = {"HttpError": "Bad Request", "HttpStatus": 400, "OrthancStatus": 8}
ORTHANC = {"00080005": {"Value": ["ISO_IR 100"], "vr": "CS"}, "00081198": {"vr": "SQ"}}
GOOGLE_DIFFERS = item(failure=272) | {
    "00090097": {"vr": "LT", "Value": ["already exists, but the DICOM files differ"]}
}

CASES = [
    # Orthanc
    Case("orthanc-stored", said(200, ORTHANC | BOTH), TWO_SENT),
    Case(
        "orthanc-400-for-one-bad-among-good",
        Reply(400, {}, as_json(ORTHANC | report([item(A)]))),
        ((SENT, ""), (REFUSED, "http-400")),
    ),
    Case(
        "orthanc-bad-alone",
        Reply(400, {}, as_json(ORTHANC | {"00081199": {"vr": "SQ"}})),
        one(REFUSED, "http-400"),
    ),
    Case("orthanc-error", Reply(400, {}, as_json(ORTHANC_ERROR)), one(REFUSED, "http-400")),
    Case(
        "orthanc-other-study",
        said(409, ORTHANC | report([], [item(A, failure=272)])),
        one(REFUSED, "stow-272"),
    ),
    Case("orthanc-no-room", Reply(507, {}, as_json(ORTHANC_ERROR)), one(BUSY, "http-507")),
    Case(
        "orthanc-xml",
        page(200, as_xml(ORTHANC | BOTH), XML),
        TWO_SENT,
    ),
    # Google Cloud Healthcare
    Case("google-stored", said(200, BOTH), TWO_SENT),
    Case(
        "google-other-bytes-same-uid",
        page(409, as_xml({"00081198": {"vr": "SQ", "Value": [GOOGLE_DIFFERS]}}), XML),
        one(REFUSED, "stow-272"),
    ),
    Case(
        "google-invalid",
        said(409, report([], [], [item(failure=272)])),
        one(REFUSED, "stow-272"),
    ),
    Case(
        "google-some-stored",
        said(202, report([item(A)], [item(B, failure=272)])),
        ((SENT, ""), (REFUSED, "stow-272")),
    ),
    Case("google-quota", page(429, b"{}", JSON), one(BUSY, "http-429")),
    Case(
        "google-no-right-at-all",
        said(403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}, "application/json"),
        one(BUSY, "http-403"),
        probe=Reply(403),
    ),
    Case(
        "google-may-read-only",
        said(403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}, "application/json"),
        one(REFUSED, "http-403"),
    ),
    # Azure Health Data Services
    Case(
        "azure-already-stored",
        fails(409, 45070),
        one(SENT, "stow-45070"),
    ),
    Case(
        "azure-half-stored",
        fails(409, 45071),
        one(REFUSED, "stow-45071"),
    ),
    Case(
        "azure-explicit-only",
        fails(409, 43264),
        one(OTHER, "stow-43264"),
        IMPLICIT_VR_LITTLE_ENDIAN,
    ),
    Case(
        "azure-fails-checks",
        said(409, report([], [item(A, failure=43264, comments=["DICOM100: (0010,0020) - X"])])),
        one(REFUSED, "stow-43264"),
    ),
    Case(
        "azure-unreadable-names-no-uid",
        said(409, report([], [item(failure=43264)])),
        one(REFUSED, "stow-43264"),
    ),
    Case(
        "azure-wrong-study",
        fails(409, 43265),
        one(REFUSED, "stow-43265"),
    ),
    Case(
        "azure-stored-with-warnings",
        said(202, report([item(A, warning=1, comments=["DICOM100: (0008,0020) - X"])])),
        one(SENT, "stow-1"),
    ),
    Case("azure-dependency-down", Reply(424), one(BUSY, "http-424")),
    Case(
        "azure-media-type",
        Reply(415),
        one(OTHER, "http-415"),
        JPEG_2000_LOSSLESS,
    ),
    # AWS HealthImaging
    Case(
        "aws-cannot-show-pixels",
        warns(45312),
        one(SENT, "stow-45312"),
    ),
    Case(
        "aws-throttling",
        said(429, {"message": "Rate exceeded"}, "application/json", **{"Retry-After": "7"}),
        one(BUSY, "http-429"),
    ),
    Case(
        "aws-signature",
        said(403, {"message": "The request signature does not match"}, "application/json"),
        one(BUSY, "http-403"),
        probe=Reply(403),
    ),
    Case("aws-too-large", Reply(413), one(HELD, "http-413")),
    # dcm4chee
    Case(
        "dcm4chee-coerced",
        page(202, as_xml(report([item(A, warning=0xB000)])), f"{XML};charset=UTF-8"),
        one(SENT, "stow-45056"),
    ),
    Case(
        "dcm4chee-none-stored",
        page(409, as_xml(report([], [item(A, failure=0x0122)])), XML),
        one(REFUSED, "stow-290"),
    ),
    Case(
        "dcm4chee-no-room",
        fails(503, 0xA700),
        one(BUSY, "stow-42752"),
    ),
    Case(
        "dcm4chee-no-such-archive",
        said(404, {"errorMessage": "No such Application Entity"}, "application/json"),
        one(BUSY, "http-404"),
    ),
    # the standard's own reasons
    Case("cannot-understand", fails(409, 49152), one(REFUSED, "stow-49152")),
    Case("no-such-syntax", fails(409, 49442), one(OTHER, "stow-49442"), JPEG_2000_LOSSLESS),
    Case("not-authorized", fails(409, 0x0124), one(REFUSED, "stow-292")),
    Case("duplicate", fails(409, 0x0111), one(SENT, "stow-273")),
    Case("no-such-object", fails(409, 0x0112), one(REFUSED, "stow-274")),
    Case("invalid-uid", fails(409, 0x0117), one(REFUSED, "stow-279")),
    Case("of-no-table", fails(409, 1234), one(HELD, "stow-1234")),
    Case("elements-discarded", warns(0xB006), one(SENT, "stow-45062")),
    Case("class-mismatch", warns(0xB007), one(SENT, "stow-45063")),
    Case("warning-of-no-table", warns(777), one(SENT, "unknown-warning")),
    # contradictions
    Case("200-and-failed", fails(200, 272), one(REFUSED, "stow-272")),
    Case("500-and-stored", said(500, BOTH), TWO_SENT),
    Case(
        "named-twice",
        said(202, report([item(A)], [item(A, failure=272)])),
        one(REFUSED, "named-twice"),
    ),
    Case(
        "stored-with-failure-reason",
        said(200, report([item(A, failure=0xC000)])),
        one(REFUSED, "stow-49152"),
    ),
    Case("stored-with-failure-as-warning", warns(0xA700), one(BUSY, "stow-42752")),
    Case(
        "failed-without-reason",
        said(409, report([], [item(A)])),
        one(REFUSED, "refused-without-reason"),
    ),
    Case("reason-as-text", fails(409, "43264"), one(REFUSED, "stow-43264")),
    Case("reason-is-no-number", fails(409, {"x": 1}), one(REFUSED, "refused-without-reason")),
    Case("other-uids", said(200, report([item("1.2.3.999")])), UNNAMED),
    Case("uid-with-padding", said(200, report([item(f"{A}\0")])), one(SENT)),
    Case("uid-that-begins-alike", said(200, ALIKE), UNNAMED),
    Case("the-same-uid-twice", said(200, report([item(A), item(A)])), one(SENT)),
    Case(
        "one-of-two-not-named", said(200, report([item(A)])), ((SENT, ""), (REFUSED, "not-named"))
    ),
    Case(
        "stored-twice-and-once-not",
        said(200, report([item(A), item(A, failure=0xC000), item(A)])),
        one(REFUSED, "stow-49152"),
    ),
    Case("lists-for-sequences", said(200, {"00081199": [item(A)]}), one(SENT)),
    Case("report-in-a-list", said(200, [report([item(A)]), report([item(B)])]), TWO_SENT),
    Case("uid-is-a-number", said(200, NUMBER_FOR_UID), UNNAMED),
    Case("sequence-of-text", said(200, {"00081199": {"Value": [A, B]}}), UNNAMED),
    Case("only-keywords", said(200, KEYWORDS), UNNAMED),
    # bodies that are none
    Case("empty-200", Reply(200), UNNAMED),
    Case("empty-204", Reply(204), UNNAMED),
    Case("empty-200-of-one-who-is-not-well", Reply(200), one(BUSY, "not-named"), probe=GONE),
    Case("empty-list", said(200, []), UNNAMED),
    Case("null", page(200, b"null", JSON), FOREIGN),
    Case("text", page(200, b"OK " + A.encode(), "text/plain"), FOREIGN),
    Case("portal", page(200, PORTAL), one(BUSY, "not-dicomweb"), probe=page(200, PORTAL)),
    Case("firewall-that-dislikes-this-object", page(200, PORTAL), FOREIGN),
    Case("proxy-502", page(502, PORTAL), one(BUSY, "http-502")),
    Case("proxy-504", page(504, PORTAL), one(BUSY, "http-504")),
    Case("proxy-login", page(407, PORTAL), one(BUSY, "http-407")),
    Case("network-login", page(511, PORTAL), one(BUSY, "http-511")),
    Case("truncated-json", page(200, as_json(BOTH)[:-9], JSON), FOREIGN),
    Case("broken-unicode", page(200, b'{"00081199": "\xff\xfe"}', JSON), FOREIGN),
    Case("deep-json", page(200, b"[" * 100_000, JSON), FOREIGN),
    Case("huge-json", page(200, as_json(BOTH) + b" " * (2 << 20), JSON), FOREIGN),
    Case("xml-with-dtd", page(200, as_xml(BOTH, head=DTD), XML), FOREIGN),
    Case("xml-cut", page(200, as_xml(BOTH)[:-20], XML), FOREIGN),
    Case("xml-of-another-kind", page(200, b"<ok>" + A.encode() + b"</ok>", XML), FOREIGN),
    Case("json-as-text", page(200, as_json(BOTH), "text/plain"), TWO_SENT),
    Case("json-as-octets", page(200, as_json(BOTH), "application/octet-stream"), TWO_SENT),
    Case("json-with-byte-order-mark", page(200, b"\xef\xbb\xbf" + as_json(BOTH), JSON), TWO_SENT),
    Case("xml-as-json", page(200, as_xml(BOTH), JSON), TWO_SENT),
    # on the wire
    Case("chunked", chunked(as_json(BOTH)[:40], as_json(BOTH)[40:]), TWO_SENT),
    Case("100-continue", raw(CONTINUE + as_json(BOTH)), TWO_SENT),
    Case("gzip", packed("gzip", gzip.compress(as_json(BOTH))), TWO_SENT),
    Case("deflate", packed("deflate", zlib.compress(as_json(BOTH))), TWO_SENT),
    Case("gzip-bomb", packed("gzip", gzip.compress(bytes(50 << 20))), FOREIGN),
    Case(
        "error-in-unknown-coding",
        Reply(413, {"Content-Encoding": "br"}, b"???"),
        one(HELD, "http-413"),
    ),
    # statuses without a word
    Case("401", Reply(401), one(BUSY, "http-401")),
    Case("405", Reply(405), one(BUSY, "http-405")),
    Case("406", Reply(406), one(BUSY, "http-406")),
    Case("408", Reply(408), one(BUSY, "http-408")),
    Case("409", Reply(409), one(REFUSED, "http-409")),
    Case("411", Reply(411), one(BUSY, "http-411")),
    Case("415-of-the-simplest", Reply(415), one(OTHER, "http-415")),
    Case("418", Reply(418), one(REFUSED, "http-418")),
    Case("421", Reply(421), one(BUSY, "http-421")),
    Case("422", Reply(422), one(REFUSED, "http-422")),
    Case("425", Reply(425), one(BUSY, "http-425")),
    Case("500-of-a-well-archive", Reply(500), one(REFUSED, "http-500")),
    Case("500-of-a-broken-archive", Reply(500), one(BUSY, "http-500"), probe=Reply(500)),
    Case("501", Reply(501), one(BUSY, "http-501")),
    Case("503", Reply(503, {"Retry-After": "120"}), one(BUSY, "http-503")),
    Case("599", Reply(599), one(REFUSED, "http-599")),
    Case("999", raw(REQUEST_DENIED), one(BUSY, "http-999")),
]
