"""The command line: parse, build, one call, exit code from sysexits.h.

A verb that reads no DICOM answers within 400 ms: what is heavy is imported where it is called.
"""

import argparse
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias

from gateway import __version__, logs
from gateway.config.load import config_file, load
from gateway.config.model import Settings
from gateway.config.problems import ConfigError
from gateway.language import _, set_language
from gateway.start import CannotOpen, open_spool, start
from spool.errors import FolderBusy
from spool.store import NotMigrated, Spool

EX_OK, EX_USAGE, EX_SOFTWARE, EX_OSERR, EX_TEMPFAIL, EX_CONFIG = 0, 64, 70, 71, 75, 78

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    set_language(None)
    options = parser().parse_args(arguments)
    try:
        verb: Verb = options.verb
        return verb(options)
    except CannotOpen as fault:
        return _fault(fault.code, fault.detail, EX_OSERR)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return EX_CONFIG
    except FolderBusy as busy:
        return _fault("state-folder-in-use", str(busy), EX_TEMPFAIL)
    except NotMigrated as missing:
        return _fault("not-migrated", str(missing), EX_TEMPFAIL)
    except sqlite3.DatabaseError as damaged:
        return _fault("database-damaged", str(damaged), EX_SOFTWARE)
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads: there is nobody to tell
        return EX_OK


