"""Chaos: two archives on bad wires, and every process killed again and again.

Orthanc by C-STORE with storage commitment, Orthanc by STOW-RS with read back. On both wires what a
`FaultyWire` knows happens at random: away, cut, slow, silent, busy, refusals, wrong answers; the
archives lose what they have not been asked about yet; processes and whole gateways are killed.
In the end everything that was acknowledged is confirmed at both, is there as it was frozen, and its
history tells each attempt.

`./test` does it for three minutes, nightly for thirty.
"""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from tests.fakes.appliance import Gateway
from tests.fakes.confirming import destination, picture, web_destination
from tests.fakes.dcmtk import storescu
from tests.fakes.faulty_wire import DICOM, HTTP, Fault, FaultyWire
from tests.fakes.orthanc import DICOMWEB, Orthanc
from tests.fakes.running import Running, session

pytestmark = pytest.mark.timeout(3600)

LASTS = [
    pytest.param(180, id="three minutes"),
    pytest.param(1800, id="thirty minutes", marks=pytest.mark.nightly),
]
#: Of so many connections one meets a fault; and for so long an archive is away altogether.
FAULTY, AWAY_S = 0.4, 4.0
#: After the last fault everything has this long to come to its end.
SETTLE_S = 420.0
NAMES = ("central", "cloud")


@dataclass
class Weather:
    """What the wires do: faults at random, outages now and then, and in the end nothing."""

    random: random.Random
    faults: tuple[Fault, ...]
    calm: bool = False
    away_until: float = 0.0

    def mood(self) -> Fault:
        now = time.monotonic()
        if self.calm:
            return Fault.NONE
        if self.random.random() < 0.02:
            self.away_until = now + AWAY_S
        if now < self.away_until:
            return Fault.REFUSED
        return self.random.choice(self.faults) if self.random.random() < FAULTY else Fault.NONE


@dataclass
class Chaos:
    """The gateway, its archives, their wires, and what was promised."""

    gateway: Gateway
    archives: dict[str, Orthanc]
    wires: dict[str, FaultyWire]
    weather: list[Weather]
    random: random.Random
    storescu: str
    running: Running
    promised: dict[str, Path] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def send(self) -> None:
        """Store pictures until it is over; each that is acknowledged is a promise."""
        while not self.over.wait(self.random.uniform(0.2, 1.0)):
            path, uid = picture(self.gateway.folder / "pictures")
            while not self.over.is_set():
                with contextlib.suppress(Exception):  # it was killed: the modality tries again
                    said = storescu(self.storescu, self.gateway.port, [path], "-to", "3")
                    if said.acknowledged:
                        self.promised[uid] = path
                        break
                self.over.wait(0.5)

    def kill(self) -> None:
        """Kill one process, or all of them; a new gateway is started where none is left."""
        while not self.over.wait(self.random.uniform(3, 9)):
            living = session(self.running.pid)
            if self.running.is_over() or self.random.random() < 0.2 or not living:
                self.kills["all"] += 1
                self.running.kill()
                self.lose()
                self.running = self.gateway.start()
                continue
            victim = self.random.choice(sorted(living))
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                self.kills["the supervisor" if victim == self.running.pid else "a child"] += 1

    def lose(self) -> None:
        """Let an archive lose an image of which nobody has heard yet that it is there.

        Nothing of the gateway runs. What is `sent` to the archive that commits may be reported on
        already: what it loses after that, nobody can find out.
        """
        name = self.random.choice(NAMES)
        unsure = ("queued",) if name == "central" else ("queued", "sent")
        asked = self.gateway.deliveries(name)
        kept = self.archives[name].instances().keys()
        lost = sorted(uid for uid in kept if asked.get(uid, {}).get("state") in unsure)
        if lost:
            self.archives[name].delete(self.random.choice(lost))
            self.kills["an image"] += 1

    def restart(self) -> None:
        self.running.kill()
        self.running = self.gateway.start()

    def calm_down(self) -> None:
        """End the faults, and let what a fault left open end too."""
        for one in self.weather:
            one.calm = True
        for wire in self.wires.values():
            wire.hang_up()
        self.restart()

    def settle(self) -> None:
        """Return when everything promised is confirmed at both; a person retries what is held."""
        end = time.monotonic() + SETTLE_S
        while unsure := self.unsure():
            assert time.monotonic() < end, f"{unsure}\n" + "\n".join(self.running.lines[-40:])
            held = [str(one["id"]) for one in self.gateway.queue() if is_held(one)]
            if held:
                assert self.gateway.verb("queue", "retry", *held).returncode in (0, 65)
            self.running.news(len(self.running.lines), 2.0)

    def unsure(self) -> dict[str, dict[str, str]]:
        """Return what is promised and not confirmed everywhere: its last state, by destination."""
        last = {name: self.gateway.deliveries(name) for name in NAMES}
        found = {
            uid: {name: last[name].get(uid, {}).get("state", "nothing") for name in NAMES}
            for uid in self.promised
        }
        return {uid: one for uid, one in found.items() if set(one.values()) != {"confirmed"}}


def is_held(instance: dict[str, Any]) -> bool:
    last = {one["destination"]: one["state"] for one in instance["deliveries"]}
    return instance["state"] == "held" or "held" in last.values()


