"""watch: a file is taken when it is complete, and moved only when its instance is durable."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.config.model import Watch
from gateway.stages import watch
from gateway.stages.watch import WatchFolder, is_remote
from spool.errors import SpoolFull
from spool.store import Spool
from tests.fakes.spools import claimed, opened

SETTLED = {"settle_s": 0.0, "give_up_s": 0.2}


class Hands:
    """The watched folder, and what somebody puts into it."""

    def __init__(self, path: Path, picture: bytes) -> None:
        self.path, self.picture = path, picture
        path.mkdir()
        for name in ("taken", "refused"):
            (path / name).mkdir()

    def put(self, name: str = "IM0001", content: bytes | None = None) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.picture if content is None else content)
        return path

    def names(self, where: str) -> list[str]:
        """Return the files below `where`, as paths below it."""
        folder = self.path / where
        return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


@pytest.fixture
def hands(tmp_path: Path, sample: Callable[[str], Path]) -> Hands:
    return Hands(tmp_path / "export", sample("CT_small.dcm").read_bytes())


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    found = opened(tmp_path)
    yield found
    found.close()


@pytest.fixture
def folder(hands: Hands, spool: Spool) -> WatchFolder:
    return WatchFolder(Watch(name="export", path=hands.path, **SETTLED), spool)


def received(spool: Spool) -> int:
    return spool.counting.instances()["received"]


def test_a_complete_file_is_taken_and_then_moved(
    folder: WatchFolder, hands: Hands, spool: Spool
) -> None:
    hands.put()
    folder.turn()
    assert hands.names("taken") == ["IM0001"]
    instance = claimed(spool)
    assert instance.arrival.door == "folder:export"
    assert hands.picture.endswith(
        instance.received.blob.path.read_bytes()[instance.received.blob.dataset_offset :]
    )


def test_the_file_moves_only_when_its_instance_is_durable(
    folder: WatchFolder, hands: Hands, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = hands.put(), []
    real = Path.rename

    def telling(self: Path, target: Path) -> Path:
        seen.append((path.exists(), received(spool)))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", telling)
    folder.turn()
    assert seen == [(True, 1)]


def test_without_room_the_file_stays_and_is_taken_later(
    folder: WatchFolder, hands: Hands, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands.put("one")
    hands.put("two")

    def full(*_: object) -> None:
        raise SpoolFull("no room")

    with monkeypatch.context() as patched:
        patched.setattr(spool.receiving, "begin", full)
        assert folder.turn() == watch.DEFER_S
    assert (hands.names("taken"), hands.names("refused")) == ([], [])
    folder.turn()
    assert hands.names("taken") == ["one", "two"]


def test_a_file_that_is_still_written_waits(hands: Hands, spool: Spool) -> None:
    folder = WatchFolder(Watch(name="export", path=hands.path, settle_s=0.15), spool)
    path = hands.put(content=hands.picture[:1000])
    begin = time.monotonic()
    while time.monotonic() - begin < 0.5:
        assert folder.turn() < 1
        with path.open("ab") as file:
            file.write(b"x")
    assert received(spool) == 0
    path.write_bytes(hands.picture)
    while not hands.names("taken"):
        folder.turn()
    assert received(spool) == 1


def test_a_pause_in_a_copy_does_not_cut_an_image(
    folder: WatchFolder, hands: Hands, spool: Spool
) -> None:
    path = hands.put(content=hands.picture[:20_000])
    folder.turn()
    assert (received(spool), path.exists()) == (0, True)
    path.write_bytes(hands.picture)
    folder.turn()
    assert hands.names("taken") == ["IM0001"]


def test_a_file_that_stays_incomplete_is_refused_with_its_reason_beside_it(
    folder: WatchFolder, hands: Hands, spool: Spool
) -> None:
    hands.put(content=hands.picture[:20_000])
    begin = time.monotonic()
    while not hands.names("refused") and time.monotonic() - begin < 10:
        folder.turn()
    assert hands.names("refused") == ["IM0001", "IM0001.reason.txt"]
    reason = (hands.path / "refused/IM0001.reason.txt").read_text(encoding="utf-8")
    assert reason.startswith("incomplete\n")
    assert len((hands.path / "refused/IM0001").read_bytes()) == 20_000
    assert received(spool) == 0


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "no-data-set"), (b"a letter, by mistake", "no-data-set")]
)
def test_what_is_no_dicom_object_is_refused(
    folder: WatchFolder, hands: Hands, spool: Spool, content: bytes, code: str
) -> None:
    hands.put("letter.txt", content)
    folder.turn()
    reason = (hands.path / "refused/letter.txt.reason.txt").read_text(encoding="utf-8")
    assert reason.splitlines()[0] == code
    assert received(spool) == 0


def test_a_broken_file_does_not_end_the_door_for_the_next(
    folder: WatchFolder, hands: Hands, spool: Spool
) -> None:
    syntax, none = b"1.2.840.10008.1.2.1", b"1.2.\xcd\xf50.10008.1.2.1"
    assert syntax in hands.picture
    hands.put("a-broken", hands.picture.replace(syntax, none, 1))
    hands.put("b-whole")
    folder.turn()
    assert "a-broken" in hands.names("refused")
    assert hands.names("taken") == ["b-whole"]


def test_a_second_file_of_the_same_name_overwrites_no_first(
    folder: WatchFolder, hands: Hands
) -> None:
    for _ in range(3):
        hands.put()
        folder.turn()
    first, *others = hands.names("taken")
    assert first == "IM0001"
    assert len(others) == 2
    assert all(one.startswith("IM0001.") for one in others)


def test_sub_folders_are_kept_and_taken_is_not_looked_into(
    folder: WatchFolder, hands: Hands, spool: Spool
) -> None:
    hands.put("2026/study1/IM0001")
    hands.put("2026/study1/taken/IM0002")  # a folder of that name deeper down is the sender's
    folder.turn()
    folder.turn()
    assert hands.names("taken") == ["2026/study1/IM0001", "2026/study1/taken/IM0002"]
    assert received(spool) == 2


@pytest.mark.parametrize("name", [".IM0001.Xa81", "IM0001.part", "IM0001.tmp", "~IM0001"])
def test_the_name_of_a_copy_that_is_not_over_is_left_alone(
    folder: WatchFolder, hands: Hands, spool: Spool, name: str
) -> None:
    path = hands.put(name)
    folder.turn()
    assert path.exists()
    path.rename(hands.path / "IM0001")
    folder.turn()
    assert received(spool) == 1


def test_a_pipe_and_a_dangling_link_hold_nobody_up(
    folder: WatchFolder, hands: Hands, spool: Spool
) -> None:
    os.mkfifo(hands.path / "a-pipe")
    (hands.path / "b-link").symlink_to(hands.path / "nowhere")
    hands.put("c-image")
    folder.turn()
    assert hands.names("taken") == ["c-image"]
    assert received(spool) == 1


def test_a_file_taken_before_a_crash_and_not_moved_is_the_same_data_set_again(
    folder: WatchFolder, hands: Hands, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> Path:
        raise KeyboardInterrupt

    hands.put()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(folder, "_move", killed)
        folder.turn()
    again = WatchFolder(Watch(name="export", path=hands.path, **SETTLED), spool)
    again.turn()
    first, second = claimed(spool), claimed(spool)
    (earlier,) = spool.preparing.earlier.of(second)  # into which prepare merges it
    assert (earlier.id, earlier.sha256) == (first.id, second.received.blob.sha256)
    assert hands.names("taken") == ["IM0001"]


def test_a_file_that_cannot_be_moved_is_taken_once_and_not_at_every_turn(
    folder: WatchFolder, hands: Hands, spool: Spool
) -> None:
    hands.put("sub/IM0001")
    (hands.path / "taken/sub").write_text("a file stands where the folder should be")
    for _ in range(5):
        folder.turn()
    assert received(spool) == 1
    (hands.path / "taken/sub").unlink()
    folder.turn()
    assert hands.names("taken") == ["sub/IM0001"]
    assert received(spool) == 1


def test_a_file_that_cannot_be_moved_holds_up_no_other(folder: WatchFolder, hands: Hands) -> None:
    hands.put("a/IM0001")
    (hands.path / "taken/a").write_text("in the way")
    hands.put("b/IM0002")
    folder.turn()
    assert "b/IM0002" in hands.names("taken")


def test_a_file_that_changes_while_it_is_taken_is_not_moved_away(
    folder: WatchFolder, hands: Hands, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hands.put()
    real = watch.file_in

    def written_meanwhile(*given: object) -> object:
        filed = real(*given)  # type: ignore[arg-type]
        path.write_bytes(hands.picture[:-4000] + b"pixels" + hands.picture[-3994:])
        return filed

    with monkeypatch.context() as patched:
        patched.setattr(watch, "file_in", written_meanwhile)
        folder.turn()
    assert path.exists()
    folder.turn()
    assert hands.names("taken") == ["IM0001"]
    assert received(spool) == 2  # the same UID and other bytes: prepare keeps both


@pytest.mark.parametrize("polling", ["never", "always"])
def test_a_file_that_appears_is_noticed_without_waiting_for_the_sweep(
    hands: Hands, spool: Spool, polling: str
) -> None:
    settings = Watch(name="export", path=hands.path, polling=polling, settle_s=0.05)  # type: ignore[arg-type]
    folder = WatchFolder(settings, spool)
    thread = threading.Thread(target=folder.run)
    thread.start()
    folder_turned = time.monotonic()
    hands.put("study/IM0001")
    other = hands.path.parent / "elsewhere"
    other.write_bytes(hands.picture)
    other.rename(hands.path / "IM0002")
    bell = spool.doorbell("prepare")
    while received(spool) < 2 and time.monotonic() - folder_turned < watch.SWEEP_S - 10:
        bell.wait(0.2)
    folder.stop()
    thread.join(10)
    bell.close()
    assert received(spool) == 2
    assert not thread.is_alive()


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /srv/export rw - cifs //nas/export rw
31 22 0:27 / /srv/with\040space rw shared:2 master:1 - nfs4 nas:/x rw
32 22 0:28 / /srv/fuse rw - fuse.sshfs nas: rw
33 22 8:2 / /srv/export/local rw - xfs /dev/sdb1 rw
34 22 0:29 / /srv/over rw - nfs nas:/y rw
35 34 8:3 / /srv/over rw - ext4 /dev/sdc1 rw
"""


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("/srv", False),
        ("/srv/export", True),
        ("/srv/export/us1", True),
        ("/srv/exported", False),
        ("/srv/export/local/us1", False),
        ("/srv/with space/us1", True),
        ("/srv/fuse", True),
        ("/srv/over", False),
    ],
)
def test_a_share_is_known_by_where_it_is_mounted(path: str, remote: bool) -> None:
    assert is_remote(Path(path), MOUNTS) is remote


def test_the_mounts_of_this_machine_can_be_read(tmp_path: Path) -> None:
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert is_remote(tmp_path, text) in (True, False)
