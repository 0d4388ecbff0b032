"""check: is the configuration right, and can this box do what it says? Changes nothing.

With --spool every file is read and compared; with --seen what happened is not shown again.
"""

import os
from collections.abc import Iterator
from typing import Any

from gateway import audit, operate
from gateway.config import secret_files
from gateway.config.model import Settings
from gateway.config.routing import doubtful
from gateway.config.unbuilt import not_built_yet
from gateway.doors import CannotListen, open_doors
from gateway.language import _
from gateway.outage import stranded
from gateway.reasons import explain
from gateway.start import CannotOpen
from gateway.verbs.output import as_json, shown
from gateway.verbs.person import who
from gateway.verbs.progress import Progress
from gateway.verbs.status import print_incidents
from gateway.visit import must_have_database, visit
from spool.lock import is_held
from spool.store import Spool, lock_path

EX_OK, EX_UNAVAILABLE = 0, 69


def check(settings: Settings, *, json: bool, files: bool, seen: bool) -> int:
    """Print what was found; 0 when nothing is in the way of running.

    Parameters
    ----------
    files
        Read every file and compare it.
    seen
        Do not show again what happened.
    """
    notices = [
        {"code": one.code, "key": one.key, "text": one.text}
        for one in (
            *not_built_yet(settings),
            *doubtful(settings),
            *secret_files.notices(settings),
        )
    ]
    faults = [*_state_folder(settings), *_database(settings), *_doors(settings)]
    known = operate.certificates_of(settings, None)
    spool: dict[str, Any] = {}
    if not faults and _has_spool(settings):
        spool = _spool(settings, files=files, seen=seen)
        faults += _spool_faults(spool)
        notices += _stranded(spool)
        known = spool.pop("certificates")
    faults += [_only(one, "code", "text") for one in known if _is_unusable(one)]
    notices += [
        _only(one, "code", "text") | {"key": one["place"]}
        for one in known
        if one["code"] and not _is_unusable(one)
    ]
    answer = {"file": str(settings.file), "faults": faults, "notices": notices, "spool": spool}
    if json:
        as_json(answer)
    else:
        _print(answer)
    return EX_UNAVAILABLE if faults else EX_OK


def _state_folder(settings: Settings) -> Iterator[dict[str, str]]:
    folder = settings.gateway.state_dir
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield _fault("state-folder", str(existing))


def _doors(settings: Settings) -> Iterator[dict[str, str]]:
    """Say which doors cannot be opened, unless it is we who hold them."""
    if _has_spool(settings) and _is_receiving(settings):
        return
    try:
        for door in open_doors(settings):
            door.close()
    except CannotListen as fault:
        yield _fault(fault.code, fault.place)


def _database(settings: Settings) -> Iterator[dict[str, str]]:
    try:
        must_have_database(settings.gateway.state_dir)
    except CannotOpen as fault:
        yield _fault(fault.code, fault.detail)


def _has_spool(settings: Settings) -> bool:
    """Tell whether there is one to look at: opening it would make it, for this user alone."""
    return (settings.gateway.state_dir / "db" / "spool.db").exists()


def _is_receiving(settings: Settings) -> bool:
    return is_held(lock_path(settings.gateway.state_dir, "receive"))


def _spool(settings: Settings, *, files: bool, seen: bool) -> dict[str, Any]:
    spool = visit(settings)
    try:
        found = _read_files(spool) if files else audit.quick(spool)
        found["incidents"] = operate.incidents(spool)
        found["stranded"] = stranded(settings, spool)
        found["certificates"] = operate.certificates_of(settings, spool.facts)
        if seen:
            spool.incidents.see(who())
        return found
    finally:
        spool.close()


def _is_unusable(certificate: dict[str, Any]) -> bool:
    """Tell whether it is in the way of running; what an archive has shown is not ours to judge."""
    return certificate["code"] == "tls-own-ended" or certificate["days_left"] is None


def _only(one: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: one[key] for key in keys}


def _read_files(spool: Spool) -> dict[str, Any]:
    progress = Progress()
    try:
        return audit.whole(spool, progress)
    finally:
        progress.end()


def _spool_faults(spool: dict[str, Any]) -> Iterator[dict[str, str]]:
    if spool["integrity"] != "ok":
        yield _fault("database-damaged", spool["integrity"])
    for one in spool.get("damaged", ()):
        code = "row-without-blob" if one["damage"] == "missing" else "blob-damaged"
        yield _fault(code, f"{one['instance']} {one['blob']}")


def _stranded(spool: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Name what waits for a destination that is not configured any more: it goes nowhere."""
    for name, left in spool["stranded"].items():
        counts = ", ".join(f"{state} {count}" for state, count in left.items())
        yield _fault("destination-removed", counts) | {"key": f'destination "{name}"'}


def _fault(code: str, detail: str) -> dict[str, str]:
    return {"code": code, "text": explain(code, detail=detail)}


def _print(answer: dict[str, Any]) -> None:
    print(_("{file} is a valid configuration.").format(file=answer["file"]))
    for one in answer["faults"]:
        print(shown(f"✗ {one['text']} [{one['code']}]"))
    for one in answer["notices"]:
        print(shown(f"• {one['key']}: {one['text']} [{one['code']}]"))
    for name in answer["spool"].get("blobs_without_row", ()):
        print(shown(f"• {explain('blob-without-row', name=name)} [blob-without-row]"))
    for name in answer["spool"].get("set_aside", ()):
        print(shown(f"• {explain('set-aside', name=name)} [set-aside]"))
    print_incidents(answer["spool"].get("incidents", []))
    if "files" in answer["spool"]:
        print(_("Read and compared: {files} files, {bytes} bytes.").format(**answer["spool"]))
    if not answer["faults"]:
        print(_("✓ Nothing is in the way of running."))
