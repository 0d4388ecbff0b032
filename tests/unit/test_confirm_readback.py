"""confirm reads back what was sent; what differs is an alarm, what was coerced is told."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.confirm import readback
from gateway.confirm.known import AGAIN_S, Way
from gateway.confirm.readback import REFUSED_MOST
from gateway.dicom.syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from spool.model import Rendition
from tests.fakes.confirm_bench import NAME, Bench
from tests.fakes.data_sets import IMPLICIT
from tests.fakes.objects import new_uid, small
from tests.fakes.spools import SOP_CLASS


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    one = Codec(workers=1, memory_bytes=1 << 31, cpu_s=60, frame_bytes_most=1 << 28)
    yield one
    one.close()


@pytest.fixture
def by_readback(tmp_path: Path, codec: Codec) -> Bench:
    return Bench(tmp_path, codec, "readback")


def test_what_comes_back_the_same_is_confirmed(by_readback: Bench) -> None:
    one = by_readback.send()
    by_readback.wait()
    assert by_readback.states(one) == ["confirmed"]
    assert no_scratch(by_readback)


def test_what_comes_back_in_another_encoding_is_confirmed(by_readback: Bench) -> None:
    uid = new_uid()
    one = by_readback.send(uid)
    by_readback.archive.has[uid] = (
        small(uid, SOP_CLASS, form=IMPLICIT),
        IMPLICIT_VR_LITTLE_ENDIAN,
    )
    by_readback.wait()
    assert by_readback.states(one) == ["confirmed"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (bytes([10, 11, 12, 13]), bytes([10, 11, 99, 13]), "altered-there"),
        (b"SECRET-ID ", b"SECRET-NO ", "other-identity-there"),
        (b"1.2.3.4\0", b"1.2.3.9\0", "other-identity-there"),
    ],
    ids=["pixels", "patient", "study"],
)
def test_what_comes_back_altered_is_an_alarm_and_held(
    by_readback: Bench, old: bytes, new: bytes, code: str
) -> None:
    one = by_readback.send()
    data, syntax = by_readback.archive.has[by_readback.uid(one)]
    assert data.count(old) == 1
    by_readback.archive.has[by_readback.uid(one)] = (data.replace(old, new), syntax)
    by_readback.wait()
    shown = by_readback.shown(one)
    assert (shown["state"], shown["error_code"]) == ("held", code)
    assert "SECRET" not in str(shown)
    assert no_scratch(by_readback)


def test_what_was_coerced_is_in_the_history_by_keyword(by_readback: Bench) -> None:
    one = by_readback.send()
    data, syntax = by_readback.archive.has[by_readback.uid(one)]
    added = b"\x08\0\x80\0LO\x02\0HO"
    at = data.index(b"\x10\0\x20\0LO")
    by_readback.archive.has[by_readback.uid(one)] = (data[:at] + added + data[at:], syntax)
    by_readback.wait()
    assert by_readback.states(one) == ["confirmed"]
    (found,) = by_readback.spool.counting.show(str(one))
    assert ("coerced", "added InstitutionName") in {
        (line["what"], line["detail"]) for line in found["history"]
    }


def test_what_is_not_given_back_is_sent_again(by_readback: Bench) -> None:
    one = by_readback.send(kept=False)
    by_readback.wait_long()
    assert by_readback.states(one) == ["superseded", "queued"]


def test_an_archive_that_gives_nothing_back_leaves_it_sent(by_readback: Bench) -> None:
    by_readback.archive.no_retrieval = True
    one = by_readback.send()
    by_readback.wait()
    assert by_readback.shown(one)["error_code"] == "readback-refused"
    assert by_readback.states(one) == ["sent"]
    by_readback.archive.no_retrieval = False
    by_readback.wait(2 * AGAIN_S[Way.READBACK])
    assert by_readback.states(one) == ["confirmed"]


def test_what_cannot_be_decoded_here_stays_sent(by_readback: Bench) -> None:
    one = by_readback.send()
    by_readback.archive.has[by_readback.uid(one)] = (b"<html>", IMPLICIT_VR_LITTLE_ENDIAN)
    by_readback.wait()
    shown = by_readback.shown(one)
    assert (shown["state"], shown["error_code"]) == ("sent", "not-comparable")


def test_scratch_that_a_kill_left_is_swept_at_the_start(by_readback: Bench) -> None:
    left = by_readback.spool.state_dir / "spool" / "read-back" / f"confirm@{NAME}" / "x" / "back"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"pixels")
    by_readback.restarted()
    assert no_scratch(by_readback)


def test_our_own_damaged_file_is_never_the_measure(by_readback: Bench) -> None:
    one = by_readback.send()
    (found,) = by_readback.spool.counting.show(str(one))
    path = by_readback.spool.blobs.path(found["renditions"][0]["blob"])
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    by_readback.wait()
    shown = by_readback.shown(one)
    assert (shown["state"], shown["error_code"]) == ("held", "damaged")


@pytest.mark.parametrize(
    ("number", "shown"), [(errno.EIO, ("held", "damaged")), (errno.EMFILE, ("sent", "unexpected"))]
)
def test_a_file_that_cannot_be_read_stops_no_other(
    by_readback: Bench, monkeypatch: pytest.MonkeyPatch, number: int, shown: tuple[str, str]
) -> None:
    bad, *good = (by_readback.send() for _ in range(3))
    uid = by_readback.uid(bad)

    def verified(rendition: Rendition) -> None:
        if rendition.sop_instance_uid == uid:
            raise OSError(number, "fault")

    monkeypatch.setattr(readback, "verify_rendition", verified)
    by_readback.wait()
    assert [by_readback.states(one) for one in good] == [["confirmed"]] * 2
    row = by_readback.shown(bad)
    assert (row["state"], row["error_code"]) == shown


def test_one_that_is_refused_shuts_the_way_for_no_other(by_readback: Bench) -> None:
    by_readback.archive.no_retrieval = True
    several = [by_readback.send() for _ in range(REFUSED_MOST)]
    by_readback.clock.pass_s(5)
    for _ in range(REFUSED_MOST - 1):
        by_readback.stage.turn()
        assert by_readback.known.shut_s(Way.READBACK) == 0
    by_readback.stage.turn()
    assert by_readback.known.shut_s(Way.READBACK) > 0
    assert [by_readback.shown(one)["error_code"] for one in several] == ["readback-refused"] * 3


def no_scratch(bench: Bench) -> bool:
    folder = bench.spool.state_dir / "spool" / "read-back"
    return not [one for one in folder.rglob("*") if one.is_file()]
