"""Storage commitment by the whole program: Orthanc, and a scripted SCP for what it never does."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.confirm import failures
from gateway.confirm.failures import Then
from gateway.confirm.findings import ASKED_MOST
from tests.fakes.appliance import Gateway
from tests.fakes.committing_archive import (
    NO_SUCH_OBJECT,
    PUSH_MODEL,
    Asked,
    CommittingArchive,
    commit_all,
    report_to,
)
from tests.fakes.confirming import destination, picture, rounds, told, wait_for_states
from tests.fakes.dcmtk import Said
from tests.fakes.orthanc import Orthanc
from tests.fakes.running import Running

Store = Callable[..., Said]


class Bench:
    """A gateway on a port that its archive knows, and the archive."""

    def __init__(self, gateway: Gateway, peer: CommittingArchive, store: Store) -> None:
        self.gateway, self.peer, self._store = gateway, peer, store
        self.running: Running = gateway.start()

    @property
    def port(self) -> int:
        return self.gateway.port

    def send(self, count: int = 1) -> list[str]:
        """Store pictures in one association; return their UIDs."""
        made = [picture(self.gateway.folder) for _ in range(count)]
        assert self._store(self.port, [path for path, _ in made]).acknowledged
        return [uid for _, uid in made]

    def wait_for(self, uid: str, *wanted: str, within_s: float = 60) -> None:
        wait_for_states(self.gateway, self.running, uid, list(wanted), within_s=within_s)

    def how(self, uid: str) -> list[str]:
        """Return how it was confirmed."""
        return told(self.gateway, uid, "confirmed")

    def state(self, uid: str) -> list[str]:
        return [one["state"] for one in rounds(self.gateway, uid)]

    def shown(self) -> str:
        """Return what status says of the destination."""
        return str(self.gateway.status()["destinations"]["archive"])

    def restart(self) -> None:
        self.running.kill()
        self.running = self.gateway.start()


@pytest.fixture
def make_bench(
    tmp_path: Path, ending: ExitStack, free_port: Callable[[], int], store: Store
) -> Callable[..., Bench]:
    """Return a function from keys of the destination to a bench with a scripted archive."""

    def make(**keys: object) -> Bench:
        peer = CommittingArchive()
        ending.callback(peer.close)
        gateway = Gateway(
            tmp_path,
            listen=[{"kind": "dicom", "address": "127.0.0.1", "port": free_port()}],
            destination=[destination(peer.port, "commitment", **keys)],
        )
        ending.callback(gateway.close)
        return Bench(gateway, peer, store)

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def before(bench: Bench, asked: Asked) -> None:
    asked.report(asked.pairs, ())
    asked.answer(0)


def on_the_same(bench: Bench, asked: Asked) -> None:
    commit_all(asked)


def on_a_new_one(bench: Bench, asked: Asked) -> None:
    asked.answer(0)
    assert report_to(bench.port, asked.transaction_uid, asked.pairs) == 0


def on_a_new_one_before(bench: Bench, asked: Asked) -> None:
    assert report_to(bench.port, asked.transaction_uid, asked.pairs) == 0
    asked.answer(0)


def without_roles(bench: Bench, asked: Asked) -> None:
    asked.answer(0)
    assert report_to(bench.port, asked.transaction_uid, asked.pairs, roles=False) == 0


def twice(bench: Bench, asked: Asked) -> None:
    commit_all(asked)
    assert report_to(bench.port, asked.transaction_uid, asked.pairs) == 0


@pytest.mark.parametrize(
    "plan", [before, on_the_same, on_a_new_one, on_a_new_one_before, without_roles, twice]
)
def test_a_report_confirms_however_it_comes(
    bench: Bench, plan: Callable[[Bench, Asked], None]
) -> None:
    bench.peer.plan = lambda asked: plan(bench, asked)
    (uid,) = bench.send()
    bench.wait_for(uid, "confirmed")
    assert bench.how(uid) == ["commitment"]
    assert bench.peer.finds == 0


def test_a_report_after_a_restart_confirms(bench: Bench) -> None:
    bench.peer.plan = lambda asked: asked.answer(0)
    (uid,) = bench.send()
    bench.running.wait_for("confirm@archive asked")
    bench.restart()
    asked = bench.peer.asked[0]
    assert report_to(bench.port, asked.transaction_uid, asked.pairs) == 0
    bench.wait_for(uid, "confirmed")
    assert bench.how(uid) == ["commitment"]
    assert len(bench.peer.asked) == 1


def test_a_report_while_only_the_intake_runs_is_acted_on_later(bench: Bench) -> None:
    bench.peer.plan = lambda asked: asked.answer(0)
    (uid,) = bench.send()
    bench.running.wait_for("confirm@archive asked")
    bench.running.kill()
    intake = bench.gateway.start("intake")
    asked = bench.peer.asked[0]
    assert report_to(bench.port, asked.transaction_uid, asked.pairs) == 0
    intake.kill()
    bench.running = bench.gateway.start()
    bench.wait_for(uid, "confirmed")
    assert bench.how(uid) == ["commitment"]


def test_a_report_on_an_unknown_transaction_is_refused_and_confirms_nothing(
    bench: Bench,
) -> None:
    bench.peer.plan = lambda asked: asked.answer(0)
    (uid,) = bench.send()
    bench.running.wait_for("confirm@archive asked")
    asked = bench.peer.asked[0]
    assert report_to(bench.port, "2.25.4711", asked.pairs) != 0
    assert bench.state(uid) == ["sent"]
    assert report_to(bench.port, asked.transaction_uid, asked.pairs) == 0
    bench.wait_for(uid, "confirmed")


@pytest.mark.parametrize("reason", [*failures.TABLE, 0xABCD], ids=lambda one: f"{one:04X}")
def test_half_a_report_confirms_half_and_each_reason_has_its_end(bench: Bench, reason: int) -> None:
    bad: set[str] = set()

    def plan(asked: Asked) -> None:
        """Fail each bad one the first time that it is asked about."""
        failed = [(*pair, reason) for pair in asked.pairs if pair[1] in bad]
        bad.difference_update(uid for _, uid, _ in failed)
        asked.answer(0)
        asked.report([pair for pair in asked.pairs if (*pair, reason) not in failed], failed)

    bench.peer.plan = plan
    bench.gateway.verb("destination", "pause", "archive")
    good, wrong = bench.send(2)
    bad.add(wrong)
    bench.gateway.verb("destination", "resume", "archive")
    bench.wait_for(good, "confirmed")
    assert bench.how(good) == ["commitment"]
    then = failures.row_of(reason).then
    bench.wait_for(wrong, "held" if then is Then.HELD else "confirmed")
    if then is not Then.HELD:
        assert bench.how(wrong) == ["query" if then is Then.QUERY else "commitment"]


def test_what_the_archive_says_it_does_not_have_goes_again(bench: Bench) -> None:
    def plan(asked: Asked) -> None:
        """Have each only when it was sent twice."""
        has = [pair for pair in asked.pairs if len(bench.peer.bytes_of(pair[1])) > 1]
        asked.answer(0)
        asked.report(has, [(*pair, NO_SUCH_OBJECT) for pair in asked.pairs if pair not in has])

    bench.peer.plan = plan
    (uid,) = bench.send()
    bench.wait_for(uid, "superseded", "confirmed")
    first, second = bench.peer.bytes_of(uid)
    assert first == second


def test_an_archive_that_never_reports_ends_in_query_is_shown_and_blocks_nothing(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(confirm_within_s=1)
    bench.peer.plan = lambda asked: asked.answer(0)
    (uid,) = bench.send()
    bench.wait_for(uid, "confirmed")
    assert bench.how(uid) == ["query"]
    assert len(bench.peer.asked) == 2
    assert "commitment-silent" in bench.shown()
    (next_one,) = bench.send()
    bench.wait_for(next_one, "confirmed")
    assert bench.how(next_one) == ["query"]
    assert len(bench.peer.asked) == 2


@pytest.mark.parametrize("refusal", ["context", "status"])
def test_an_archive_that_refuses_commitment_ends_in_query_and_is_shown(
    bench: Bench, refusal: str
) -> None:
    bench.peer.plan = lambda asked: asked.answer(0x0122)
    if refusal == "context":
        bench.peer.no_contexts.add(PUSH_MODEL)
    (uid,) = bench.send()
    bench.wait_for(uid, "confirmed")
    assert bench.how(uid) == ["query"]
    assert "commitment-refused" in bench.shown()


def hang_up(asked: Asked) -> None:
    raise ConnectionError("cut")


def fail(asked: Asked) -> None:
    asked.answer(0x0110)


@pytest.mark.parametrize("plan", [hang_up, fail])
def test_an_archive_that_fails_at_each_request_ends_in_query(
    bench: Bench, plan: Callable[[Asked], None]
) -> None:
    bench.peer.plan = plan
    (uid,) = bench.send()
    bench.wait_for(uid, "confirmed")
    assert bench.how(uid) == ["query"]
    assert len(bench.peer.asked) <= ASKED_MOST
    assert "commitment-refused" in bench.shown()


def test_a_silent_archive_that_refuses_queries_too_leaves_it_sent_and_is_shown(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(confirm_within_s=1)
    bench.peer.plan = lambda asked: asked.answer(0)
    bench.peer.find_status = 0xC001
    (uid,) = bench.send()
    bench.running.wait_for("asked-again.*queries-refused")
    assert bench.state(uid) == ["sent"]
    assert "queries-refused" in bench.shown()


def test_a_silent_destination_delays_no_other(
    tmp_path: Path, ending: ExitStack, free_port: Callable[[], int], store: Store
) -> None:
    silent, quick = CommittingArchive(), CommittingArchive()
    silent.plan = lambda asked: threading.Event().wait(20)  # type: ignore[assignment,return-value]
    for one in (silent, quick):
        ending.callback(one.close)
    gateway = Gateway(
        tmp_path,
        listen=[{"kind": "dicom", "address": "127.0.0.1", "port": free_port()}],
        destination=[
            destination(silent.port, "commitment") | {"name": "silent"},
            destination(quick.port, "commitment"),
        ],
    )
    ending.callback(gateway.close)
    bench = Bench(gateway, quick, store)
    for uid in bench.send(5):
        bench.wait_for(uid, "confirmed", within_s=15)
        assert gateway.deliveries("silent")[uid]["state"] == "sent"


# ---- Orthanc -----------------------------------------------------------------------------------


@pytest.fixture
def orthanc_bench(
    tmp_path: Path,
    ending: ExitStack,
    free_port: Callable[[], int],
    program: Callable[[str], str],
    store: Store,
) -> Callable[..., tuple[Bench, Orthanc]]:
    """Return a function from keys of the destination to a bench whose archive is Orthanc."""

    def make(*, knows_us: bool = True, **keys: object) -> tuple[Bench, Orthanc]:
        port = free_port()
        more = {"DicomModalities": {"edge": ["EDGE", "127.0.0.1", port]} if knows_us else {}}
        allowed = {f"DicomAlwaysAllow{verb}": True for verb in ("Find", "Get", "Move")}
        peer = Orthanc(program("Orthanc"), tmp_path, free_port, more=more | allowed)
        ending.callback(peer.close)
        gateway = Gateway(
            tmp_path,
            listen=[{"kind": "dicom", "address": "127.0.0.1", "port": port}],
            destination=[destination(peer.port, "commitment", **keys)],
        )
        ending.callback(gateway.close)
        return Bench(gateway, peer, store), peer  # type: ignore[arg-type]

    return make


def test_orthanc_commits_to_what_it_has(
    orthanc_bench: Callable[..., tuple[Bench, Orthanc]],
) -> None:
    bench, _ = orthanc_bench()
    for uid in bench.send(5):
        bench.wait_for(uid, "confirmed")
        assert bench.how(uid) == ["commitment"]


def test_orthanc_that_does_not_know_our_address_ends_in_query(
    orthanc_bench: Callable[..., tuple[Bench, Orthanc]],
) -> None:
    bench, _ = orthanc_bench(knows_us=False, confirm_within_s=1)
    (uid,) = bench.send()
    bench.wait_for(uid, "confirmed")
    assert bench.how(uid) == ["query"]
    assert "commitment-refused" in bench.shown()
