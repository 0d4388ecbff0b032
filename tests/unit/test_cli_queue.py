"""The contract of `gateway queue`: what is listed, what is decided, who signs, how it exits."""

import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spool.clock import Clock
from spool.store import Spool
from tests.fakes.appliance import Gateway, archive
from tests.fakes.spools import (
    arrival,
    arrive,
    claimed,
    claimed_delivery,
    make_ready,
    opened,
    state_of,
)

EX_OK, EX_USAGE, EX_DATAERR = 0, 64, 65


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path, destination=[archive(11112, "central")])


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Return the spool of that gateway: 1 refused once, 2 held, 3 merged into 2, 4 sent."""
    found = opened(tmp_path, Clock())
    arrive(found, comes=arrival(uid="1.2.1"))
    make_ready(found)
    delivery = claimed_delivery(found)
    found.delivering.refuse(delivery, "status-A900", "Data Set does not match SOP Class", 900.0)
    arrive(found, comes=arrival(uid="1.2.2", door="ae:\x1b[31mRED\n"))
    found.preparing.hold(claimed(found), "structure", "byte 5")
    arrive(found, comes=arrival(uid="1.2.2"))
    found.preparing.merge(claimed(found), 2)
    arrive(found, comes=arrival(uid="1.2.4"))
    make_ready(found)
    found.delivering.sent(claimed_delivery(found), "status-B000 Warning")
    yield found
    found.close()


def listed(gateway: Gateway, *arguments: str) -> list[dict[str, Any]]:
    done = gateway.verb("queue", "list", "--json", *arguments)
    assert done.returncode == EX_OK, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["instances"]
    return found


@pytest.mark.usefixtures("spool")
def test_the_json_of_the_list_says_what_lies_where_and_why(gateway: Gateway) -> None:
    first, held, *_ = listed(gateway)
    (received,) = first["renditions"]
    assert (gateway.state_dir / received["blob"]).is_file()
    assert (received["role"], received["made_from"], received["proved"]) == ("received", None, True)
    (delivery,) = first["deliveries"]
    assert (delivery["state"], delivery["attempts"], delivery["refusals"]) == ("queued", 1, 1)
    assert delivery["error"]["code"] == "status-A900"
    assert "Data Set does not match SOP Class" in delivery["error"]["text"]
    assert 0 < delivery["next_try_s"] <= 900
    assert held["reason"]["code"] == "structure"
    assert held["received_at"].endswith("Z")


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], [1, 2, 3, 4]),
        (["--state", "held"], [2]),
        (["--state", "sent"], [4]),
        (["--destination", "central"], [1, 4]),
        (["--door", "ae:US1"], [1, 3, 4]),
        (["--most", "2", "--after", "1"], [2, 3]),
        (["--state", "no such state"], []),
    ],
)
@pytest.mark.usefixtures("spool")
def test_a_list_can_be_narrowed_and_paged(
    gateway: Gateway, arguments: list[str], ids: list[int]
) -> None:
    assert [one["id"] for one in listed(gateway, *arguments)] == ids


@pytest.mark.usefixtures("spool")
def test_what_a_peer_sent_colours_no_terminal(gateway: Gateway) -> None:
    for verb in (["list"], ["show", "2"]):
        done = gateway.verb("queue", *verb)
        assert done.returncode == EX_OK
        assert "\x1b" not in done.stdout
        assert "RED" in done.stdout


@pytest.mark.usefixtures("spool")
def test_one_item_is_shown_with_its_history(gateway: Gateway) -> None:
    done = gateway.verb("queue", "show", "4", "--json")
    (found,) = json.loads(done.stdout)["instances"]
    assert [line["what"] for line in found["history"]] == ["received", "ready", "sent"]
    (delivery,) = found["deliveries"]
    assert (delivery["state"], delivery["warning"]) == ("sent", "status-B000 Warning")
    assert delivery["sent_at"].endswith("Z")
    assert "sent" in gateway.verb("queue", "show", "4").stdout


@pytest.mark.parametrize("verb", ["show", "hold", "release", "retry"])
@pytest.mark.usefixtures("spool")
def test_an_item_that_nobody_knows_is_65_and_says_so(gateway: Gateway, verb: str) -> None:
    done = gateway.verb("queue", verb, "99")
    assert done.returncode == EX_DATAERR
    assert "[unknown-item]" in done.stderr


def test_what_is_held_is_released_and_signed_by_the_user_of_the_process(
    gateway: Gateway, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    done = gateway.verb("queue", "release", "2", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (EX_OK, {"release": [2]})
    assert state_of(spool, 2) == "received"
    (found,) = spool.counting.show("2")
    assert found["history"][-1]["who"] == f"person:{pwd.getpwuid(os.getuid()).pw_name}"


def test_a_uid_means_all_that_came_under_it_and_what_cannot_is_left(
    gateway: Gateway, spool: Spool
) -> None:
    done = gateway.verb("queue", "retry", "1.2.2", "--json")
    assert done.returncode == EX_OK, done.stderr
    assert 2 in json.loads(done.stdout)["retry"]
    assert state_of(spool, 2) == "received"


def test_what_can_be_done_is_done_and_the_rest_is_65(gateway: Gateway, spool: Spool) -> None:
    done = gateway.verb("queue", "hold", "99", "1", "4")
    assert done.returncode == EX_DATAERR
    assert "[unknown-item]" in done.stderr
    assert "[wrong-state]" in done.stderr
    (found,) = spool.counting.show("1")
    assert found["deliveries"][0]["state"] == "held"


def test_a_retry_is_due_at_once_and_rings(gateway: Gateway, spool: Spool) -> None:
    bell = spool.doorbell("forward@central")
    done = gateway.verb("queue", "retry", "1")
    assert done.returncode == EX_OK
    assert claimed_delivery(spool).instance_id == 1
    bell.close()


@pytest.mark.parametrize("arguments", [["queue"], ["queue", "list", "--most", "many"], ["nothing"]])
def test_wrong_usage_is_64(gateway: Gateway, arguments: list[str]) -> None:
    assert gateway.verb(*arguments).returncode == EX_USAGE
