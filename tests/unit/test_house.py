"""The house keeps its shape: floors, types, sizes, and nothing in it that belongs elsewhere."""

import ast
import configparser
import importlib.metadata
import os
import queue
import re
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("gateway", "capture", "queue")
BINARY = {".mo", ".png", ".dcm", ".ico", ".woff2", ".jpg", ".gz"}


def settings() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def rows(section: str, key: str) -> list[str]:
    """Return the values of a list in setup.cfg, one a line there."""
    return [row for row in settings()[section][key].split("\n") if row and not row.startswith("#")]


def files() -> list[Path]:
    """Return what a commit holds or would hold: tracked files, and new ones not ignored."""
    # A checkout that belongs to another user is refused without the setting (container in CI).
    git = ["git", "-c", f"safe.directory={ROOT}"]
    command = [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for path in files():
        if path.suffix not in BINARY:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def modules() -> list[Path]:
    return sorted(chain.from_iterable((ROOT / top).rglob("*.py") for top in SOURCES))


def tool(*arguments: str) -> None:
    """Run a checker from this environment; what it says is the failure."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "queue")])}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_standard_library_queue_is_not_hidden() -> None:
    assert Path(queue.__file__).parent == Path(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize("folder", ["queue", "systemd", "tests", "hw_tests", "image_build", "docs"])
def test_a_folder_that_is_no_package_holds_no_init(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert not list((ROOT / folder).glob("__init__.py"))


def test_ruff_finds_nothing() -> None:
    tool("-m", "ruff", "check", "--quiet", ".")


def test_the_code_is_formatted() -> None:
    tool("-m", "ruff", "format", "--check", "--quiet", ".")


def test_the_types_hold() -> None:
    tool("-m", "mypy")


def test_imports_run_down_only() -> None:
    tool("-c", "from importlinter.cli import lint_imports_command as run; run()")


def test_no_file_grows_past_500_lines() -> None:
    long = {name: count for name, text in texts() if (count := text.count("\n")) > 500}
    assert set(long) <= {"LICENSE", "gateway/locale/zh_CN/LC_MESSAGES/gateway.po"}, long


def test_functions_are_short() -> None:
    lengths = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lengths.append(body_lines(node))
    assert statistics.median(lengths) <= 8
    assert statistics.quantiles(lengths, n=10)[-1] <= 20


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines the statements of a function take, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def test_every_module_says_what_it_is_and_an_init_says_nothing_else() -> None:
    for path in modules():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        if path.name == "__init__.py" and path.parent != ROOT / "gateway":
            assert len(tree.body) == 1, path


def test_every_package_is_shipped() -> None:
    inits = [path.parent.relative_to(ROOT) for path in modules() if path.name == "__init__.py"]
    found = {".".join(path.parts).removeprefix("queue.") for path in inits}
    assert sorted(rows("options", "packages")) == sorted(found)


def test_every_catalogue_is_compiled() -> None:
    sources = list((ROOT / "gateway/locale").rglob("*.po"))
    assert sources
    for source in sources:
        assert source.with_suffix(".mo").is_file(), source


# Put together here, so that this file does not hold what it looks for.
REGISTRIES = [
    "py" + "pi.org",
    "python" + "hosted",
    "deb." + "debian.org",
    "registry." + "npmjs",
    "index" + "-url",
]
MACHINE = re.compile(r"(?<![\w.\-/>}*])/(?:home|root|work|workspace|Users|tmp|builds)/\w")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|Not" + r"ImplementedError)\b")


def test_no_file_names_a_registry_of_packages() -> None:
    found = [(name, word) for name, text in texts() for word in REGISTRIES if word in text]
    assert not found


@pytest.mark.parametrize("pattern", [MACHINE, UNFINISHED], ids=["machine", "unfinished"])
def test_no_file_names_a_folder_of_one_machine_or_promises_work(pattern: re.Pattern[str]) -> None:
    found = [(name, hit[0]) for name, text in texts() for hit in pattern.finditer(text)]
    assert not found


def test_every_dependency_is_explained() -> None:
    explained = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    wanted = rows("options", "install_requires") + rows("options.extras_require", "test")
    for name in (re.split("[<>=]", row)[0] for row in wanted):
        assert f"| {name} |" in explained, name
    for name in required():
        assert name.lower() in explained.lower(), f"{name} comes along unexplained"


def test_no_gpl_runs_inside_our_processes() -> None:
    for name in sorted(required()):
        meta = importlib.metadata.metadata(name)
        said = [meta.get("License-Expression", ""), meta.get("License", "")]
        said += [row for row in meta.get_all("Classifier", []) if row.startswith("License")]
        assert not re.search(r"GPL|General Public", " ".join(map(str, said))), name


def required() -> set[str]:
    """Return what the appliance runs on: its dependencies, and theirs that have no condition."""
    found: set[str] = set()
    waiting = rows("options", "install_requires")
    while waiting:
        name = re.split(r"[^\w.-]", waiting.pop())[0]
        if name not in found:
            found.add(name)
            waiting += [row for row in importlib.metadata.requires(name) or [] if ";" not in row]
    return found
