"""operating: pause, offer, move, forget and failover; nothing is doubled, and nothing is lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spool.breakers import Breaker
from spool.counting import Filter
from spool.repair import ensure_database
from spool.store import Spool
from tests.fakes.spools import (
    FakeClock,
    arrival,
    arrive,
    claimed_delivery,
    confirm,
    history_of,
    make_ready,
    opened,
)

WHO = "person:ann"
A, B = "a", "b"
Fate = list[tuple[str, str]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spool(tmp_path: Path, clock: FakeClock) -> Iterator[Spool]:
    found = opened(tmp_path, clock)
    found.ageing.tick()
    clock.pass_s(1)
    yield found
    found.close()


def queued(spool: Spool, count: int = 1, to: tuple[str, ...] = (A,)) -> list[int]:
    """Return so many instances that are queued for these destinations."""
    found = []
    for _ in range(count):
        uid = f"1.2.{spool.counting.instances()['ready']}.{time.monotonic_ns()}"
        found.append(arrive(spool, uid.encode(), arrival(uid)))
        make_ready(spool, to)
    return found


def sent(spool: Spool, to: str = A, *, settles: bool = False) -> int:
    """Hand over the next delivery there; return its id."""
    delivery = claimed_delivery(spool, to)
    spool.delivering.sent(delivery, settles=settles)
    return delivery.id


def fate(spool: Spool, instance_id: int) -> Fate:
    """Return (destination, state) of each delivery."""
    (found,) = spool.counting.show(str(instance_id))
    return [(one["destination"], one["state"]) for one in found["deliveries"]]


def newest(spool: Spool, instance_id: int) -> dict[str, object]:
    (found,) = spool.counting.show(str(instance_id))
    return dict(found["deliveries"][-1])


def rebuilt(spool: Spool, folder: Path, clock: FakeClock, *, keeps_backup: bool = False) -> Spool:
    """Return the spool as it is after its database was lost."""
    spool.database.read("PRAGMA wal_checkpoint")
    for one in (folder / "state" / "db").glob("spool.db*"):
        one.unlink()
    if not keeps_backup:
        for one in (folder / "state" / "backup").glob("*"):
            one.unlink()
    incidents = ensure_database(folder / "state", clock.utc())
    found = opened(folder, clock)
    found.repair.reconcile(incidents)
    return found


def offer(spool: Spool, to: str = B, wanted: Filter = Filter(), since: float = 0.0) -> int:  # noqa: B008
    return spool.operating.offer(to, wanted, since, WHO)


# pause


def test_nothing_is_claimed_for_a_paused_destination_also_after_a_restart(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    queued(spool, to=(A, B))
    assert spool.operating.pause(A, WHO)
    assert not spool.operating.pause(A, WHO)
    other = opened(tmp_path, clock)
    assert other.operating.is_paused(A)
    assert other.delivering.claim(A) is None
    assert other.delivering.claim(B)
    assert other.operating.resume(A, WHO)
    assert not other.operating.resume(A, WHO)
    assert other.delivering.claim(A)
    other.close()
    rows = spool.database.read("SELECT who, what, detail FROM history WHERE instance_id IS NULL")
    assert [tuple(row) for row in rows] == [(WHO, "pause", A), (WHO, "resume", A)]


@pytest.mark.parametrize("keeps_backup", [False, True])
def test_a_pause_outlives_the_database(
    spool: Spool, tmp_path: Path, clock: FakeClock, *, keeps_backup: bool
) -> None:
    from spool import backups

    queued(spool)
    spool.operating.pause(B, WHO)
    assert backups.daily(spool.database, tmp_path / "state" / "backup", clock.utc())
    spool.operating.pause(A, WHO)
    spool.operating.resume(B, WHO)
    spool = rebuilt(spool, tmp_path, clock, keeps_backup=keeps_backup)
    assert [spool.operating.is_paused(name) for name in (A, B)] == [True, False]
    spool.operating.resume(A, WHO)
    spool.repair.reconcile([])
    assert not spool.operating.is_paused(A)
    spool.close()


def test_a_rotten_file_of_pauses_is_told_and_the_copy_counts(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    from spool import backups

    queued(spool)
    spool.operating.pause(A, WHO)
    assert backups.daily(spool.database, tmp_path / "state" / "backup", clock.utc())
    (tmp_path / "state" / "spool" / "paused.json").write_bytes(b"{rotten")
    spool = rebuilt(spool, tmp_path, clock, keeps_backup=True)
    assert spool.operating.is_paused(A)
    assert "pauses-unreadable" in {one.code for one in spool.incidents.unseen()}
    spool.close()


# offer


def test_what_is_still_here_is_offered_once(spool: Spool) -> None:
    several = queued(spool, 3)
    assert offer(spool) == 3
    assert offer(spool) == 0
    assert [fate(spool, one) for one in several] == [[(A, "queued"), (B, "queued")]] * 3
    assert (WHO, "offered") in history_of(spool, several[0])


def test_a_dry_run_counts_and_changes_nothing(spool: Spool) -> None:
    (one,) = queued(spool)
    assert spool.operating.offer(B, Filter(), 0.0, WHO, dry_run=True) == 1
    assert spool.operating.move_backlog(A, B, WHO, dry_run=True) == 1
    assert spool.operating.forget_destination(A, "cancel", WHO, dry_run=True) == 1
    assert spool.operating.offer_these([one], B, WHO, dry_run=True) == [one]
    assert fate(spool, one) == [(A, "queued")]
    blob = newest_blob(spool, one)
    assert spool.decisions.read(blob) == []


def newest_blob(spool: Spool, instance_id: int) -> str:
    (found,) = spool.counting.show(str(instance_id))
    return str(found["renditions"][-1]["blob"])


def test_only_what_came_since_and_matches_is_offered(spool: Spool, clock: FakeClock) -> None:
    queued(spool)
    clock.pass_s(86400)
    since = clock.utc()
    (two,) = queued(spool)
    other = arrive(spool, b"x", arrival("1.3", door="ae:CT1"))
    make_ready(spool, (A,))
    assert offer(spool, since=since, wanted=Filter(door="ae:US1")) == 1
    assert fate(spool, two)[-1] == (B, "queued")
    assert fate(spool, other) == [(A, "queued")]


def test_more_than_a_page_is_offered(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spool.operating.ROWS_MOST", 2)
    several = queued(spool, 5)
    spool.deciding.cancel(several[0], WHO)
    spool.deciding.cancel(several[1], WHO)
    assert offer(spool) == 3


def test_what_is_offered_is_the_best_proved_rendition(spool: Spool) -> None:
    (one,) = queued(spool)
    add_rendition(spool, one, "compressed", proved=True)
    add_rendition(spool, one, "lossy", proved=True)
    add_rendition(spool, one, "fallback", proved=True)
    assert offer(spool) == 1
    (found,) = spool.counting.show(str(one))
    roles = {each["id"]: each["role"] for each in found["renditions"]}
    assert roles[found["deliveries"][-1]["rendition_id"]] == "compressed"


def add_rendition(spool: Spool, instance_id: int, role: str, *, proved: bool) -> None:
    spool.database.write(
        lambda db: db.execute(
            "INSERT INTO rendition (instance_id, role, sop_instance_uid, sop_class_uid,"
            " transfer_syntax_uid, blob, dataset_offset, bytes, sha256, made_from, proved, made_at)"
            " SELECT instance_id, ?, sop_instance_uid, sop_class_uid, '1.2', ?,"
            " 0, 1, 'ab', id, ?, 0 FROM rendition WHERE instance_id = ? AND role = 'received'",
            (role, f"x/{role}", proved, instance_id),
        )
    )


@pytest.mark.parametrize("what", ["hold", "cancel", "withdraw"])
def test_what_a_person_stopped_is_not_offered(spool: Spool, what: str) -> None:
    (one,) = queued(spool)
    getattr(spool.deciding, what)(one, WHO)
    before = fate(spool, one)
    assert offer(spool) == 0
    assert fate(spool, one) == before


def test_what_was_kept_and_never_to_be_sent_is_not_offered(spool: Spool) -> None:
    (one,) = queued(spool)
    spool.database.write(
        lambda db: db.execute("UPDATE delivery SET state = 'cancelled', error_code = 'kept-first'")
    )
    assert offer(spool) == 0
    assert fate(spool, one) == [(A, "cancelled")]


def test_what_was_received_before_there_was_any_destination_is_offered(spool: Spool) -> None:
    (one,) = queued(spool, to=())
    assert offer(spool) == 1
    assert fate(spool, one) == [(B, "queued")]


def test_a_settled_instance_that_is_offered_waits_for_that(spool: Spool, clock: FakeClock) -> None:
    (one,) = queued(spool)
    confirm(spool, sent(spool))
    assert offer(spool) == 1
    clock.pass_s(1)
    assert spool.retiring.retire(0) == 0
    confirm(spool, sent(spool, B))
    assert spool.retiring.retire(0) == 1
    assert fate(spool, one) == [(A, "confirmed"), (B, "confirmed")]


def test_single_ones_go_also_where_they_were_cancelled(spool: Spool) -> None:
    one, two, three = queued(spool, 3, (A, B))
    spool.deciding.cancel(one, WHO, destination=B)
    spool.deciding.withdraw(three, WHO)
    assert spool.operating.offer_these([one, two, three, 99], B, WHO) == [one]
    assert fate(spool, one) == [(A, "queued"), (B, "cancelled"), (B, "queued")]
    assert spool.operating.offer_these([one], B, WHO) == []


def test_what_was_offered_goes_there_also_after_the_database_was_lost(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    queued(spool)
    offer(spool)
    spool = rebuilt(spool, tmp_path, clock)
    make_ready(spool, (A,))
    assert sorted(fate(spool, 1)) == [(A, "queued"), (B, "queued")]
    spool.close()


# move


def test_what_waits_is_moved_and_what_was_sent_stays(spool: Spool) -> None:
    one, two, three = queued(spool, 3)
    sent(spool)
    spool.delivering.hold(claimed_delivery(spool, A), "status-A900", "")
    assert spool.operating.move_backlog(A, B, WHO) == 2
    assert fate(spool, one) == [(A, "sent")]
    assert fate(spool, two) == fate(spool, three) == [(A, "cancelled"), (B, "queued")]
    assert spool.operating.move_backlog(A, B, WHO) == 0
    assert (WHO, "moved") in history_of(spool, two)


def test_what_goes_there_already_is_not_doubled(spool: Spool) -> None:
    (one,) = queued(spool, to=(A, B))
    confirm(spool, sent(spool, B))
    assert spool.operating.move_backlog(A, B, WHO) == 1
    assert fate(spool, one) == [(A, "cancelled"), (B, "confirmed")]
    assert spool.retiring.retire(0) == 1


def test_what_a_person_holds_is_held_at_its_new_place_too(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    (one,) = queued(spool)
    spool.deciding.hold(one, WHO)
    assert spool.operating.move_backlog(A, B, WHO) == 1
    assert fate(spool, one) == [(A, "cancelled"), (B, "held")]
    assert newest(spool, one)["error_code"] == "operator"
    spool = rebuilt(spool, tmp_path, clock)
    make_ready(spool, (A,))
    assert sorted(fate(spool, one)) == [(A, "cancelled"), (B, "held")]
    spool.close()


def test_what_a_person_holds_at_its_new_place_stays_held_there_after_a_loss(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    (one,) = queued(spool, to=(A, B))
    spool.deciding.hold(one, WHO, destination=B)
    assert spool.operating.move_backlog(A, B, WHO) == 1
    assert fate(spool, one) == [(A, "cancelled"), (B, "held")]
    spool = rebuilt(spool, tmp_path, clock)
    make_ready(spool, (A, B))
    assert sorted(fate(spool, one)) == [(A, "cancelled"), (B, "held")]
    spool.close()


def test_a_hold_of_what_is_moved_does_not_hold_what_goes_there_already(spool: Spool) -> None:
    (one,) = queued(spool, to=(A, B))
    spool.deciding.hold(one, WHO, destination=A)
    assert spool.operating.move_backlog(A, B, WHO) == 1
    spool.repair.reconcile([])
    assert fate(spool, one) == [(A, "cancelled"), (B, "queued")]


def test_what_a_person_did_not_want_there_is_held_when_it_is_moved_there(spool: Spool) -> None:
    (one,) = queued(spool, to=(A, B))
    spool.deciding.cancel(one, WHO, destination=B)
    assert spool.operating.move_backlog(A, B, WHO) == 1
    assert fate(spool, one) == [(A, "cancelled"), (B, "cancelled"), (B, "held")]


def test_what_is_on_the_wire_when_it_is_moved_is_not_called_sent(spool: Spool) -> None:
    (one,) = queued(spool)
    delivery = claimed_delivery(spool, A)
    assert spool.operating.move_backlog(A, B, WHO) == 1
    spool.delivering.give_back(delivery)
    assert fate(spool, one) == [(A, "cancelled"), (B, "queued")]


def test_what_was_moved_never_goes_to_the_old_place_after_a_loss(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    queued(spool)
    spool.operating.move_backlog(A, B, WHO)
    spool = rebuilt(spool, tmp_path, clock)
    make_ready(spool, (A,))
    assert sorted(fate(spool, 1)) == [(A, "cancelled"), (B, "queued")]
    spool.close()


def test_what_was_moved_after_the_backup_goes_to_its_new_place(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    from spool import backups

    (one,) = queued(spool)
    assert backups.daily(spool.database, tmp_path / "state" / "backup", clock.utc())
    spool.operating.move_backlog(A, B, WHO)
    spool = rebuilt(spool, tmp_path, clock, keeps_backup=True)
    assert fate(spool, one) == [(A, "cancelled"), (B, "queued")]
    spool.repair.reconcile([])
    assert fate(spool, one) == [(A, "cancelled"), (B, "queued")]
    spool.close()


def test_what_was_moved_there_and_back_goes_where_it_was_moved_last(
    spool: Spool, tmp_path: Path, clock: FakeClock
) -> None:
    from spool import backups

    (one,) = queued(spool)
    spool.operating.move_backlog(A, B, WHO)
    assert backups.daily(spool.database, tmp_path / "state" / "backup", clock.utc())
    spool.operating.move_backlog(B, A, WHO)
    assert fate(spool, one) == [(A, "cancelled"), (B, "cancelled"), (A, "queued")]
    spool = rebuilt(spool, tmp_path, clock, keeps_backup=True)
    assert fate(spool, one) == [(A, "cancelled"), (B, "cancelled"), (A, "queued")]
    spool.close()


def test_a_kill_between_file_and_row_of_a_move_is_finished_by_the_next_start(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    (one,) = queued(spool)
    with monkeypatch.context() as patch:
        patch.setattr("spool.backlog._act", killed)
        with pytest.raises(Killed):
            spool.operating.move_backlog(A, B, WHO)
    assert fate(spool, one) == [(A, "queued")]
    spool.repair.reconcile([])
    assert fate(spool, one) == [(A, "cancelled"), (B, "queued")]


def test_a_move_is_many_short_transactions(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    queued(spool, 12)
    monkeypatch.setattr("spool.backlog.TRANSACTION_S", 0.0)
    commits = []
    spool.database.write(
        lambda db: db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else 0)
    )
    assert spool.operating.move_backlog(A, B, WHO) == 12
    assert len(commits) >= 12


def test_what_has_no_file_left_is_not_moved(spool: Spool) -> None:
    (one,) = queued(spool)
    path = spool.blobs.path(newest_blob(spool, one))
    path.rename(path.with_suffix(".away"))
    spool.repair.reconcile([])
    assert fate(spool, one) == [(A, "held")]
    assert spool.operating.move_backlog(A, B, WHO) == 0
    assert offer(spool) == 0
    assert fate(spool, one) == [(A, "held")]
    path.with_suffix(".away").rename(path)
    spool.repair.reconcile([])
    assert fate(spool, one) == [(A, "queued")]
    assert spool.operating.move_backlog(A, B, WHO) == 1


# forget


def test_a_destination_is_forgotten_with_all_that_waits_for_it(
    spool: Spool, clock: FakeClock
) -> None:
    one, two, three = queued(spool, 3)
    confirm(spool, sent(spool))
    sent(spool)
    spool.operating.pause(A, WHO)
    for name in (A, f"query@{A}", f"query@not-{A}", B):
        spool.breakers.put(name, Breaker("open"))
    assert spool.operating.forget_destination(A, "cancel", WHO) == 2
    assert set(spool.breakers.all()) == {f"query@not-{A}", B}
    assert [fate(spool, each) for each in (one, two, three)] == [
        [(A, "confirmed")],
        [(A, "sent")],
        [(A, "cancelled")],
    ]
    assert not spool.operating.is_paused(A)
    assert spool.confirming.waiting(A)[0] == 0
    clock.pass_s(1)
    assert spool.retiring.retire(0) == 3


def test_what_was_sent_and_never_confirmed_is_moved_with_the_rest(spool: Spool) -> None:
    one, two, three = queued(spool, 3)
    confirm(spool, sent(spool))
    sent(spool)
    assert spool.operating.forget_destination(A, f"move:{B}", WHO) == 2
    assert fate(spool, one) == [(A, "confirmed")]
    assert fate(spool, two) == [(A, "sent"), (B, "queued")]
    assert fate(spool, three) == [(A, "cancelled"), (B, "queued")]
    assert spool.retiring.retire(0) == 1


def test_what_only_a_forgotten_destination_was_to_get_can_be_offered(spool: Spool) -> None:
    (one,) = queued(spool)
    spool.operating.forget_destination(A, "cancel", WHO)
    assert offer(spool) == 1
    assert fate(spool, one) == [(A, "cancelled"), (B, "queued")]


def test_what_becomes_of_a_backlog_must_be_said(spool: Spool) -> None:
    with pytest.raises(ValueError, match="perhaps"):
        spool.operating.forget_destination(A, "perhaps", WHO)
    with pytest.raises(ValueError, match="itself"):
        spool.operating.move_backlog(A, A, WHO)


# refusals


def test_refusals_are_counted_by_code_with_an_example(spool: Spool, clock: FakeClock) -> None:
    one, two = queued(spool, 2)
    for code in ("status-A900", "status-A900", "status-C000"):
        spool.delivering.refuse(claimed_delivery(spool, A), code, "", 0.0)
        clock.pass_s(1)
    spool.delivering.hold(claimed_delivery(spool, A), "status-C000", "")
    found = spool.operating.refusals(A)
    assert [(code, count) for code, count, _, _ in found] == [
        ("status-A900", 2),
        ("status-C000", 2),
    ]
    assert {example for *_, example in found} <= {one, two}
    assert spool.operating.refusals(B) == []
