"""The contract of `gateway status`: its JSON, its words, and that it works while nothing runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import __version__
from gateway.confirm.known import Known, Way
from spool.breakers import Breaker
from spool.clock import Clock
from spool.store import Spool
from tests.fakes.appliance import Gateway, archive
from tests.fakes.spools import arrival, arrive, claimed, claimed_delivery, make_ready, opened

DESTINATIONS = [archive(11112, "central"), archive(11113, "cloud")]


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path, destination=DESTINATIONS)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Return the spool of that gateway: one ready, one held, one received."""
    found = opened(tmp_path, Clock())
    arrive(found, comes=arrival(uid="1.2.1"))
    make_ready(found, ["central", "removed"])
    arrive(found, comes=arrival(uid="1.2.2"))
    found.preparing.hold(claimed(found), "structure", "byte 5")
    arrive(found, comes=arrival(uid="1.2.3"))
    delivery = claimed_delivery(found)
    found.delivering.defer(delivery, "connection-refused", "Connection refused", 900.0)
    away = Breaker("open", 4, found.clock.utc() + 30, "connection-refused", "Connection refused")
    found.breakers.put("central", away)
    yield found
    found.close()


@pytest.mark.usefixtures("spool")
def test_the_json_of_status_keeps_its_contract(gateway: Gateway) -> None:
    found = gateway.status()
    assert found["instances"] == {
        "received": 1,
        "ready": 1,
        "retired": 0,
        "held": 1,
        "withdrawn": 0,
        "merged": 0,
    }
    nothing = {"queued": 0, "sent": 0, "confirmed": 0, "held": 0}
    assert nothing.items() <= found["deliveries"]["cloud"].items()
    assert (nothing | {"queued": 1}).items() <= found["deliveries"]["central"].items()
    assert found["disk"]["free_bytes"] > 0
    assert found["disk"]["level"] in {"ok", "warn", "trim", "refuse"}
    assert found["disk"]["hours_left"] > 0
    assert found["version"] == __version__
    central = found["destinations"]["central"]
    assert central["breaker"] == "open"
    assert central["last_error"]["code"] == "connection-refused"
    assert "nothing listens on the port" in central["last_error"]["text"]
    assert 0 < central["next_try_s"] <= 30
    cloud = found["destinations"]["cloud"]
    assert (cloud["breaker"], cloud["next_try_s"]) == ("closed", 0)
    assert cloud["last_error"] == {"code": "", "text": ""}


@pytest.mark.usefixtures("spool")
def test_a_destination_that_left_the_configuration_is_still_counted(gateway: Gateway) -> None:
    assert gateway.status()["deliveries"]["removed"]["queued"] == 1


@pytest.mark.usefixtures("spool")
def test_a_person_reads_what_is_wrong_and_what_to_do(gateway: Gateway) -> None:
    done = gateway.verb("status")
    assert done.returncode == 0
    assert "central" in done.stdout
    assert "nothing listens on the port" in done.stdout
    assert "[connection-refused]" in done.stdout


@pytest.mark.usefixtures("spool")
def test_what_a_removed_archive_leaves_behind_is_said_with_what_to_do(gateway: Gateway) -> None:
    assert gateway.status()["destinations"]["removed"]["configured"] is False
    assert "[destination-removed]" in gateway.verb("status").stdout
    (stranded,) = (one for one in gateway.check()["notices"] if "removed" in one["key"])
    assert stranded["code"] == "destination-removed"


def test_a_pause_and_a_stand_in_are_said(gateway: Gateway, spool: Spool) -> None:
    spool.operating.pause("cloud", "person:ann")
    spool.operating.stand_in("central", "cloud")
    found = gateway.status()["destinations"]
    assert (found["cloud"]["paused"], found["central"]["paused"]) == (True, False)
    assert (found["cloud"]["fallback"], found["central"]["fallback"]) == ("", "cloud")
    said = gateway.verb("status").stdout
    assert "paused" in said
    assert "cloud gets what waits for it" in said


def test_what_is_sent_and_not_confirmed_is_counted_with_what_stands_in_the_way(
    gateway: Gateway, spool: Spool
) -> None:
    arrive(spool, comes=arrival(uid="1.2.9"))
    while spool.counting.deliveries().get("cloud", {}).get("queued", 0) == 0:
        make_ready(spool, ["cloud"])
    spool.delivering.sent(claimed_delivery(spool, "cloud"))
    Known(spool, "cloud").shut(Way.QUERY, "queries-refused", "A900")
    waits = gateway.status()["destinations"]["cloud"]["unconfirmed"]
    assert (waits["count"], waits["oldest_s"] < 60) == (1, True)
    assert [one["code"] for one in waits["in_the_way"]] == ["queries-refused"]
    said = gateway.verb("status").stdout
    assert "1 sent and not confirmed yet" in said
    assert "[queries-refused]" in said


def test_it_works_before_the_first_start_and_while_nothing_runs(gateway: Gateway) -> None:
    found = gateway.status()
    assert sum(found["instances"].values()) == 0
    assert found["running"] == []
    assert found["disk"]["hours_left"] is None


def test_what_runs_is_said(gateway: Gateway, spool: Spool) -> None:
    lock = spool.lock("receive")
    assert gateway.status()["running"] == ["receive"]
    lock.release()


def test_words_follow_the_configuration_and_codes_do_not(tmp_path: Path, spool: Spool) -> None:
    own = {"name": "超声三室", "language": "zh_CN", "state_dir": str(spool.state_dir)}
    gateway = Gateway(tmp_path, gateway=own, destination=DESTINATIONS)
    found = gateway.status()
    error = found["destinations"]["central"]["last_error"]
    assert error["code"] == "connection-refused"
    assert "端口" in error["text"]
    assert "超声三室" in gateway.verb("status").stdout


def test_the_json_can_be_read_whatever_the_terminal_can_show(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    own = {"name": "超声三室", "state_dir": str(gateway.state_dir)}
    done = Gateway(gateway.folder, gateway=own).verb("status", "--json")
    assert json.loads(done.stdout)["name"] == "超声三室"