@pytest.fixture
def chaos(
    tmp_path: Path,
    program: Callable[[str], str],
    free_port: Callable[[], int],
    request: pytest.FixtureRequest,
) -> Iterator[Chaos]:
    if not Path(DICOMWEB).exists():
        pytest.skip("orthanc-dicomweb is missing")
    seed = int(os.environ.get("CHAOS_SEED", "6"))
    with ExitStack() as ending:
        port = free_port()
        archives = {}
        for name in NAMES:
            (tmp_path / name).mkdir()
            more: dict[str, object] = {
                f"DicomAlwaysAllow{verb}": True for verb in ("Find", "Get", "Move")
            }
            more |= {"DicomModalities": {"edge": ["EDGE", "127.0.0.1", port]}}
            more |= {"Plugins": [DICOMWEB], "OverwriteInstances": False}
            archives[name] = Orthanc(program("Orthanc"), tmp_path / name, free_port, more=more)
            ending.callback(archives[name].close)
        weather = [
            Weather(random.Random(seed + 1), DICOM),  # noqa: S311
            Weather(random.Random(seed + 2), HTTP),  # noqa: S311
        ]
        http_port = int(archives["cloud"].dicomweb.split(":")[2].partition("/")[0])
        wires = {
            "central": FaultyWire(archives["central"].port, weather[0].mood, seed),
            "cloud": FaultyWire(http_port, weather[1].mood, seed),
        }
        for wire in wires.values():
            ending.callback(wire.close)
        url = archives["cloud"].dicomweb.replace(str(http_port), str(wires["cloud"].port))
        patience = {"answer_s": 2, "confirm_within_s": 5, "association_idle_s": 0.1}
        (tmp_path / "pictures").mkdir()
        gateway = Gateway(
            tmp_path,
            listen=[{"kind": "dicom", "address": "127.0.0.1", "port": port}],
            destination=[
                destination(wires["central"].port, "commitment", **patience) | {"name": "central"},
                web_destination(url, "readback", **patience) | {"name": "cloud"},
            ],
        )
        ending.callback(gateway.close)
        yield Chaos(
            gateway,
            archives,
            wires,
            weather,
            random.Random(seed),  # noqa: S311
            program("storescu"),
            gateway.start(),
        )


@pytest.mark.parametrize("lasts_s", LASTS)
def test_everything_acknowledged_is_confirmed_at_both_as_it_was_frozen(
    chaos: Chaos, capsys: pytest.CaptureFixture[str], lasts_s: int
) -> None:
    threads = [threading.Thread(target=one) for one in (chaos.send, chaos.kill)]
    for one in threads:
        one.start()
    chaos.over.wait(lasts_s)
    chaos.over.set()
    for one in threads:
        one.join(60)
    chaos.calm_down()
    chaos.settle()
    with capsys.disabled():
        met = {name: sum(wire.met.values()) for name, wire in chaos.wires.items()}
        print(f"\nchaos: {len(chaos.promised)} images, connections {met}, kills {chaos.kills}")
    assert len(chaos.promised) >= lasts_s / 6
    for name, wire in chaos.wires.items():
        assert len(wire.met) >= 8, f"{name} met {wire.met}"
    kept = {name: one.instances() for name, one in chaos.archives.items()}
    told = histories(chaos.gateway)
    for instance in chaos.gateway.queue():
        there_as_frozen(chaos, instance, kept)
        history_explains(instance, told[instance["id"]])


def histories(gateway: Gateway) -> dict[int, list[tuple[str, str]]]:
    """Return (who, what) of each line, by instance."""
    found: dict[int, list[tuple[str, str]]] = defaultdict(list)
    with closing(sqlite3.connect(gateway.state_dir / "db" / "spool.db", timeout=20)) as db:
        for instance_id, who, what in db.execute("SELECT instance_id, who, what FROM history"):
            found[instance_id].append((who, what))
    return found


def there_as_frozen(
    chaos: Chaos, instance: dict[str, Any], kept: dict[str, dict[str, str]]
) -> None:
    """Assert that both archives give out the very data set that was frozen for them."""
    uid, renditions = (
        instance["sop_instance_uid"],
        {one["id"]: one for one in instance["renditions"]},
    )
    if instance["state"] == "merged":  # sent twice by the modality: the other one went
        return
    for name in NAMES:
        last = [one for one in instance["deliveries"] if one["destination"] == name][-1]
        sent = renditions[last["rendition_id"]]
        there = dcmread(chaos.archives[name].fetch(kept[name][uid]))
        assert there.file_meta.TransferSyntaxUID == sent["transfer_syntax_uid"]
        assert there == frozen(chaos.gateway, sent), f"{uid} at {name}"


def frozen(gateway: Gateway, rendition: dict[str, Any]) -> Dataset:
    raw = (gateway.state_dir / rendition["blob"]).read_bytes()
    return Dataset(dcmread(BytesIO(raw)))


def history_explains(instance: dict[str, Any], lines: list[tuple[str, str]]) -> None:
    """Assert that each end of each round has its line, and each attempt that did not end one.

    Of attempts that met the same again and again only the first has a line.
    """
    told = Counter(lines)
    for name in NAMES if instance["state"] != "merged" else ():
        rounds = [one for one in instance["deliveries"] if one["destination"] == name]
        forward, confirm = f"forward@{name}", f"confirm@{name}"
        ended = Counter(one["state"] for one in rounds)
        assert told[confirm, "confirmed"] == ended["confirmed"] == 1
        assert told[confirm, "missing"] == ended["superseded"]
        sent = told[forward, "sent"]
        assert sent == len(rounds)
        if sum(one["attempts"] for one in rounds) > sent:
            others = [what for who, what in lines if who == forward and what != "sent"]
            assert others or "retry" in {what for _, what in lines}, lines