class Parser(argparse.ArgumentParser):
    """Wrong usage is 64, EX_USAGE; argparse would say 2."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    top = Parser(prog="gateway", description=_("Edge gateway for medical imaging"))
    top.add_argument("--version", action="version", version=f"gateway {__version__}")
    _config_option(top, default=None)
    verbs = top.add_subparsers(metavar="VERB", required=True)
    _add_running(verbs)
    _add_looking(verbs)
    _add_queue(verbs)
    return top


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"


def _add_running(verbs: Verbs) -> None:
    run = _verb(verbs, "run", _run, _("Run the gateway, one process, or one stage."))
    run.add_argument("names", nargs="*", metavar="PROCESS|STAGE")
    demo = _verb(verbs, "demo", _demo, _("Show the main job with real pictures."))
    demo.add_argument("--orthanc", action="store_true", help=_("against a real Orthanc and DCMTK"))
    demo.add_argument("--out", type=Path, default=Path("demo-out"), help=_("folder for the page"))
    demo.add_argument("--keep", action="store_true", help=_("keep the working folder"))
    _verb(verbs, "migrate", _migrate, _("Bring the database to this version."))
    bench = _verb(verbs, "bench", _bench, _("Measure, beside a peer, in the same run."))
    bench.add_argument("what", choices=("ingest", "codec", "through", "memory"))
    bench.add_argument("--rounds", type=int, default=3, help=_("interleaved runs of each"))
    _json_option(bench)


def _add_looking(verbs: Verbs) -> None:
    _json_option(_verb(verbs, "check", _check, _("Check the configuration and this box.")))
    _json_option(_verb(verbs, "status", _status, _("Show how the gateway is.")))
    echo = _verb(verbs, "echo", _echo, _("Ask a destination whether it is there."))
    echo.add_argument("destination")
    _json_option(echo)
    files = _verb(verbs, "import", _import, _("Take in files and folders."))
    files.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    _json_option(files)
    config = verbs.add_parser("config", help=_("Show the settings.")).add_subparsers(
        metavar="VERB", required=True
    )
    show = _verb(config, "show", _config_show, _("Show every setting, defaults marked."))
    _json_option(show)


def _add_queue(verbs: Verbs) -> None:
    nouns = verbs.add_parser("queue", help=_("See and decide what waits.")).add_subparsers(
        metavar="VERB", required=True
    )
    lists = _verb(nouns, "list", _queue_list, _("List instances."))
    for name in ("state", "destination", "door", "study"):
        lists.add_argument(f"--{name}", default="")
    lists.add_argument("--most", type=int, default=1000, help=_("longest list"))
    lists.add_argument("--after", type=int, default=0, help=_("only ids above this one"))
    _json_option(lists)
    show = _verb(nouns, "show", _queue_show, _("Show one instance with its history."))
    show.add_argument("key", metavar="ID|UID")
    _json_option(show)
    for name, text in (
        ("hold", _("Keep an instance from going anywhere.")),
        ("release", _("Let what is held go on as it is.")),
        ("retry", _("Try again now.")),
    ):
        one = _verb(nouns, name, _queue_decide, text)
        one.set_defaults(what=name)
        one.add_argument("keys", nargs="+", metavar="ID|UID")
        one.add_argument("--destination", default="", help=_("only the delivery to this one"))
        _json_option(one)


def _verb(verbs: Verbs, name: str, verb: Verb, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    one.set_defaults(verb=verb)
    _config_option(one, default=argparse.SUPPRESS)
    return one


def _config_option(one: argparse.ArgumentParser, default: str | None) -> None:
    one.add_argument("--config", metavar="FILE", default=default, help=_("the configuration file"))


def _json_option(one: argparse.ArgumentParser) -> None:
    one.add_argument("--json", action="store_true", help=_("print JSON"))


def _settings(options: argparse.Namespace) -> Settings:
    settings = load(config_file(options.config))
    set_language(settings.gateway.language)
    logs.begin(settings.log.level)
    return settings


def _opened(options: argparse.Namespace) -> tuple[Settings, Spool]:
    settings = _settings(options)
    spool = open_spool(settings)
    spool.migrate()
    return settings, spool


def _run(options: argparse.Namespace) -> int:
    from gateway import run

    try:
        return run.run(_settings(options), options.names)
    except run.UnknownStage as unknown:
        return _fault("unknown-stage", str(unknown), EX_USAGE)


def _demo(options: argparse.Namespace) -> int:
    from gateway.demo import show

    return show.main(orthanc=options.orthanc, out=options.out, keep=options.keep)


def _bench(options: argparse.Namespace) -> int:
    from gateway.bench import report

    return report.main(options.what, rounds=options.rounds, json=options.json)


def _migrate(options: argparse.Namespace) -> int:
    with start(_settings(options)) as spool:
        spool.must_be_migrated()
    print(_("The database is sound and of this version."))
    return EX_OK


def _check(options: argparse.Namespace) -> int:
    from gateway.verbs.check import check

    return check(_settings(options), json=options.json)


def _status(options: argparse.Namespace) -> int:
    from gateway.verbs.status import status

    return status(*_opened(options), json=options.json)


def _echo(options: argparse.Namespace) -> int:
    from gateway.verbs.echo import echo

    return echo(_settings(options), options.destination, json=options.json)


def _import(options: argparse.Namespace) -> int:
    from gateway.verbs.files import import_paths

    return import_paths(_opened(options)[1], options.paths, json=options.json)


def _config_show(options: argparse.Namespace) -> int:
    from gateway.config.show import show, to_dict
    from gateway.verbs.output import as_json

    settings = _settings(options)
    if options.json:
        as_json(to_dict(settings))
    else:
        print(show(settings), end="")
    return EX_OK


def _queue_list(options: argparse.Namespace) -> int:
    from gateway.verbs import queue
    from spool.counting import Filter

    wanted = Filter(
        options.state,
        options.destination,
        options.door,
        options.study,
        options.most,
        options.after,
    )
    return queue.list_items(_opened(options)[1], wanted, json=options.json)


def _queue_show(options: argparse.Namespace) -> int:
    from gateway.verbs import queue

    return queue.show_item(_opened(options)[1], options.key, json=options.json)


def _queue_decide(options: argparse.Namespace) -> int:
    from gateway.verbs import queue

    spool = _opened(options)[1]
    return queue.decide(spool, options.what, options.keys, options.destination, json=options.json)


def _fault(code: str, detail: str, exit_code: int) -> int:
    from gateway.verbs.output import fault

    fault(code, detail)
    return exit_code
