"""Never confirmed without being there: an archive that lies, in each way, against each `confirm`.

What a mode can see is the table `SEES` below; what it cannot see it never claims: a query and a
commitment speak of a UID, only what is read back speaks of pixels. The state is never better than
that, and what was confirmed and is gone goes again as soon as an operator asks for it.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.appliance import Gateway
from tests.fakes.committing_archive import CommittingArchive, commit_all
from tests.fakes.confirming import (
    SIDE,
    destination,
    history,
    picture,
    rounds,
    states,
    told,
    wait_for_states,
    web_destination,
)
from tests.fakes.dcmtk import Said
from tests.fakes.objects import small
from tests.fakes.orthanc import DICOMWEB, Orthanc
from tests.fakes.part10 import part10_file
from tests.fakes.running import Running
from tests.fakes.upper_layer import US_IMAGE

Store = Callable[..., Said]

#: How images go there, and how it is asked what became of them.
WAYS = [
    ("dicom", "query"),
    ("dicom", "commitment"),
    ("dicom", "readback"),
    ("dicomweb", "query"),
    ("dicomweb", "readback"),
]
OTHER_PIXELS = bytes(SIDE * SIDE)
#: Asked so soon; before that there is time for mischief, since `confirm` does not run yet.
AFTER_S = 0.05
ALL_BUT_CONFIRM = ("receive", "prepare", "forward")


@dataclass
class Bench:
    """A gateway and a real Orthanc."""

    gateway: Gateway
    orthanc: Orthanc
    running: Running
    store: Store
    confirm: str
    asks: bool = False

    def send(self, count: int = 1) -> list[str]:
        """Store pictures, and return their UIDs once the archive has answered success.

        Nobody asks the archive about them before `ask`.
        """
        if self.asks:
            self.running.kill()
            self.running, self.asks = self.gateway.start(*ALL_BUT_CONFIRM), False
        before = len(self.running.found("forward@archive sent"))
        made = [picture(self.gateway.folder) for _ in range(count)]
        assert self.store(self.gateway.port, [path for path, _ in made]).acknowledged
        self.running.wait_for("forward@archive sent", before + count)
        return [uid for _, uid in made]

    def ask(self) -> None:
        """Let `confirm` run from now on, too."""
        if not self.asks:
            self.running.kill()
            self.running, self.asks = self.gateway.start(), True

    def wait_for(self, uid: str, *wanted: str, within_s: float = 60) -> None:
        self.ask()
        wait_for_states(self.gateway, self.running, uid, list(wanted), within_s=within_s)

    def resend(self, uid: str) -> None:
        instance = next(
            str(one["id"]) for one in self.gateway.queue() if one["sop_instance_uid"] == uid
        )
        done = self.gateway.verb("queue", "resend", instance)
        assert done.returncode == 0, done.stderr


@pytest.fixture(params=WAYS, ids=lambda one: "-".join(one))
def bench(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    ending: ExitStack,
    free_port: Callable[[], int],
    program: Callable[[str], str],
    store: Store,
) -> Bench:
    kind, confirm = request.param
    if kind == "dicomweb" and not Path(DICOMWEB).exists():
        pytest.skip("orthanc-dicomweb is missing")
    port = free_port()
    more: dict[str, object] = {f"DicomAlwaysAllow{verb}": True for verb in ("Find", "Get", "Move")}
    more |= {"DicomModalities": {"edge": ["EDGE", "127.0.0.1", port]}}
    more |= {"Plugins": [DICOMWEB], "OverwriteInstances": False}
    orthanc = Orthanc(program("Orthanc"), tmp_path, free_port, more=more)
    ending.callback(orthanc.close)
    keys = {"confirm_after_s": AFTER_S}
    section = (
        web_destination(orthanc.dicomweb, confirm) | keys
        if kind == "dicomweb"
        else destination(orthanc.port, confirm) | keys
    )
    gateway = Gateway(
        tmp_path,
        listen=[{"kind": "dicom", "address": "127.0.0.1", "port": port}],
        destination=[section],
        retain={"days": 30},
    )
    ending.callback(gateway.close)
    return Bench(gateway, orthanc, gateway.start(*ALL_BUT_CONFIRM), store, confirm)


def test_what_is_there_is_confirmed_as_it_was_asked(bench: Bench) -> None:
    for uid in bench.send(3):
        bench.wait_for(uid, "confirmed")
        assert told(bench.gateway, uid, "confirmed") == [bench.confirm]


def test_an_archive_that_was_emptied_gets_everything_again(bench: Bench) -> None:
    uids = bench.send(3)
    bench.orthanc.empty()
    for uid in uids:
        bench.wait_for(uid, "superseded", "confirmed")
    assert set(uids) <= bench.orthanc.instances().keys()


def test_the_one_that_was_lost_goes_again_and_no_other(bench: Bench) -> None:
    lost, *kept = bench.send(3)
    bench.orthanc.delete(lost)
    for uid in kept:
        bench.wait_for(uid, "confirmed")
    bench.wait_for(lost, "superseded", "confirmed")
    assert [states(bench.gateway, uid) for uid in kept] == [["confirmed"]] * 2
    whats = [line["what"] for line in history(bench.gateway, lost)]
    assert whats.count("sent") == 2


def test_other_pixels_under_the_same_uid_are_an_alarm_where_they_are_read_back(
    bench: Bench,
) -> None:
    (uid,) = bench.send()
    bench.orthanc.delete(uid)
    changed = small(uid, side=SIDE, pixels=OTHER_PIXELS)
    bench.orthanc.put(part10_file(US_IMAGE, uid, changed))
    if bench.confirm == "readback":
        bench.wait_for(uid, "held")
        assert rounds(bench.gateway, uid)[0]["error"]["code"] == "altered-there"
    else:  # the archive has something under this UID, and that is all that is said
        bench.wait_for(uid, "confirmed")
        assert told(bench.gateway, uid, "confirmed") == [bench.confirm]


def test_what_was_confirmed_and_is_gone_goes_again_when_an_operator_sends_it(
    bench: Bench,
) -> None:
    (uid,) = bench.send()
    bench.wait_for(uid, "confirmed")
    bench.orthanc.empty()
    assert states(bench.gateway, uid) == ["confirmed"]
    bench.resend(uid)
    bench.wait_for(uid, "confirmed", "confirmed")
    assert uid in bench.orthanc.instances()


def test_the_second_of_two_contents_under_one_uid_is_not_confirmed_by_the_first(
    bench: Bench,
) -> None:
    """Orthanc keeps the first, answers success to the second, and finds and commits to "it"."""
    (uid,) = bench.send()
    bench.wait_for(uid, "confirmed")
    path, _ = picture(bench.gateway.folder, uid, OTHER_PIXELS)
    assert bench.store(bench.gateway.port, [path]).acknowledged
    bench.running.wait_for("prepare held.*conflict")
    held = next(str(one["id"]) for one in bench.gateway.queue("held"))
    assert bench.gateway.verb("queue", "release", held).returncode == 0
    bench.wait_for(uid, "confirmed", "held")
    assert rounds(bench.gateway, uid)[-1]["error"]["code"] == "altered-there"


# ---- an archive that answers success and drops, or commits and then deletes --------------------


@pytest.fixture
def make_liar(
    tmp_path: Path, ending: ExitStack, free_port: Callable[[], int]
) -> Callable[[str], tuple[Gateway, CommittingArchive]]:
    """Return a function from `confirm` to a gateway and a scripted archive, which may lie."""

    def make(confirm: str) -> tuple[Gateway, CommittingArchive]:
        peer = CommittingArchive()
        ending.callback(peer.close)
        gateway = Gateway(
            tmp_path,
            listen=[{"kind": "dicom", "address": "127.0.0.1", "port": free_port()}],
            destination=[destination(peer.port, confirm) | {"confirm_after_s": 0.02}],
        )
        ending.callback(gateway.close)
        return gateway, peer

    return make


def test_an_archive_that_answers_success_and_drops_is_never_confirmed_and_ends_held(
    make_liar: Callable[[str], tuple[Gateway, CommittingArchive]], store: Store
) -> None:
    gateway, peer = make_liar("query")
    peer.drops = True
    running = gateway.start()
    path, uid = picture(gateway.folder)
    assert store(gateway.port, [path]).acknowledged
    wait_for_states(gateway, running, uid, [*["superseded"] * 3, "held"], within_s=120)
    assert rounds(gateway, uid)[-1]["error"]["code"] == "keeps-vanishing"
    assert len(peer.bytes_of(uid)) == 3
    assert len(set(peer.bytes_of(uid))) == 1
    assert never_confirmed(gateway)


def test_an_archive_that_commits_and_then_deletes_is_found_out_by_a_resend(
    make_liar: Callable[[str], tuple[Gateway, CommittingArchive]], store: Store
) -> None:
    gateway, peer = make_liar("commitment")
    running = gateway.start()
    path, uid = picture(gateway.folder)
    assert store(gateway.port, [path]).acknowledged
    wait_for_states(gateway, running, uid, ["confirmed"])
    peer.hidden.add(uid)
    peer.plan = lambda asked: (
        asked.answer(0),
        asked.report((), [(*pair, 0x0112) for pair in asked.pairs]),
    )[0]
    instance = str(gateway.queue()[0]["id"])
    assert gateway.verb("queue", "resend", instance).returncode == 0
    running.wait_for("confirm@archive missing", within_s=60)
    peer.plan = commit_all
    wait_for_states(gateway, running, uid, ["confirmed", "superseded", "confirmed"], within_s=60)


def never_confirmed(gateway: Gateway) -> bool:
    with closing(sqlite3.connect(gateway.state_dir / "db" / "spool.db", timeout=10)) as db:
        rows = db.execute("SELECT count(*) FROM history WHERE what = 'confirmed'").fetchone()
    return bool(rows == (0,)) and "confirmed" not in json.dumps(gateway.queue())
