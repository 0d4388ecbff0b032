"""packing: the renditions that go to the archives, each made once and proved.

Takes      an instance, the bytes of it that are at hand, and what each destination wants
Gives      `Packed`: the renditions beside the received one, which of them goes where, and notes
Holds      nothing: AsReceived is a note in the history here, and the object goes as it came
Repeats    what is made already is used again: the same bytes at every try

Two destinations that want the same get the same rendition. A STAT image does not wait for an
encoder that is busy: it goes as it came.

A crash leaves a rendition without a row: at the start it is given back to its instance, or goes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.codec.errors import NoHtj2k
from gateway.codec.pool import Codec
from gateway.config.model import Compression
from gateway.dicom.syntaxes import HTJ2K_LOSSLESS, JPEG_2000, JPEG_2000_LOSSLESS
from gateway.prepare.as_received import AsReceived
from gateway.prepare.data_set import DataSetAt, open_data_set
from gateway.prepare.lossy import compress_with_loss, may_lose, uid_of
from gateway.prepare.renditions import LOSSLESS, Out, Recipe, compress, compressible
from gateway.prepare.routes import Wanted
from spool.blobfile import verify_rendition
from spool.blobs import NO_ROOM, Blobs
from spool.errors import Damaged, SpoolFull
from spool.model import Instance, Priority, Rendition, Role

#: What a destination may want -> role and transfer syntax of the rendition
KINDS = {
    "jpeg2000-lossless": (Role.COMPRESSED, JPEG_2000_LOSSLESS),
    "htj2k-lossless": (Role.HTJ2K, HTJ2K_LOSSLESS),
    "jpeg2000": (Role.LOSSY, JPEG_2000),
}
RECEIVED = -1  #: the place of the received rendition among those beside it
_Key = tuple[Compression, float | None]


@dataclass(frozen=True, slots=True)
class Packed:
    """What is sent, and where."""

    renditions: tuple[Rendition, ...] = ()
    deliveries: tuple[tuple[str, int], ...] = ()  #: destination, place in `renditions` or RECEIVED
    notes: tuple[tuple[str, str], ...] = ()  #: (what, detail) for the history


def discard_new(renditions: Iterable[Rendition], blobs: Blobs) -> None:
    """Remove the files of what has no row: the claim was lost, or the work broken off."""
    for one in renditions:
        if not one.id:
            blobs.discard(one.blob.name)


def packed(
    instance: Instance, wanted: Iterable[Wanted], codec: Codec, blobs: Blobs, *, makes: bool
) -> Packed:
    """Return what is to be sent of the instance, and where.

    Parameters
    ----------
    makes
        False: it goes as it was received, as long as those bytes are there.

    Raises
    ------
    Malformed, OSError, EOFError, CodecClosed
        Nothing that was made is left.
    """
    packer = _Packer(instance, codec, blobs)
    try:
        for one in wanted:
            packer.add(one if makes else None, one.destination)
    except BaseException:
        discard_new(packer.renditions, blobs)
        raise
    return Packed(tuple(packer.renditions), tuple(packer.deliveries), tuple(packer.notes))


def obstacle(place: DataSetAt, wanted: Wanted) -> str:
    """Return why this destination will get the object as it came; "" where nothing is foreseen.

    Looks at everything but the pixels: what an encoder says of them is seen only then.

    Raises
    ------
    Malformed, OSError, EOFError
    """
    if wanted.transfer_syntax == "none":
        return ""
    uid = KINDS[wanted.transfer_syntax][1]
    try:
        with open_data_set(place) as data_set:
            if wanted.transfer_syntax == "jpeg2000":
                may_lose(data_set)
            else:
                compressible(data_set, LOSSLESS[uid][2])
    except AsReceived as fault:
        return fault.code
    return ""


def place_of(rendition: Rendition) -> DataSetAt:
    """Return where the rendition's data set lies."""
    blob = rendition.blob
    return DataSetAt(
        blob.path, blob.dataset_offset, blob.dataset_bytes, rendition.transfer_syntax_uid
    )


