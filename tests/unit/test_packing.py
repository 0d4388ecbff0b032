"""Each rendition is made once, goes to whom it is for, and leaves nothing when it fails."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.codec import errors
from gateway.codec.frames import FrameAt, Geometry, Target
from gateway.codec.pool import Codec
from gateway.codec.wire import Job
from gateway.config.model import Compress, Destination, Settings
from gateway.filing import file_in
from gateway.prepare import packing
from gateway.prepare.lossy import uid_of
from gateway.stages.prepare import Prepare
from spool.model import Priority
from spool.store import Spool
from tests.fakes.spools import FakeClock, history_of, opened, state_of

SQUARE = Geometry(32, 32, 1, 8, 8, signed=False)
WANTED = {
    "as-it-came": ("none", None),
    "j2k": ("jpeg2000-lossless", None),
    "j2k-too": ("jpeg2000-lossless", None),
    "ht": ("htj2k-lossless", None),
    "small": ("jpeg2000", 8.0),
    "smaller": ("jpeg2000", 12.0),
    "small-too": ("jpeg2000", 8.0),
}


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path, FakeClock())
    yield found
    found.close()


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    found = Codec(workers=1, memory_bytes=2 << 30, cpu_s=30, frame_bytes_most=1 << 20)
    yield found
    found.close()


def settings(*names: str) -> Settings:
    destinations = [
        Destination(
            name=name,
            host="127.0.0.1",
            port=1,
            ae_title="A",
            transfer_syntax=WANTED[name][0],  # type: ignore[arg-type]
            ratio=WANTED[name][1],
        )
        for name in names
    ]
    return Settings(compress=Compress(workers=1), destination=tuple(destinations))


@pytest.fixture
def colour(spool: Spool, sample: Callable[[str], Path]) -> int:
    return file_in(spool, sample("examples_rgb_color.dcm"), "import").instance_id


def sent(spool: Spool, instance_id: int) -> dict[str, dict[str, object]]:
    """Return the rendition that each destination gets."""
    (found,) = spool.counting.show(str(instance_id))
    by_id = {one["id"]: one for one in found["renditions"]}
    return {one["destination"]: by_id[one["rendition_id"]] for one in found["deliveries"]}


def notes(spool: Spool, instance_id: int) -> list[tuple[str, str]]:
    (found,) = spool.counting.show(str(instance_id))
    return [(one["what"], one["detail"]) for one in found["history"] if one["who"] == "prepare"]


def test_what_several_want_is_made_once(spool: Spool, codec: Codec, colour: int) -> None:
    Prepare(settings(*WANTED), spool, codec, "").turn()
    got = sent(spool, colour)
    (found,) = spool.counting.show(str(colour))
    roles = [one["role"] for one in found["renditions"]]
    assert roles == ["received", "compressed", "htj2k", "lossy", "lossy"]
    assert got["j2k"] == got["j2k-too"]
    assert got["small"] == got["small-too"] != got["smaller"]
    assert {name: one["role"] for name, one in got.items()} == {
        "as-it-came": "received",
        "j2k": "compressed",
        "j2k-too": "compressed",
        "ht": "htj2k",
        "small": "lossy",
        "small-too": "lossy",
        "smaller": "lossy",
    }
    assert len(list(spool.blobs.names())) == len(roles)
    assert not list(spool.blobs.incoming.iterdir())


def test_only_what_lost_content_has_another_uid_and_stands_in_for_nothing(
    spool: Spool, codec: Codec, colour: int
) -> None:
    Prepare(settings(*WANTED), spool, codec, "").turn()
    got, (found,) = sent(spool, colour), spool.counting.show(str(colour))
    uid = found["sop_instance_uid"]
    assert {name for name, one in got.items() if one["sop_instance_uid"] != uid} == {
        "small",
        "smaller",
        "small-too",
    }
    assert got["small"]["sop_instance_uid"] == uid_of(uid, 8)
    assert {name for name, one in got.items() if one["proved"]} >= {"j2k", "ht"}
    assert not got["small"]["proved"]
    assert spool.retiring.trim() == 0 or not got["as-it-came"]["gone_at"]


def test_prepared_again_it_makes_nothing_anew(
    spool: Spool, codec: Codec, colour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Prepare(settings(*WANTED), spool, codec, "").turn()
    before = sent(spool, colour)
    spool.deciding.withdraw(colour, "person:ann")
    spool.deciding.restore(colour, "person:ann")
    monkeypatch.setattr(packing, "compress", None)
    monkeypatch.setattr(packing, "compress_with_loss", None)
    Prepare(settings(*WANTED), spool, codec, "").turn()
    assert state_of(spool, colour) == "ready"
    assert sent(spool, colour) == before


def test_lossy_before_goes_as_it_came_with_the_reason(
    spool: Spool, codec: Codec, sample: Callable[[str], Path]
) -> None:
    instance_id = file_in(spool, sample("examples_ybr_color.dcm"), "import").instance_id
    Prepare(settings("small", "as-it-came"), spool, codec, "").turn()
    assert {one["role"] for one in sent(spool, instance_id).values()} == {"received"}
    assert ("as-received", "lossy-before 01 (jpeg2000)") in notes(spool, instance_id)


def test_without_the_codec_for_htj2k_it_goes_as_jpeg_2000(
    spool: Spool, colour: int, monkeypatch: pytest.MonkeyPatch, codec: Codec
) -> None:
    real = Codec.encode

    def missing(self: Codec, frames: object, geometry: object, target: Target) -> object:
        if target.coding == "htj2k":
            raise errors.NoHtj2k("extra htj2k")
        return real(self, frames, geometry, target)  # type: ignore[arg-type]

    monkeypatch.setattr(Codec, "encode", missing)
    Prepare(settings("ht", "j2k"), spool, codec, "").turn()
    got = sent(spool, colour)
    assert got["ht"] == got["j2k"]
    assert got["ht"]["role"] == "compressed"
    assert ("htj2k-missing", "jpeg2000-lossless instead") in notes(spool, colour)


@pytest.mark.parametrize("priority", [Priority.STAT, Priority.NORMAL])
def test_an_urgent_image_does_not_wait_for_a_busy_encoder(
    spool: Spool,
    codec: Codec,
    sample: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    priority: Priority,
) -> None:
    path = sample("examples_rgb_color.dcm")
    instance_id = file_in(spool, path, "import", priority=priority).instance_id
    monkeypatch.setattr(Codec, "is_busy", True)
    Prepare(settings("j2k", "small"), spool, codec, "").turn()
    got, urgent = sent(spool, instance_id), priority is Priority.STAT
    assert got["j2k"]["role"] == ("received" if urgent else "compressed")
    assert got["small"]["role"] == "lossy"
    assert (("as-received", "encoders-busy") in notes(spool, instance_id)) is urgent


def test_a_codec_that_is_closed_after_the_first_leaves_no_file(
    spool: Spool, codec: Codec, colour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise errors.CodecClosed

    monkeypatch.setattr(packing, "compress_with_loss", closed)
    Prepare(settings("j2k", "small"), spool, codec, "").turn()
    assert state_of(spool, colour) == "received"
    assert ("prepare", "ready") not in history_of(spool, colour)
    assert len(list(spool.blobs.names())) == 1


def test_a_full_disk_sends_what_came(
    spool: Spool, codec: Codec, colour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "compress_with_loss", full)
    Prepare(settings("small", "j2k"), spool, codec, "").turn()
    got = sent(spool, colour)
    assert (got["small"]["role"], got["j2k"]["role"]) == ("received", "compressed")
    assert ("as-received", "no-room (jpeg2000)") in notes(spool, colour)


def test_a_codec_is_busy_while_a_frame_is_under_way(codec: Codec) -> None:
    assert not codec.is_busy
    ended, job = threading.Event(), Job("decode", FrameAt("/nowhere", "raw", ((0, 1024),)), SQUARE)
    future = codec._ask(job)
    future.add_done_callback(lambda _: ended.set())  # behind the codec's own
    assert codec.is_busy or future.done()
    assert ended.wait(30)
    assert isinstance(future.exception(), FileNotFoundError)
    assert not codec.is_busy


def test_what_was_made_and_has_no_row_goes_back_to_its_image_and_is_no_image_of_its_own(
    spool: Spool, codec: Codec, colour: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Prepare(settings("ht", "small"), spool, codec, "")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(spool.preparing, "ready", killed)
        stage.turn()
    assert len(spool.orphans()) == 2
    spool.preparing.end_leases()
    spool.repair.reconcile([])
    assert sum(spool.counting.instances().values()) == 1
    made_before = set(spool.blobs.names())
    monkeypatch.setattr(packing, "compress", None)
    monkeypatch.setattr(packing, "compress_with_loss", None)
    stage.turn()
    got = sent(spool, colour)
    assert (got["ht"]["role"], got["small"]["role"]) == ("htj2k", "lossy")
    assert not got["small"]["proved"]
    assert set(spool.blobs.names()) == made_before
