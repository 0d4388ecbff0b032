"""Real archives, Orthanc and DCMTK's storescp: one association, a fallback, equal pixels."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from tests.fakes import upper_layer as ul
from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said, Storescp
from tests.fakes.objects import several, under_new_uid
from tests.fakes.orthanc import Orthanc
from tests.fakes.pictures import frames_of

#: Real pictures in each form that storescu sends without converting it, with the option for that.
PICTURES = {
    "examples_rgb_color.dcm": "-xe",
    "examples_palette.dcm": "-xe",
    "CT_small.dcm": "-xe",
    "MR_small_implicit.dcm": "-xi",
    "MR_small_bigendian.dcm": "-xb",
    "MR_small_RLE.dcm": "-xr",
    "SC_rgb_rle.dcm": "-xr",
    "examples_jpeg2k.dcm": "-xv",
}
MANY = 25


@pytest.fixture
def pictures(sample: Callable[[str], Path], tmp_path: Path) -> dict[Path, str]:
    """Copies of them, each under a UID of its own: some are the same picture in other forms."""
    return {
        under_new_uid(sample(name), tmp_path / name): option for name, option in PICTURES.items()
    }


def taken_in(gateway: Gateway, store: Callable[..., Said], pictures: Mapping[Path, str]) -> None:
    """Receive and prepare all of them, with nobody forwarding."""
    running = gateway.start("receive", "prepare")
    for path, option in pictures.items():
        said = store(gateway.port, [path], option)
        assert said.acknowledged == (path,), said.text
    running.wait_for("prepare ready", len(pictures))
    running.ask_to_end()
    assert running.wait(30) == 0


def forwarded(gateway: Gateway, number: int) -> None:
    running = gateway.start("forward")
    running.wait_for("sent instance=", number)
    running.ask_to_end()
    assert running.wait(30) == 0
    assert {one["state"] for one in gateway.deliveries().values()} == {"sent"}


def are_equal(sent: Mapping[Path, str], arrived: Mapping[str, Path]) -> None:
    """Assert that every frame of every picture arrived as it was sent."""
    assert len(arrived) == len(sent)
    for path in sent:
        there = arrived[str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)]
        np.testing.assert_array_equal(frames_of(there), frames_of(path), err_msg=path.name)


def by_uid(files: list[Path]) -> dict[str, Path]:
    return {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in files}


def syntaxes(arrived: Mapping[str, Path]) -> set[str]:
    return {str(dcmread(path).file_meta.TransferSyntaxUID) for path in arrived.values()}


def in_orthanc(orthanc: Orthanc) -> dict[str, Path]:
    return {uid: orthanc.fetch(key) for uid, key in orthanc.instances().items()}


def test_orthanc_gets_everything_over_one_association_pixel_equal(
    make_gateway: Callable[..., Gateway],
    make_orthanc: Callable[..., Orthanc],
    store: Callable[..., Said],
    pictures: dict[Path, str],
) -> None:
    orthanc = make_orthanc()
    gateway = make_gateway(destination=[archive(orthanc.port)])
    taken_in(gateway, store, pictures)
    forwarded(gateway, len(pictures))
    arrived = in_orthanc(orthanc)
    are_equal(pictures, arrived)
    assert syntaxes(arrived) == {ul.JPEG_2000_LOSSLESS}
    assert orthanc.associations() == 1


def test_storescp_gets_everything_over_one_association_pixel_equal(
    make_gateway: Callable[..., Gateway],
    make_storescp: Callable[..., Storescp],
    store: Callable[..., Said],
    pictures: dict[Path, str],
) -> None:
    storescp = make_storescp("+xa")
    gateway = make_gateway(destination=[archive(storescp.port)])
    taken_in(gateway, store, pictures)
    forwarded(gateway, len(pictures))
    arrived = by_uid(storescp.files())
    are_equal(pictures, arrived)
    assert syntaxes(arrived) == {ul.JPEG_2000_LOSSLESS}
    assert storescp.associations() == 1


def test_many_pictures_of_one_class_share_one_association(
    make_gateway: Callable[..., Gateway],
    make_storescp: Callable[..., Storescp],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    storescp = make_storescp("+xa")
    gateway = make_gateway(destination=[archive(storescp.port)])
    files = several(sample("CT_small.dcm"), tmp_path / "sent", MANY)
    running = gateway.start()
    assert len(store(gateway.port, files).acknowledged) == MANY
    running.wait_for("forward@archive sent", MANY)
    are_equal(dict.fromkeys(files, ""), by_uid(storescp.files()))
    assert storescp.associations() == 1


@pytest.mark.parametrize(
    ("options", "syntax"), [(["+xe"], ul.EXPLICIT), (["+xi"], ul.IMPLICIT)], ids=["+xe", "+xi"]
)
def test_a_storescp_that_refuses_jpeg_2000_gets_a_fallback_pixel_equal(
    make_gateway: Callable[..., Gateway],
    make_storescp: Callable[..., Storescp],
    store: Callable[..., Said],
    pictures: dict[Path, str],
    options: list[str],
    syntax: str,
) -> None:
    storescp = make_storescp(*options)
    gateway = make_gateway(destination=[archive(storescp.port)])
    taken_in(gateway, store, pictures)
    forwarded(gateway, len(pictures))
    arrived = by_uid(storescp.files())
    are_equal(pictures, arrived)
    assert syntax in syntaxes(arrived)
    assert syntaxes(arrived) <= {ul.EXPLICIT, ul.IMPLICIT, ul.BIG} - (
        {ul.EXPLICIT, ul.BIG} if syntax == ul.IMPLICIT else set()
    )


@pytest.mark.parametrize("syntax", [ul.EXPLICIT, ul.IMPLICIT])
def test_an_orthanc_that_refuses_jpeg_2000_gets_a_fallback_pixel_equal(
    make_gateway: Callable[..., Gateway],
    make_orthanc: Callable[..., Orthanc],
    store: Callable[..., Said],
    pictures: dict[Path, str],
    syntax: str,
) -> None:
    orthanc = make_orthanc(syntax)
    gateway = make_gateway(destination=[archive(orthanc.port)])
    taken_in(gateway, store, pictures)
    forwarded(gateway, len(pictures))
    arrived = in_orthanc(orthanc)
    are_equal(pictures, arrived)
    assert syntaxes(arrived) == {syntax}


def test_the_fallback_is_a_rendition_of_its_own_and_what_was_received_stays(
    make_gateway: Callable[..., Gateway],
    make_storescp: Callable[..., Storescp],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
) -> None:
    storescp = make_storescp("+xi")
    gateway = make_gateway(destination=[archive(storescp.port)])
    picture = sample("examples_rgb_color.dcm")
    taken_in(gateway, store, {picture: "-xe"})
    before = gateway.data_set(gateway.queue()[0])
    forwarded(gateway, 1)
    (instance,) = gateway.queue()
    roles = [one["role"] for one in instance["renditions"]]
    assert roles == ["received", "compressed", "fallback"]
    assert all(one["proved"] for one in instance["renditions"])
    assert gateway.data_set(instance) == before
    (delivery,) = instance["deliveries"]
    assert delivery["rendition_id"] == instance["renditions"][2]["id"]


def test_an_archive_that_takes_nothing_of_ours_holds_the_delivery(
    make_gateway: Callable[..., Gateway],
    make_orthanc: Callable[..., Orthanc],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
) -> None:
    orthanc = make_orthanc("1.2.840.10008.1.2.4.50")
    gateway = make_gateway(destination=[archive(orthanc.port)])
    running = gateway.start()
    store(gateway.port, [sample("CT_small.dcm")])
    running.wait_for("forward@archive held")
    (delivery,) = gateway.deliveries().values()
    assert delivery["state"] == "held"
    assert delivery["error"]["code"] in {"no-syntax-in-common", "no-context"}