class _Packer:
    """Makes each rendition when the first destination wants it."""

    def __init__(self, instance: Instance, codec: Codec, blobs: Blobs) -> None:
        self._instance, self._source = instance, instance.at_hand
        self._codec, self._blobs = codec, blobs
        self._places: dict[_Key, int] = {}
        self.renditions: list[Rendition] = []
        self.deliveries: list[tuple[str, int]] = []
        self.notes: list[tuple[str, str]] = []

    def add(self, wanted: Wanted | None, destination: str) -> None:
        """Put down one delivery; None: as it was received."""
        key: _Key = ("none", None)
        if wanted and wanted.transfer_syntax != "none":
            key = (wanted.transfer_syntax, wanted.ratio)
        self.deliveries.append((destination, self._place(key)))

    def _place(self, key: _Key) -> int:
        if key not in self._places:
            self._places[key] = self._new_place(key)
        return self._places[key]

    def _new_place(self, key: _Key) -> int:
        if key[0] == "none":
            return self._as_received()
        if made := self._made_before(key):
            self.notes.append((str(made.role), "made before"))
            return self._put(made)
        try:
            return self._put(self._made(key))
        except AsReceived as fault:
            if fault.code == NoHtj2k.code:
                self.notes.append((fault.code, "jpeg2000-lossless instead"))
                return self._place(("jpeg2000-lossless", None))
            self.notes.append(("as-received", _told(key, f"{fault.code} {fault.detail}".strip())))
            return self._as_received()
        except (SpoolFull, OSError) as fault:
            if isinstance(fault, OSError) and fault.errno not in NO_ROOM:
                raise
            # What waited for room would wait for ever: only what was delivered makes room.
            self.notes.append(("as-received", _told(key, "no-room")))
            return self._as_received()

    def _as_received(self) -> int:
        if self._source.role is Role.RECEIVED:
            return RECEIVED
        return self._put(self._source)

    def _put(self, rendition: Rendition) -> int:
        if rendition not in self.renditions:
            self.renditions.append(rendition)
        return self.renditions.index(rendition)

    def _made_before(self, key: _Key) -> Rendition | None:
        """Return the rendition that it has already, unless its file is not what was written."""
        role, uid = KINDS[key[0]][0], self._uid(key)
        kept = self._instance.kept
        found = (one for one in kept if (one.role, one.sop_instance_uid) == (role, uid))
        made = next(found, None)
        try:
            if made:
                verify_rendition(made)
        except (Damaged, FileNotFoundError):
            return None
        return made

    def _uid(self, key: _Key) -> str:
        uid = self._source.sop_instance_uid
        return uid_of(uid, key[1]) if key[0] == "jpeg2000" and key[1] else uid

    def _made(self, key: _Key) -> Rendition:
        is_lossless = key[0] != "jpeg2000"
        if is_lossless and self._instance.arrival.priority is Priority.STAT and self._codec.is_busy:
            raise AsReceived("encoders-busy")
        source, (role, syntax_uid) = self._source, KINDS[key[0]]
        about = {
            "role": role,
            "sop_class_uid": source.sop_class_uid,
            "sop_instance_uid": self._uid(key),
            "transfer_syntax_uid": syntax_uid,
            "door": self._instance.arrival.door,
            "received_at": self._instance.received_at,
            "made_from": source.blob.sha256,
            "made_from_blob": source.blob.name,
            "made_from_uid": source.sop_instance_uid,
        }
        incoming = self._blobs.begin(about)
        try:
            recipe = self._write(key, incoming.write)
            blob = incoming.keep()
        finally:
            incoming.drop()
        made = Rendition(
            role,
            self._uid(key),
            source.sop_class_uid,
            syntax_uid,
            blob,
            made_from=source.id,
            recipe=str(recipe),
            # What lost content is measured, and equal to nothing: it stands in for no other.
            proved=is_lossless,
        )
        self.notes.append((str(role), made.recipe))
        return made

    def _write(self, key: _Key, out: Out) -> Recipe:
        place, scratch_dir = place_of(self._source), self._blobs.incoming
        if key[0] == "jpeg2000" and key[1]:
            return compress_with_loss(place, self._codec, key[1], scratch_dir=scratch_dir, out=out)
        uid = KINDS[key[0]][1]
        return compress(place, self._codec, scratch_dir=scratch_dir, out=out, target_uid=uid)


def _told(key: _Key, why: str) -> str:
    """Return why, and of what; what is wanted as a rule is not named."""
    return why if key[0] == "jpeg2000-lossless" else f"{why} ({key[0]})"
