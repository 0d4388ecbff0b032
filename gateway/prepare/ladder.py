"""ladder: what an archive gets that does not take the rendition it was to have.

Takes      a claimed delivery, and the transfer syntaxes that its archive takes for it
Gives      the delivery with another rendition of the same object: one that is there already, else
           one made down the ladder, written, read back, proved; frozen for every later try
Holds      no-syntax-in-common, no-context; what was to be sent is none of ours to re-encode
Repeats    a crash before the row leaves a file that the next start gives back or removes

Nothing is lost on the way down: only what decodes to the same pixels stands in for a rendition, so
one that we made lossy falls back to what came, and what a person corrected never does.
"""

from collections.abc import Iterable, Sequence

from gateway.codec.pool import Codec
from gateway.dicom.malformed import Malformed
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.proof import prove
from gateway.prepare.renditions import FALLBACKS, fallback
from spool.blobfile import verify_rendition
from spool.errors import Hold, LostClaim
from spool.model import Blob, Delivery, Rendition, Role
from spool.store import Spool

#: Renditions that only pack the pixels of another; LOSSY loses some of them.
PACKED = frozenset({Role.COMPRESSED, Role.HTJ2K, Role.FALLBACK, Role.LOSSY})


class Ladder:
    """Gives deliveries another rendition."""

    def __init__(self, spool: Spool, codec: Codec) -> None:
        self._spool, self._codec = spool, codec

    def next_rung(self, delivery: Delivery, accepted: Iterable[str]) -> Delivery:
        """Return the delivery with a rendition that the archive takes, frozen from now on.

        Raises
        ------
        Hold
            There is none, and none can be made.
        Damaged, FileNotFoundError, OSError, SpoolFull, CodecClosed, LostClaim
        """
        taken = frozenset(accepted)
        known = _same_object(delivery.rendition, self._spool.delivering.renditions(delivery))
        usable = [one for one in known if one.proved and one.transfer_syntax_uid in taken]
        if usable:
            return self._spool.delivering.freeze(delivery, usable[-1])
        target = next((syntax for syntax in FALLBACKS if syntax in taken), None)
        if target is None or not known:
            code = "no-syntax-in-common" if taken else "no-context"
            raise Hold(code, " ".join(sorted(taken)))
        made = self._made(known[0], target)
        try:
            return self._spool.delivering.freeze(delivery, made)
        except LostClaim:
            self._spool.blobs.discard(made.blob.name)
            raise

    def _made(self, source: Rendition, target: str) -> Rendition:
        """Return a new rendition in `target`, written, read back and proved equal."""
        verify_rendition(source)
        place = _place_of(source.blob, source.transfer_syntax_uid)
        incoming = self._spool.blobs.begin(_about(source, target))
        try:
            recipe = fallback(place, target, self._codec, out=incoming.write)
            kept = incoming.keep()
        except (AsReceived, Malformed) as fault:
            raise Hold("no-syntax-in-common", str(fault)) from fault
        finally:
            incoming.drop()
        self._prove(place, kept, target)
        return Rendition(
            Role.FALLBACK,
            source.sop_instance_uid,
            source.sop_class_uid,
            target,
            kept,
            made_from=source.id,
            recipe=str(recipe),
            proved=True,
        )

    def _prove(self, place: DataSetAt, kept: Blob, target: str) -> None:
        try:
            prove(place, _place_of(kept, target), self._codec)
        except BaseException as fault:
            self._spool.blobs.discard(kept.name)
            if isinstance(fault, AsReceived | Malformed):
                raise Hold("no-syntax-in-common", str(fault)) from fault
            raise


def _same_object(wanted: Rendition, known: Sequence[Rendition]) -> list[Rendition]:
    """Return those of `known` that say what `wanted` says, without loss, in their order."""
    by_id = {one.id: one for one in known}
    root = _root(wanted, by_id)
    return [one for one in known if one.role is not Role.LOSSY and _root(one, by_id) == root]


def _root(one: Rendition, by_id: dict[int, Rendition]) -> int:
    """Return the id of what `one` is a packing of; its file may be gone."""
    while one.role in PACKED and one.made_from:
        parent = by_id.get(one.made_from)
        if parent is None:
            return one.made_from
        one = parent
    return one.id


def _about(source: Rendition, target: str) -> dict[str, str]:
    return {
        "role": Role.FALLBACK,
        "sop_class_uid": source.sop_class_uid,
        "sop_instance_uid": source.sop_instance_uid,
        "transfer_syntax_uid": target,
        "made_from": source.blob.sha256,
        "made_from_blob": source.blob.name,
    }


def _place_of(blob: Blob, syntax: str) -> DataSetAt:
    return DataSetAt(blob.path, blob.dataset_offset, blob.dataset_bytes, syntax)
