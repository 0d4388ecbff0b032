"""An operator steers an archive as a whole: pause, offer, move, forget, failover, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fakes.appliance import Gateway, archive
from tests.fakes.dcmtk import Said, Storescp
from tests.fakes.objects import several
from tests.fakes.scripted_archive import ScriptedArchive

FILES = 3
EX_OK, EX_USAGE, EX_DATAERR = 0, 64, 65


def said(gateway: Gateway, *arguments: str) -> dict[str, Any]:
    """Return what a verb of `destination` printed as JSON."""
    done = gateway.verb("destination", *arguments, "--json")
    assert done.returncode == EX_OK, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def send(
    store: Callable[..., Said], gateway: Gateway, sample: Callable[[str], Path], folder: Path
) -> list[str]:
    """Send some objects as a modality does; return their UIDs."""
    known = {one["sop_instance_uid"] for one in gateway.queue()}
    files = several(sample("CT_small.dcm"), folder, FILES)
    assert store(gateway.port, files).acknowledged == tuple(files)
    return [
        one["sop_instance_uid"] for one in gateway.queue() if one["sop_instance_uid"] not in known
    ]


def test_a_paused_archive_gets_nothing_over_a_restart_until_it_is_resumed(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    paused, other = make_archive(), make_archive()
    gateway = make_gateway(destination=[archive(paused.port), archive(other.port, "other")])
    running = gateway.start()
    assert said(gateway, "pause", "archive") == {"destination": "archive", "done": "pause"}
    send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("forward@other sent", FILES)
    running.kill()
    running = gateway.start()
    send(store, gateway, sample, tmp_path / "later")
    running.wait_for("forward@other sent", FILES)
    status = gateway.status()["destinations"]["archive"]
    assert (status["paused"], status["breaker"]) == (True, "closed")
    assert "paused" in gateway.verb("status").stdout
    assert not paused.took
    said(gateway, "resume", "archive")
    running.wait_for("forward@archive sent", 2 * FILES)
    assert {one.sop_instance_uid for one in paused.took} == {
        one.sop_instance_uid for one in other.took
    }
    first = gateway.queue()[0]["id"]
    assert gateway.verb("destination", "pause", "nobody").returncode == EX_DATAERR
    assert first


def test_a_new_archive_is_offered_what_is_still_here_and_nothing_twice(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    old, new = make_archive(), make_archive()
    gateway = make_gateway(destination=[archive(old.port)])
    running = gateway.start()
    uids = send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("forward@archive sent", FILES)
    assert gateway.verb("queue", "withdraw", uids[0]).returncode == EX_OK
    running.ask_to_end()
    running.wait(30)
    gateway = make_gateway(destination=[archive(old.port), archive(new.port, "new")])
    running = gateway.start()
    would = said(gateway, "offer", "new", "--days", "30", "--dry-run")
    assert would == {"destination": "new", "offer": FILES - 1, "dry_run": True}
    assert gateway.status()["deliveries"]["new"]["queued"] == 0
    assert said(gateway, "offer", "new", "--days", "30")["offer"] == FILES - 1
    running.wait_for("forward@new sent", FILES - 1)
    assert {one.sop_instance_uid for one in new.took} == set(uids[1:])
    assert {one.data for one in new.took} <= {one.data for one in old.took}
    assert said(gateway, "offer", "new", "--days", "30")["offer"] == 0
    assert signed(gateway, uids[1], "offered")


def test_one_image_is_resent_to_an_archive_that_it_was_never_for(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    old, new = make_archive(), make_archive()
    gateway = make_gateway(destination=[archive(old.port)])
    running = gateway.start()
    uids = send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("forward@archive sent", FILES)
    running.ask_to_end()
    running.wait(30)
    gateway = make_gateway(destination=[archive(old.port), archive(new.port, "new")])
    running = gateway.start()
    done = gateway.verb("queue", "resend", uids[0], "--destination", "new")
    assert done.returncode == EX_OK, done.stderr
    running.wait_for("forward@new sent")
    assert [one.sop_instance_uid for one in new.took] == [uids[0]]
    assert gateway.verb("queue", "resend", uids[1], "--destination", "nobody").returncode == 65
    assert len(old.took) == FILES


def test_a_backlog_is_moved_and_goes_to_the_other_archive_alone(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    port, other = free_port(), make_archive()
    here = [archive(port), archive(other.port, "other", default=False)]
    gateway = make_gateway(destination=here, route=[{"to": ["archive"]}])
    running = gateway.start()
    uids = send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("prepare ready", FILES)
    running.wait_for("forward@archive away")
    assert said(gateway, "move", "archive", "other", "--dry-run")["move"] == FILES
    assert not other.took
    assert said(gateway, "move", "archive", "other")["move"] == FILES
    running.wait_for("forward@other sent", FILES)
    assert {one.sop_instance_uid for one in other.took} == set(uids)
    assert {one["state"] for one in gateway.deliveries().values()} == {"cancelled"}
    assert signed(gateway, uids[0], "moved")
    assert gateway.verb("destination", "move", "archive", "archive").returncode == EX_DATAERR
    assert gateway.verb("destination", "move", "archive", "nobody").returncode == EX_DATAERR


def test_an_archive_that_left_the_configuration_strands_nothing_silently(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    port, other = free_port(), make_archive()
    gateway = make_gateway(destination=[archive(port)])
    running = gateway.start()
    uids = send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("prepare ready", FILES)
    running.wait_for("forward@archive away")
    refused = gateway.verb("destination", "forget", "archive", "--cancel")
    assert (refused.returncode, "[still-configured]" in refused.stderr) == (EX_DATAERR, True)
    running.ask_to_end()
    running.wait(30)
    gateway = make_gateway(destination=[archive(other.port, "other")])
    running = gateway.start()
    running.wait_for(f"forward stranded destination=archive queued={FILES}")
    assert gateway.status()["destinations"]["archive"]["configured"] is False
    assert "[destination-removed]" in gateway.verb("status").stdout
    assert "destination-removed" in {one["code"] for one in gateway.check()["notices"]}
    assert gateway.verb("destination", "forget", "archive").returncode == EX_USAGE
    would = said(gateway, "forget", "archive", "--move-to", "other", "--dry-run")
    assert would["forget"] == FILES
    said(gateway, "forget", "archive", "--move-to", "other")
    running.wait_for("forward@other sent", FILES)
    assert {one.sop_instance_uid for one in other.took} == set(uids)
    assert gateway.status()["deliveries"]["archive"]["queued"] == 0
    assert "[destination-removed]" not in gateway.verb("status").stdout


def test_what_waits_for_a_removed_archive_can_be_given_up_there(
    make_gateway: Callable[..., Gateway],
    free_port: Callable[[], int],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    gateway = make_gateway(destination=[archive(free_port())])
    running = gateway.start()
    uids = send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("prepare ready", FILES)
    running.wait_for("forward@archive away")
    running.kill()
    gateway = make_gateway(destination=[])
    assert said(gateway, "forget", "archive", "--cancel")["forget"] == FILES
    assert {one["state"] for one in gateway.deliveries().values()} == {"cancelled"}
    assert signed(gateway, uids[0], "forgotten")


def test_another_archive_stands_in_and_the_first_gets_all_when_it_is_back(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    make_storescp: Callable[..., Storescp],
    free_port: Callable[[], int],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    port, second = free_port(), make_storescp()
    here = [
        archive(port, fallback="second", fallback_after_s=1),
        archive(second.port, "second"),
    ]
    gateway = make_gateway(destination=here, route=[{"to": ["archive"]}])
    running = gateway.start()
    uids = send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("forward@archive stands-in destination=second")
    running.wait_for("forward@second sent", FILES)
    assert gateway.status()["destinations"]["archive"]["fallback"] == "second"
    assert gateway.status()["deliveries"]["archive"]["queued"] == FILES
    back = make_archive(None, port)
    running.wait_for("forward@archive sent", FILES)
    running.wait_for("forward@archive stands-down destination=second")
    assert {one.sop_instance_uid for one in back.took} == set(uids)
    assert gateway.status()["destinations"]["archive"]["fallback"] == ""


def test_refusals_are_counted_by_code_with_an_example(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    peer = make_archive()
    peer.standing = 0xC000
    gateway = make_gateway(destination=[archive(peer.port)])
    running = gateway.start()
    send(store, gateway, sample, tmp_path / "sent")
    running.wait_for("forward@archive held", FILES)
    (one,) = said(gateway, "refusals", "archive")["refusals"]
    assert (one["code"], one["count"]) == ("status-C000", 3 * FILES)
    assert one["instance"] in {each["id"] for each in gateway.queue()}
    assert "status-C000" in gateway.verb("destination", "refusals", "archive").stdout


def test_several_associations_send_at_once_and_each_image_once(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    store: Callable[..., Said],
    sample: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    peer = make_archive()
    gateway = make_gateway(destination=[archive(peer.port, associations=3)])
    running = gateway.start()
    files = several(sample("CT_small.dcm"), tmp_path / "sent", 30)
    store(gateway.port, files)
    running.wait_for("forward@archive sent", 30)
    assert len({one.sop_instance_uid for one in peer.took}) == len(peer.took) == 30
    assert len({one.association for one in peer.took}) > 1
    running.ask_to_end()
    assert running.wait(30) == EX_OK


def test_each_kind_says_whether_it_can_be_reached(
    make_gateway: Callable[..., Gateway],
    make_archive: Callable[..., ScriptedArchive],
    free_port: Callable[[], int],
    tmp_path: Path,
) -> None:
    (tmp_path / "stick").mkdir()
    web = {"name": "web", "kind": "dicomweb", "url": f"http://127.0.0.1:{free_port()}/dicom-web"}
    stick = {"name": "stick", "kind": "folder", "path": str(tmp_path / "stick")}
    gone = stick | {"name": "gone", "path": str(tmp_path / "gone")}
    here = [archive(make_archive().port), archive(free_port(), "off"), web, stick, gone]
    gateway = make_gateway(destination=here)
    codes = {}
    for name in ("archive", "off", "web", "stick", "gone"):
        done = gateway.verb("echo", name, "--json")
        answer = json.loads(done.stdout)
        assert (done.returncode == EX_OK) is (answer["code"] == ""), done.stderr
        assert bool(answer["error"]["text"]) is bool(answer["code"])
        codes[name] = answer["code"]
    assert (codes["archive"], codes["stick"]) == ("", "")
    assert codes["off"] == codes["web"] == "connection-refused"
    assert codes["gone"]
    assert gateway.verb("echo", "nobody").returncode == EX_DATAERR


def test_the_list_says_where_each_archive_is_and_how(
    make_gateway: Callable[..., Gateway], free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    stick = {"name": "stick", "kind": "folder", "path": str(tmp_path / "stick")}
    gateway = make_gateway(destination=[archive(port), stick])
    first, second = said(gateway, "list")["destinations"]
    assert (first["name"], first["kind"]) == ("archive", "dicom")
    assert first["address"] == f"ARCHIVE@127.0.0.1:{port}"
    assert (second["kind"], second["address"]) == ("folder", str(tmp_path / "stick"))
    assert first["deliveries"]["queued"] == 0
    assert f"ARCHIVE@127.0.0.1:{port}" in gateway.verb("destination", "list").stdout


def signed(gateway: Gateway, uid: str, what: str) -> bool:
    """Tell whether a person's decision stands in the history of an image."""
    done = gateway.verb("queue", "show", uid, "--json")
    (found,) = json.loads(done.stdout)["instances"]
    lines = [line for line in found["history"] if line["who"].startswith("person:")]
    return any(what in f"{line['what']} {line['detail']}" for line in lines)
