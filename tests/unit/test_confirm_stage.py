"""confirm asks whether an archive has what was sent, and never says more than it heard."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.codec.pool import Codec
from gateway.confirm.findings import ASKED_MOST
from gateway.confirm.known import AGAIN_S, Way
from gateway.confirm.query import DUPLICATE
from gateway.destinations.archive import ArchiveAway
from tests.fakes.confirm_bench import NAME, Bench
from tests.fakes.objects import new_uid, small
from tests.fakes.spools import EXPLICIT, SOP_CLASS


@pytest.fixture(scope="module")
def codec() -> Iterator[Codec]:
    one = Codec(workers=1, memory_bytes=1 << 31, cpu_s=60, frame_bytes_most=1 << 28)
    yield one
    one.close()


@pytest.fixture
def by_query(tmp_path: Path, codec: Codec) -> Bench:
    return Bench(tmp_path, codec, "query")


def test_what_is_found_is_confirmed_and_not_before_its_time(by_query: Bench) -> None:
    one = by_query.send()
    by_query.turns()
    assert by_query.states(one) == ["sent"]
    by_query.wait()
    assert by_query.states(one) == ["confirmed"]
    assert (f"confirm@{NAME}", "confirmed") in by_query.history(one)


def test_many_are_asked_about_at_once(by_query: Bench) -> None:
    several = [by_query.send() for _ in range(30)]
    by_query.wait()
    assert [by_query.states(one) for one in several] == [["confirmed"]] * 30
    assert len(by_query.archive.finds) == 1


def test_what_is_not_there_is_asked_again_and_then_sent_again(by_query: Bench) -> None:
    one = by_query.send(kept=False)
    by_query.wait()
    assert by_query.states(one) == ["sent"]
    assert by_query.shown(one)["error_code"] == "not-there"
    by_query.wait_long()
    assert by_query.states(one) == ["superseded", "queued"]
    assert len(by_query.archive.finds) == ASKED_MOST
    by_query.hand_over()
    by_query.wait_long()
    assert by_query.states(one) == ["superseded", "confirmed"]


def test_what_comes_late_is_confirmed_in_its_own_round(by_query: Bench) -> None:
    one = by_query.send(kept=False)
    by_query.wait()
    delivery = by_query.spool.counting.show(str(one))[0]["renditions"][0]
    assert delivery
    by_query.archive.has[by_query.uid(one)] = (b"", "")
    by_query.wait_long()
    assert by_query.states(one) == ["confirmed"]


def test_what_keeps_vanishing_is_held_for_a_person(by_query: Bench) -> None:
    one = by_query.send(kept=False)
    for _ in range(4 * ASKED_MOST):
        by_query.clock.pass_s(100_000)
        by_query.turns()
        while by_query.spool.delivering.next_due_s(NAME) is not None:
            by_query.hand_over(kept=False)
    assert by_query.states(one)[-1] == "held"
    assert by_query.shown(one)["error_code"] == "keeps-vanishing"
    assert by_query.states(one).count("superseded") == 3


def test_an_archive_that_refuses_queries_leaves_it_sent_and_is_told(by_query: Bench) -> None:
    by_query.archive.no_queries = True
    one = by_query.send()
    by_query.wait()
    assert by_query.states(one) == ["sent"]
    assert by_query.shown(one)["error_code"] == "queries-refused"
    row = by_query.spool.breakers.get(f"query@{NAME}")
    assert (row.state, row.error_code) == ("open", "queries-refused")


def test_an_archive_that_refuses_queries_is_asked_rarely_and_confirms_when_it_answers(
    by_query: Bench,
) -> None:
    by_query.archive.no_queries = True
    several = [by_query.send() for _ in range(3)]
    for _ in range(24 * 60):  # a day, looked at each minute
        by_query.wait(60)
    assert by_query.archive.refused < 40
    by_query.archive.no_queries = False
    by_query.wait(AGAIN_S[Way.QUERY])
    by_query.wait(AGAIN_S[Way.QUERY])
    assert [by_query.states(one) for one in several] == [["confirmed"]] * 3
    assert by_query.spool.breakers.get(f"query@{NAME}").state == "closed"


def test_an_archive_that_is_away_costs_no_check_and_is_asked_when_it_is_back(
    by_query: Bench,
) -> None:
    by_query.archive.fault = ArchiveAway("connection-refused", whole=True)
    one = by_query.send()
    for _ in range(3 * ASKED_MOST):
        by_query.wait(100)
    assert by_query.states(one) == ["sent"]
    assert by_query.spool.breakers.get(f"confirm@{NAME}").error_code == "connection-refused"
    by_query.archive.fault = None
    by_query.wait(100)
    assert by_query.states(one) == ["confirmed"]
    assert by_query.spool.breakers.get(f"confirm@{NAME}").state == "closed"


def test_one_question_that_ends_the_connection_stops_no_other(by_query: Bench) -> None:
    several = [by_query.send() for _ in range(5)]
    by_query.archive.poison = by_query.uid(several[2])
    by_query.wait()
    states = [by_query.states(one) for one in several]
    assert states == [["confirmed"]] * 2 + [["sent"]] + [["confirmed"]] * 2
    assert by_query.shown(several[2])["error_code"] == "aborted"


def test_an_answer_that_breaks_the_parser_concerns_that_question_alone(by_query: Bench) -> None:
    one = by_query.send()
    by_query.archive.fault = ZeroDivisionError("SECRET")
    by_query.wait()
    shown = by_query.shown(one)
    assert (shown["state"], shown["error_code"]) == ("sent", "unexpected")
    assert "SECRET" not in str(shown)


def test_other_bytes_under_the_same_uid_are_read_back_and_not_believed(by_query: Bench) -> None:
    uid = new_uid()
    by_query.send(uid)
    by_query.wait()
    second = by_query.send(uid, small(uid, SOP_CLASS, pixels=bytes(256)), kept=False)
    by_query.wait()
    assert by_query.states(second) == ["held"]
    assert by_query.shown(second)["error_code"] == "altered-there"


def test_other_bytes_under_the_same_uid_are_confirmed_when_it_is_they_that_are_kept(
    by_query: Bench,
) -> None:
    uid = new_uid()
    by_query.send(uid)
    by_query.wait()
    second = by_query.send(uid, small(uid, SOP_CLASS, pixels=bytes(256)))
    by_query.wait()
    assert by_query.states(second) == ["confirmed"]
    assert by_query.archive.fetched == [uid]


def test_other_bytes_under_the_same_uid_stay_sent_where_nothing_is_given_back(
    by_query: Bench,
) -> None:
    by_query.archive.no_retrieval = True
    uid = new_uid()
    by_query.send(uid)
    by_query.wait()
    second = by_query.send(uid, small(uid, SOP_CLASS, pixels=bytes(256)))
    by_query.wait()
    assert by_query.states(second) == ["sent"]
    assert by_query.shown(second)["error_code"] == "same-uid"


@pytest.mark.parametrize("code", DUPLICATE)
def test_what_was_there_before_we_tried_is_read_back(by_query: Bench, code: str) -> None:
    uid = new_uid()
    by_query.archive.has[uid] = (small(uid, SOP_CLASS, pixels=bytes(256)), EXPLICIT)
    one = by_query.send(uid, kept=False, warning=f"{code} it has it")
    by_query.wait()
    assert by_query.states(one) == ["held"]
    assert by_query.shown(one)["error_code"] == "altered-there"
    other = by_query.send(warning=f"{code} it has it")
    by_query.wait()
    assert by_query.states(other) == ["confirmed"]
    assert len(by_query.archive.fetched) == 2


def test_what_was_there_before_we_tried_stays_in_doubt_when_it_is_sent_again(
    by_query: Bench,
) -> None:
    warning = "status-0111 Duplicate SOP Instance"
    uid = new_uid()
    by_query.archive.has[uid] = (small(uid, SOP_CLASS, pixels=bytes(256)), EXPLICIT)
    one = by_query.send(uid, kept=False, warning=warning)
    by_query.spool.deciding.resend(one, "operator")
    by_query.hand_over(kept=False, warning=warning)
    by_query.wait()
    assert "confirmed" not in by_query.states(one)
    assert by_query.shown(one)["error_code"] == "altered-there"
    by_query.spool.deciding.cancel(one, "operator")
    by_query.spool.deciding.resend(one, "operator")
    by_query.hand_over()  # success: now it has ours
    fetched = len(by_query.archive.fetched)
    by_query.wait()
    assert by_query.states(one)[-1] == "confirmed"
    assert len(by_query.archive.fetched) == fetched


def test_what_is_there_from_our_own_earlier_try_is_asked_about_by_query(by_query: Bench) -> None:
    one = by_query.send(kept=False)
    by_query.wait_long()
    assert by_query.states(one) == ["superseded", "queued"]
    by_query.hand_over(warning="status-0111 Duplicate SOP Instance")
    by_query.wait_long()
    assert by_query.states(one) == ["superseded", "confirmed"]
    assert by_query.archive.fetched == []


def test_what_was_confirmed_stays_so_until_an_operator_sends_it_again(by_query: Bench) -> None:
    one = by_query.send()
    by_query.wait()
    by_query.archive.has.clear()
    by_query.wait_long()
    assert by_query.states(one) == ["confirmed"]
    by_query.spool.deciding.resend(one, "operator")
    by_query.hand_over(kept=False)
    by_query.wait_long()
    assert by_query.states(one) == ["confirmed", "superseded", "queued"]
    by_query.hand_over()
    by_query.wait_long()
    assert by_query.states(one) == ["confirmed", "superseded", "confirmed"]


def test_a_paused_destination_is_not_asked(by_query: Bench) -> None:
    one = by_query.send()
    by_query.spool.operating.pause(NAME, "operator")
    by_query.wait()
    assert by_query.states(one) == ["sent"]
    by_query.spool.operating.resume(NAME, "operator")
    by_query.wait()
    assert by_query.states(one) == ["confirmed"]


def test_a_clock_that_is_set_back_shuts_no_way_for_longer(by_query: Bench) -> None:
    by_query.known.shut(Way.QUERY, "queries-refused", "")
    by_query.clock.step_s(-10 * AGAIN_S[Way.QUERY])
    assert by_query.known.shut_s(Way.QUERY) == 0
