"""Whatever object a modality sends is kept as it came, to the last byte."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom.uid import UID_dictionary
from pynetdicom import AllStoragePresentationContexts
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES

from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway
from tests.fakes.data_sets import BIG, EXPLICIT, IMPLICIT, SAMPLES, samples
from tests.fakes.dcmtk import Said
from tests.fakes.modality import Modality
from tests.fakes.objects import fragmented, new_uid, renamed, small

CLASSES = [str(one.abstract_syntax) for one in AllStoragePresentationContexts]
PRIVATE_CLASSES = ["1.2.392.200036.9116.7.8.1.1.1", "1.3.46.670589.5.0.1", "2.25.4711"]
#: What PS3.6 table A-1 calls a retired storage class, and what pynetdicom's list lacks.
RETIRED_CLASSES = [
    uid
    for uid, (name, kind, _, retired, _) in UID_dictionary.items()
    if kind == "SOP Class"
    and retired
    and "Storage" in name
    and "Commitment" not in name
    and "Media Storage" not in name
]
DEFLATED = "1.2.840.10008.1.2.1.99"
FORMS = {ul.IMPLICIT: IMPLICIT, ul.EXPLICIT: EXPLICIT, ul.BIG: BIG}


@dataclass(frozen=True)
class Sent:
    """One object as it goes over the wire."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes


@pytest.fixture
def gateway(make_gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway that only receives: nothing else touches what is on the disk."""
    made = make_gateway(receive={"private_transfer_syntaxes": ["1.2.840.113619.5.2"]})
    made.start("receive")
    return made


def an_object(sop_class_uid: str, syntax: str = ul.EXPLICIT) -> Sent:
    uid = new_uid()
    if syntax in FORMS:
        data = small(uid, sop_class_uid, form=FORMS[syntax])
    elif syntax == DEFLATED:
        data = deflated(small(uid, sop_class_uid))
    else:
        data = small(uid, sop_class_uid, body=fragmented(b"\xff\xd8 nobody looks inside"))
    return Sent(sop_class_uid, uid, syntax, data)


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    return packed + bytes(len(packed) % 2)


def send(port: int, objects: Iterable[Sent]) -> None:
    """Send all, each answered success; at most 128 contexts an association."""
    for group in groups(list(objects), 128):
        contexts = [(one.sop_class_uid, [one.transfer_syntax_uid]) for one in group]
        with Modality(port, contexts) as modality:
            assert list(modality.contexts.values()) == [one.transfer_syntax_uid for one in group]
            for number, one in enumerate(group):
                context = 2 * number + 1
                status = modality.store(one.sop_class_uid, one.sop_instance_uid, one.data, context)
                assert status == 0, one
            modality.release()


def groups(objects: Sequence[Sent], most: int) -> Iterator[Sequence[Sent]]:
    for at in range(0, len(objects), most):
        yield objects[at : at + most]


def is_kept(gateway: Gateway, sent: Sequence[Sent]) -> None:
    """Assert that the queue holds exactly these objects, and the disk exactly these bytes."""
    kept = gateway.queue()
    assert len(kept) == len(sent)
    for instance, one in zip(kept, sent, strict=True):
        assert instance["sop_instance_uid"] == one.sop_instance_uid
        assert instance["sop_class_uid"] == one.sop_class_uid
        (rendition,) = instance["renditions"]
        assert rendition["transfer_syntax_uid"] == one.transfer_syntax_uid
        assert rendition["sha256"] == hashlib.sha256(one.data).hexdigest()
        assert gateway.data_set(instance) == one.data


@pytest.mark.parametrize(
    "classes",
    [CLASSES, PRIVATE_CLASSES, RETIRED_CLASSES],
    ids=["of pynetdicom's list", "private", "retired"],
)
def test_every_storage_class_is_kept_byte_for_byte(gateway: Gateway, classes: list[str]) -> None:
    assert classes
    sent = [an_object(uid) for uid in classes]
    send(gateway.port, sent)
    is_kept(gateway, sent)


def test_every_transfer_syntax_is_kept_byte_for_byte(gateway: Gateway) -> None:
    syntaxes = [*map(str, ALL_TRANSFER_SYNTAXES), "1.2.840.113619.5.2"]
    assert DEFLATED in syntaxes
    sent = [an_object(ul.US_IMAGE, syntax) for syntax in syntaxes]
    send(gateway.port, sent)
    is_kept(gateway, sent)


def test_every_public_sample_is_kept_byte_for_byte(gateway: Gateway) -> None:
    sent = []
    for name, meta in samples().items():
        data = (SAMPLES / name).read_bytes()[meta.dataset_offset :]
        uids = (meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid)
        if "1.3.10" not in meta.sop_class_uid:  # a DICOMDIR is no composite object
            sent.append(Sent(*uids, data))
    assert len(sent) > 60
    send(gateway.port, sent)
    is_kept(gateway, sent)


def test_a_private_transfer_syntax_nobody_named_is_refused(gateway: Gateway) -> None:
    with Modality(gateway.port, [(ul.US_IMAGE, ["1.2.840.113619.5.2.99"])]) as modality:
        assert modality.contexts == {1: ""}


def test_128_contexts_of_one_association_are_all_answered(gateway: Gateway) -> None:
    sent = [an_object(uid) for uid in CLASSES[:128]]
    send(gateway.port, sent)
    is_kept(gateway, sent)
    assert len(gateway.running[0].found("receive associated")) == 1


def test_an_object_in_a_thousand_fragments_is_put_together(gateway: Gateway) -> None:
    one = an_object(ul.US_IMAGE)
    with Modality(gateway.port) as modality:
        modality.begin(one.sop_class_uid, one.sop_instance_uid)
        modality.socket.sendall(b"".join(ul.fragments(1, one.data, most=1)))
        assert modality.status() == 0
    is_kept(gateway, [one])


def test_storescu_is_served_by_the_pictures_it_converts_itself(
    gateway: Gateway,
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    pictures = renamed(sample("examples_rgb_color.dcm"), tmp_path)
    files = [next(pictures) for _ in range(4)]
    options = ("-xe", "-xi", "-xb", "-x=")
    for file, option in zip(files, options, strict=True):
        said = store(gateway.port, [file], option)
        assert said.acknowledged == (file,), said.text
    kept = [one["renditions"][0]["transfer_syntax_uid"] for one in gateway.queue()]
    assert kept == [ul.EXPLICIT, ul.IMPLICIT, ul.EXPLICIT, ul.EXPLICIT]
