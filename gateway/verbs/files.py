"""files: `import PATH…`, objects from a disk into the spool, durable when the verb says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.filing import Filed, Refused, file_in
from gateway.language import _
from gateway.reasons import explain
from gateway.verbs.output import as_json, fault, shown
from spool.errors import SpoolFull
from spool.store import START, Spool

EX_OK, EX_DATAERR, EX_TEMPFAIL = 0, 65, 75


def import_paths(spool: Spool, paths: list[Path], *, json: bool) -> int:
    """Take in every file at or below `paths`; print what was taken and what was not."""
    taken: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    code = EX_OK
    for path in _files(paths):
        try:
            filed = _file_in(spool, path)
        except Refused as reason:
            refused.append(_refused(path, reason.code))
        except SpoolFull:
            refused.append(_refused(path, "no-room"))
            code = EX_TEMPFAIL
            break
        except (OSError, EOFError):
            missing = "no-such-path" if not path.exists() else "unreadable-file"
            refused.append(_refused(path, missing))
        else:
            taken.append({"path": str(path), "instance": filed.instance_id})
    spool.ring("prepare")
    if json:
        as_json({"taken": taken, "refused": refused})
    else:
        _print(taken, refused)
    # The index of a medium is not missed: the images beside it are taken.
    lacking = [one for one in refused if one["code"] != "dicomdir"]
    return code or (EX_DATAERR if lacking else EX_OK)


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.is_file())
        else:
            yield path


def _file_in(spool: Spool, path: Path) -> Filed:
    """Take in one file while nobody starts: who starts gives owners to files without a row."""
    alone = spool.lock(START, waits=True, shared=True)
    try:
        return file_in(spool, path, "import")
    finally:
        alone.release()


def _refused(path: Path, code: str) -> dict[str, str]:
    return {"path": str(path), "code": code, "text": explain(code)}


def _print(taken: list[dict[str, Any]], refused: list[dict[str, str]]) -> None:
    for one in refused:
        fault(one["code"], shown(one["path"]))
    print(_("Saved: {taken}. Not taken: {refused}.").format(taken=len(taken), refused=len(refused)))
