"""The manual is whole and true: every word of the program stands in it, and its commands run."""

import argparse
import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
COMMANDS = ["README.md", "README.zh_CN.md", "docs/quick-start.md", "docs/quick-start.zh_CN.md"]
PAGES = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("[a-z]*/README.md")]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """Return the fenced blocks of one language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page(name), re.M | re.S)


def verbs(parser: argparse.ArgumentParser, before: str = "gateway") -> Iterator[str]:
    """Give every verb that leads somewhere, with the verbs before it."""
    inner = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not inner:
        yield before
    for name, below in (pair for one in inner for pair in one.choices.items()):
        yield from verbs(below, f"{before} {name}")


def test_every_verb_stands_in_the_manual_and_no_other() -> None:
    from gateway.cli import parser

    documented = re.findall(r"^\| `(gateway [^`]+)` \|", page("docs/operating.md"), re.M)
    assert sorted(documented) == sorted(verbs(parser()))


@pytest.mark.parametrize(
    ("machine", "heading"), [("Instance", "instance"), ("Delivery", "delivery")]
)
def test_every_state_stands_in_the_manual_and_no_other(machine: str, heading: str) -> None:
    from spool import model

    section = page("docs/operating.md").split(f"({heading})\n")[1].split("\n## ")[0]
    section = section.split("\n### ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.M)
    assert sorted(documented) == sorted(getattr(model, f"{machine}State"))


def test_every_unit_stands_in_the_manual_and_no_other() -> None:
    documented = re.findall(r"^\| `(gateway[\w.-]*)` \|", page("docs/operating.md"), re.M)
    assert sorted(documented) == sorted(
        path.name for path in (ROOT / "systemd").glob("gateway*.*") if path.is_file()
    )


def test_every_reason_stands_in_the_manual_as_the_program_says_it() -> None:
    from gateway.reasons import REASONS

    wanted = {f"| `{code}` | {what} | {next_} |" for code, (what, next_) in REASONS.items()}
    documented = {row for row in page("docs/reasons.md").splitlines() if row.startswith("| `")}
    assert documented == wanted, "\n" + "\n".join(sorted(wanted - documented))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_and_page_that_the_manual_names_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / link).exists(), link
    named = r"`((?:gateway|queue|capture|systemd|tests|docs)/[\w./-]+\.\w+|\.?/?\.ci/[\w.]+)`"
    for name in re.findall(named, text):
        assert (ROOT / name).exists(), name


def test_the_walk_through_the_code_has_ten_steps() -> None:
    steps = re.findall(
        r"^(\d+)\. \*\*.*?(?=^\d+\. |^## )", page("docs/architecture.md"), re.M | re.S
    )
    assert [int(step) for step in steps] == list(range(1, 11))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_that_the_manual_starts_is_there(name: str) -> None:
    started = [line.split() for block in blocks(name, "sh") for line in block.splitlines()]
    for command, *_ in filter(None, started):
        if command.startswith("./"):
            assert os.access(ROOT / command, os.X_OK), command


@pytest.fixture
def archive(
    tmp_path: Path, program: Callable[[str], str], free_port: Callable[[], int]
) -> Iterator[tuple[int, Path]]:
    """Give the port of a running storescp, and the folder where it keeps what it gets."""
    folder, port = tmp_path / "archive", free_port()
    folder.mkdir()
    command = [program("storescp"), "--aetitle", "CENTRAL", "+xa", "-od", folder, str(port)]
    with running(*command, port=port):
        yield port, folder


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_of_the_manual_run(
    name: str,
    tmp_path: Path,
    archive: tuple[int, Path],
    free_port: Callable[[], int],
    sample: Callable[[str], Path],
) -> None:
    (archive_port, kept), port = archive, free_port()
    settings = tmp_path / "gateway.toml"
    settings.write_text(here(blocks(name, "toml")[0], tmp_path, archive_port, port))
    (tmp_path / "sample.dcm").write_bytes(sample("examples_rgb_color.dcm").read_bytes())
    commands = [line[2:] for block in blocks(name, "console") for line in block.splitlines()]
    environment = {**os.environ, "GATEWAY_CONFIG": str(settings), **shell(tmp_path)}
    with running(sys.executable, "-m", "gateway", "run", port=port, env=environment):
        for command in commands:
            typed = ["bash", "-c", command]
            done = subprocess.run(
                typed, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        if "gateway import sample.dcm" in commands:
            wait_for(lambda: any(kept.iterdir()))


def here(settings: str, folder: Path, archive_port: int, own_port: int) -> str:
    """Return the settings of the manual, on this machine: other ports, another folder."""
    for theirs, ours in {
        "pacs.example.org": "127.0.0.1",
        "port = 11112\n": f"port = {archive_port}\n",
        "[gateway]\n": f'[gateway]\nstate_dir = "{folder / "state"}"\n',
    }.items():
        assert theirs in settings
        settings = settings.replace(theirs, ours)
    return f'{settings}\n[[listen]]\naddress = "127.0.0.1"\nport = {own_port}\n'


def shell(folder: Path) -> dict[str, str]:
    """Return the environment in which `gateway` is the one of this checkout."""
    command = folder / "bin/gateway"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'queue'}",
        "TCP_NODELAY": "1",
    }


@contextlib.contextmanager
def running(*command: str | Path, port: int, env: dict[str, str] | None = None) -> Iterator[None]:
    """Keep a server running that listens on `port` of 127.0.0.1."""
    with subprocess.Popen(command, env=env) as server:
        try:
            wait_for(lambda: server.poll() is not None or listens(port))
            assert server.poll() is None, command
            yield
        finally:
            server.terminate()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_for(holds: Callable[[], bool]) -> None:
    """Return once `holds` does; nobody tells when another program is that far."""
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "waited for half a minute"
        time.sleep(0.05)
