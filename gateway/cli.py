"""The command line: parse, build, one call, exit code from sysexits.h.

A verb that reads no DICOM answers within 400 ms: what is heavy is imported where it is called.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeAlias

from gateway import __version__, logs
from gateway.config.load import config_file, load
from gateway.config.model import Settings
from gateway.language import _, set_language
from gateway.start import start
from gateway.verbs import faults
from gateway.verbs.destination_parser import add_destination_verbs
from gateway.verbs.output import fault
from gateway.verbs.selection import add_filter, filter_of, unclear
from gateway.visit import visit
from spool.store import Spool

EX_OK, EX_USAGE, EX_SOFTWARE = 0, 64, 70

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    set_language(None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    options = parser().parse_args(arguments)
    try:
        verb: Verb = options.verb
        return verb(options)
    except BrokenPipeError:
        sys.stderr.close()  # nobody reads: there is nobody to tell
        return EX_OK
    except faults.KNOWN as error:
        return faults.tell(error)


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
    _add_destination(verbs)
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
    bench.add_argument("what", choices=("ingest", "codec", "through", "memory", "all"))
    bench.add_argument("--rounds", type=_positive, default=3, help=_("interleaved runs of each"))
    bench.add_argument("--objects", type=_positive, default=200, help=_("images sent in a run"))
    bench.add_argument("--dir", type=_folder, help=_("folder on the disk to measure"))
    _json_option(bench)


def _add_looking(verbs: Verbs) -> None:
    check = _verb(verbs, "check", _check, _("Check the configuration and this box."))
    check.add_argument("--spool", action="store_true", help=_("read and compare every file"))
    check.add_argument("--seen", action="store_true", help=_("do not show again what happened"))
    _json_option(check)
    _json_option(_verb(verbs, "status", _status, _("Show how the gateway is.")))
    echo = _verb(verbs, "echo", _echo, _("Ask a destination whether it is there."))
    echo.add_argument("destination")
    _json_option(echo)
    routes = verbs.add_parser("route", help=_("Ask where an image would go."))
    test = _verb(
        routes.add_subparsers(metavar="VERB", required=True),
        "test",
        _route_test,
        _("Say where a file would go, and why."),
    )
    test.add_argument("file", type=Path, metavar="FILE")
    test.add_argument("--from", dest="door", default="import", help=_("its door, as ae:US1"))
    test.add_argument("--address", default="", help=_("the IP address that would send it"))
    _json_option(test)
    files = _verb(verbs, "import", _import, _("Take in files and folders."))
    files.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    _json_option(files)
    backup = _verb(verbs, "backup", _backup, _("Copy database and files to a new folder."))
    backup.add_argument("folder", type=Path, metavar="DIR")
    _json_option(backup)
    restore = _verb(verbs, "restore", _restore, _("Put a backup into an empty state folder."))
    restore.add_argument("folder", type=Path, metavar="DIR")
    _json_option(restore)
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
    add_filter(lists)
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
        ("cancel", _("Do not send what was not sent yet.")),
        ("withdraw", _("Take an instance back, into the trash.")),
        ("bring-back", _("Bring an instance back out of the trash.")),
        ("resend", _("Send again what was sent.")),
    ):
        one = _verb(nouns, name, _queue_decide, text)
        one.set_defaults(name=name)
        one.add_argument("keys", nargs="*", metavar="ID|UID")
        add_filter(one)
        one.add_argument("--all", action="store_true", help=_("without any filter"))
        one.add_argument("--dry-run", action="store_true", help=_("only say which it would meet"))
        _json_option(one)


def _add_destination(verbs: Verbs) -> None:
    nouns = verbs.add_parser("destination", help=_("See and steer the archives.")).add_subparsers(
        metavar="VERB", required=True
    )

    def add(name: str, text: str) -> argparse.ArgumentParser:
        one = _verb(nouns, name, _destination, text)
        one.set_defaults(name=name)
        _json_option(one)
        return one

    add_destination_verbs(add)


def _verb(verbs: Verbs, name: str, verb: Verb, text: str) -> argparse.ArgumentParser:
    one: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    one.set_defaults(verb=verb)
    _config_option(one, default=argparse.SUPPRESS)
    return one


def _config_option(one: argparse.ArgumentParser, default: str | None) -> None:
    one.add_argument("--config", metavar="FILE", default=default, help=_("the configuration file"))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise ValueError(text)
    return folder


def _json_option(one: argparse.ArgumentParser) -> None:
    one.add_argument("--json", action="store_true", help=_("print JSON"))


def _settings(options: argparse.Namespace) -> Settings:
    settings = load(config_file(options.config))
    set_language(settings.gateway.language)
    logs.begin(settings.log.level)
    return settings


def _opened(options: argparse.Namespace) -> tuple[Settings, Spool]:
    settings = _settings(options)
    return settings, visit(settings)


def _run(options: argparse.Namespace) -> int:
    from gateway import run

    try:
        return run.run(_settings(options), options.names)
    except run.UnknownStage as unknown:
        return _wrong_usage("unknown-stage", str(unknown))


def _demo(options: argparse.Namespace) -> int:
    from gateway.demo import show

    return show.main(orthanc=options.orthanc, out=options.out, keep=options.keep)


def _bench(options: argparse.Namespace) -> int:
    from gateway.bench import report
    from gateway.verbs import output

    rounds, objects = options.rounds, options.objects
    try:
        found = report.measure(options.what, rounds=rounds, objects=objects, folder=options.dir)
    except report.BenchFailed as failed:
        print(_("A program did not do its part: {what}").format(what=failed), file=sys.stderr)
        return EX_SOFTWARE
    if options.json:
        output.as_json(found.as_data())
    else:
        found.show(output.table)
    return EX_OK


def _migrate(options: argparse.Namespace) -> int:
    with start(_settings(options)) as spool:
        spool.must_be_migrated()
    print(_("The database is sound and of this version."))
    return EX_OK


def _check(options: argparse.Namespace) -> int:
    from gateway.verbs.check import check

    return check(_settings(options), json=options.json, files=options.spool, seen=options.seen)


def _status(options: argparse.Namespace) -> int:
    from gateway.verbs.status import status

    return status(*_opened(options), json=options.json)


def _echo(options: argparse.Namespace) -> int:
    from gateway.verbs.echo import echo

    return echo(_settings(options), options.destination, json=options.json)


def _route_test(options: argparse.Namespace) -> int:
    from gateway.verbs.route import try_out

    how = {"door": options.door, "address": options.address, "json": options.json}
    return try_out(_settings(options), options.file, **how)


def _import(options: argparse.Namespace) -> int:
    from gateway.verbs.files import import_paths

    return import_paths(_opened(options)[1], options.paths, json=options.json)


def _backup(options: argparse.Namespace) -> int:
    from gateway.verbs.copy import backup

    return backup(_opened(options)[1], options.folder, json=options.json)


def _restore(options: argparse.Namespace) -> int:
    from gateway.verbs.copy import restore

    return restore(_settings(options), options.folder, json=options.json)


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

    wanted = filter_of(options, time.time())
    wanted = replace(wanted, most=options.most, after_id=options.after)
    return queue.list_items(_opened(options)[1], wanted, json=options.json)


def _queue_show(options: argparse.Namespace) -> int:
    from gateway.verbs import queue

    return queue.show_item(_opened(options)[1], options.key, json=options.json)


def _queue_decide(options: argparse.Namespace) -> int:
    from gateway.verbs import queue

    if problem := unclear(options):
        return _wrong_usage(problem)
    how = {"dry_run": options.dry_run, "json": options.json}
    settings, spool = _opened(options)
    if options.keys:
        keys, to = options.keys, options.destination
        return queue.decide_keys(settings, spool, options.name, keys, to, **how)
    return queue.decide_matching(spool, options.name, filter_of(options, time.time()), **how)


def _destination(options: argparse.Namespace) -> int:
    from gateway.verbs import destination

    return destination.run(*_opened(options), options)


def _wrong_usage(code: str, detail: str = "") -> int:
    fault(code, detail)
    return EX_USAGE
