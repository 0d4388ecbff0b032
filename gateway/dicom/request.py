"""request: an association that we open.

Takes      an address, the presentation contexts wanted, and how long to wait
Gives      a `Requestor`
Defers     AssociationFailed: nobody is there, or does not want us
Holds      nothing

References: PS3.8 9.2, 9.3.2 to 9.3.4; PS3.7 D.3.3.4 (role selection).
"""

from collections.abc import Collection, Iterable, Sequence

from gateway.dicom import pdu
from gateway.dicom.dial import AssociationFailed, Called, dial, must_not_speak_tls
from gateway.dicom.inbox import PDU_BYTES_MOST
from gateway.dicom.pdu import Broken
from gateway.dicom.requestor import (
    VERIFICATION,
    Outcome,
    Pair,
    Requestor,
    UnreadableFile,
    named_faults,
)
from gateway.dicom.service import Peer, Service
from gateway.dicom.wire import Wire

__all__ = [
    "VERIFICATION",
    "AssociationFailed",
    "Called",
    "Outcome",
    "Pair",
    "Requestor",
    "UnreadableFile",
    "associate",
]

#: 128 contexts fit (PS3.8 9.3.2.2), one is Verification's.
PAIRS_MOST = 127


def associate(
    called: Called,
    pairs: Iterable[Pair],
    *,
    as_scp: Collection[str] = (),
    services: Sequence[Service] = (),
    pdu_bytes_most: int = PDU_BYTES_MOST,
) -> Requestor:
    """Return an open association that proposes each (SOP class, transfer syntax) once.

    Verification is proposed as well; what is beyond `PAIRS_MOST` is left out.

    Parameters
    ----------
    as_scp
        SOP Classes of which we want to be the SCP, though it is we who call: what C-GET brings.
    services
        They get what the peer asks of us.
    pdu_bytes_most
        The largest PDU sent, where the peer takes one as large.

    Raises
    ------
    AssociationFailed
        `connection-refused`, `unreachable`, `timeout`, `rejected`, `aborted`, `closed`,
        `protocol`, and the codes of TLS, ``tls-…``.
    """
    wanted = [*dict.fromkeys(pairs)][:PAIRS_MOST]
    wanted += [one for one in [(VERIFICATION, "1.2.840.10008.1.2")] if one not in wanted]
    numbered = {2 * index + 1: pair for index, pair in enumerate(wanted)}
    request = pdu.Request(
        pdu.ae_bytes(called.called_ae),
        pdu.ae_bytes(called.calling_ae),
        tuple(pdu.Proposal(number, one, (syntax,)) for number, (one, syntax) in numbered.items()),
        PDU_BYTES_MOST,
        roles=tuple(pdu.Role(one, scu=False, scp=True) for one in as_scp),
    )
    wire = dial(called)
    try:
        with named_faults():
            acceptance = _negotiate(wire, request)
    except AssociationFailed as fault:
        wire.close()
        must_not_speak_tls(called, fault)
        raise
    except BaseException:
        wire.close()
        raise
    contexts = {
        numbered[answer.id]: answer.id
        for answer in acceptance.answers
        if answer.result == pdu.ACCEPTANCE and answer.id in numbered
    }
    largest = acceptance.max_pdu_bytes or pdu_bytes_most
    pdu_bytes = max(min(largest, pdu_bytes_most), 64)
    peer = Peer(called.host, called.called_ae, called.calling_ae, "")
    return Requestor(
        wire, contexts, frozenset(wanted), pdu_bytes, called.answer_s, peer, tuple(services)
    )


def _negotiate(wire: Wire, request: pdu.Request) -> pdu.Acceptance:
    wire.send(pdu.ASSOCIATE_RQ, pdu.encode_request(request))
    kind, length = wire.head()
    if length > pdu.REQUEST_BYTES_MOST:
        raise Broken(pdu.INVALID_VALUE, f"an answer of {length} bytes")
    body = bytes(wire.exactly(length))
    if kind == pdu.ASSOCIATE_AC:
        return pdu.decode_acceptance(body)
    if kind == pdu.ASSOCIATE_RJ and length == 4:
        raise AssociationFailed("rejected", f"result {body[1]} source {body[2]} reason {body[3]}")
    if kind == pdu.ABORT and length == 4:
        raise AssociationFailed("aborted", f"source {body[2]} reason {body[3]}")
    raise Broken(pdu.UNEXPECTED, f"PDU type {kind} instead of an answer")
