"""copy: `backup DIR` and `restore DIR`, all of the spool in a folder."""

from pathlib import Path
from typing import Any

from gateway import copying
from gateway.config.model import Settings
from gateway.language import _
from gateway.reasons import explain
from gateway.verbs.output import as_json, fault, shown
from gateway.verbs.progress import Progress
from spool.store import Spool
from spool.whole import Copied

EX_OK, EX_DATAERR, EX_CANTCREAT = 0, 65, 73


def backup(spool: Spool, target: Path, *, json: bool) -> int:
    """Write a whole backup; 0 when it is on the disk."""
    progress = Progress()
    try:
        copied = copying.back_up(spool, target, progress)
    except copying.CannotCopy as failed:
        return _failed(failed)
    finally:
        progress.end()
    text = _("Saved in {folder}: the database and {count} files.")
    return _say(copied, text.format(folder=target, count=copied.blobs), json=json)


def restore(settings: Settings, source: Path, *, json: bool) -> int:
    """Put a whole backup into the empty state folder; 0 when it is in force."""
    progress = Progress()
    try:
        copied = copying.restore(settings, source, progress)
    except copying.CannotCopy as failed:
        return _failed(failed)
    finally:
        progress.end()
    text = _("Restored to {folder}: the database and {count} files. Start the gateway.")
    folder = settings.gateway.state_dir
    return _say(copied, text.format(folder=folder, count=copied.blobs), json=json)


def _failed(failed: copying.CannotCopy) -> int:
    fault(failed.code, failed.detail)
    return EX_DATAERR if failed.code == "not-a-backup" else EX_CANTCREAT


def _say(copied: Copied, text: str, *, json: bool) -> int:
    if json:
        answer: dict[str, Any] = {"files": copied.blobs, "unsound": copied.unsound}
        as_json(answer)
        return EX_OK
    print(shown(text))
    for name in copied.unsound:
        print(shown(f"• {explain('blob-damaged', name=name)} [blob-damaged]"))
    return EX_OK
