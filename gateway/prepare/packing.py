"""packing: the rendition that goes to the archives, made once and proved.

Takes      an instance, and the bytes of it that are at hand
Gives      `Packed`: the renditions beside the received one, which of them is sent, and notes
Holds      AsReceived is a note in the history here: the object goes as it came
Repeats    what is made already, and was proved, is used again: the same bytes at every try

A crash leaves a rendition without a row: at the start it is given back to its instance, or goes.
"""

from dataclasses import dataclass

from gateway.codec.pool import Codec
from gateway.dicom.syntaxes import JPEG_2000_LOSSLESS
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSetAt
from gateway.prepare.renditions import compress
from spool.blobfile import verify_rendition
from spool.blobs import NO_ROOM, Blobs
from spool.errors import Damaged, SpoolFull
from spool.model import Instance, Rendition, Role


@dataclass(frozen=True, slots=True)
class Packed:
    """What is sent: the last of `renditions`, or what was received where there is none."""

    renditions: tuple[Rendition, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()  #: (what, detail) for the history

    def discard_new(self, blobs: Blobs) -> None:
        """Remove the files of what has no row: the claim was lost."""
        for one in self.renditions:
            if not one.id:
                blobs.discard(one.blob.name)


def packed(instance: Instance, codec: Codec, blobs: Blobs, *, compresses: bool) -> Packed:
    """Return what is to be sent of the instance.

    Parameters
    ----------
    compresses
        False: it goes as it was received, as long as those bytes are there.

    Raises
    ------
    Malformed, OSError, EOFError, CodecClosed
    """
    source = instance.at_hand
    if source.role is not Role.RECEIVED:
        return Packed((source,))
    if not compresses:
        return Packed()
    if found := _made_before(instance):
        return Packed((found,), (("compressed", "made before"),))
    try:
        made = _compressed(instance, source, codec, blobs)
    except AsReceived as fault:
        return Packed((), (("as-received", f"{fault.code} {fault.detail}".strip()),))
    except (SpoolFull, OSError) as fault:
        if isinstance(fault, OSError) and fault.errno not in NO_ROOM:
            raise
        # What waited for room would wait for ever: only what was delivered makes room.
        return Packed((), (("as-received", "no-room"),))
    return Packed((made,), (("compressed", made.recipe),))


def place_of(rendition: Rendition) -> DataSetAt:
    """Return where the rendition's data set lies."""
    blob = rendition.blob
    return DataSetAt(
        blob.path, blob.dataset_offset, blob.dataset_bytes, rendition.transfer_syntax_uid
    )


def _made_before(instance: Instance) -> Rendition | None:
    """Return the compressed rendition that it has, unless its file is not what was written."""
    made = instance.compressed
    if made is None:
        return None
    try:
        verify_rendition(made)
    except (Damaged, FileNotFoundError):
        return None
    return made


def _compressed(instance: Instance, source: Rendition, codec: Codec, blobs: Blobs) -> Rendition:
    about = {
        "role": Role.COMPRESSED,
        "sop_class_uid": source.sop_class_uid,
        "sop_instance_uid": source.sop_instance_uid,
        "transfer_syntax_uid": JPEG_2000_LOSSLESS,
        "door": instance.arrival.door,
        "received_at": instance.received_at,
        "made_from": source.blob.sha256,
        "made_from_blob": source.blob.name,
    }
    incoming = blobs.begin(about)
    try:
        recipe = compress(place_of(source), codec, scratch_dir=blobs.incoming, out=incoming.write)
        blob = incoming.keep()
    finally:
        incoming.drop()
    return Rendition(
        Role.COMPRESSED,
        source.sop_instance_uid,
        source.sop_class_uid,
        JPEG_2000_LOSSLESS,
        blob,
        made_from=source.id,
        recipe=str(recipe),
        proved=True,
    )
