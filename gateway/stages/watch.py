"""watch: the folder door, a file -> received.

Takes      files that appear in a `[[watch]]` folder, also by rename and on network shares
Gives      an instance in `received`; then the file moves to `taken/`
Defers     a file that still changes, or whose data set does not end yet; no room on the disk
Holds      nothing; what is no DICOM object moves to `refused/`, its reason beside it
Repeats    a file taken before a crash and not moved is taken again, and prepare merges it; one
           that cannot be moved is taken once a start
Logs       watching, taken, refused, deferred

watchdog tells of changes (inotify, or polling where inotify is silent); a sweep of the folder at
the start and from time to time finds what no event told.
"""

import os
import re
import secrets
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserverVFS

from gateway import logs
from gateway.config.model import Settings, Watch
from gateway.filing import Refused, file_in, is_whole
from gateway.reasons import explain
from spool.errors import SpoolFull
from spool.store import Spool

WHO = "watch"
TAKEN, REFUSED = "taken", "refused"
#: How mountinfo writes a space, a tab, a newline and a backslash.
_OCTAL = re.compile(r"\\(040|011|012|134)")
SWEEP_S, DEFER_S = 30.0, 5.0

#: A copy that goes on tells of every write: so long the news gather before the next look.
GATHER_S = 0.1

#: File systems on which another host's changes wake nobody here (man 7 inotify, "Limitations").
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "afs", "ncpfs"}


def is_remote(path: Path, mountinfo: str) -> bool:
    """Tell whether `path` lies on a network share, or on FUSE, which may be one.

    `mountinfo` is the text of /proc/self/mountinfo (man 5 proc).
    """
    kind = _file_system_of(path, mountinfo)
    return kind in REMOTE or kind.startswith("fuse")


@dataclass(slots=True)
class Seen:
    """What was seen of one file."""

    mark: tuple[int, int]  #: bytes and modification time; another mark, and it has changed
    since_s: float  #: monotonic: unchanged since then
    instance_id: int = 0  #: durable as this instance already, and only to be moved
    told: bool = False  #: the log has that it cannot be read or moved


class WatchFolder:
    """One folder. `turn` looks at what changed; events only make it look earlier."""

    def __init__(self, watch: Watch, spool: Spool) -> None:
        self._watch, self._spool = watch, spool
        self.name = f"{WHO}@{watch.name}"
        self._seen: dict[Path, Seen] = {}
        self._stopping, self._news = threading.Event(), threading.Event()

    def run(self) -> None:
        for folder in (self._watch.path, self._folder(TAKEN), self._folder(REFUSED)):
            folder.mkdir(parents=True, exist_ok=True)
        observer = self._observer()
        observer.start()
        try:
            while not self._stopping.is_set():
                self._news.clear()
                wait_s = self.turn()
                self._news.wait(wait_s)
                self._stopping.wait(GATHER_S)
        finally:
            observer.stop()
            observer.join()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()

    def kill(self) -> None:
        self.stop()

    def turn(self) -> float:
        """Take every file that is complete; return the seconds until the next look."""
        now = time.monotonic()
        found = {path: seen for path in self._files() if (seen := self._look(path, now))}
        self._seen = found
        for path, seen in list(found.items()):
            still_s = now - seen.since_s
            if still_s < self._watch.settle_s or self._stopping.is_set():
                continue
            if not self._is_room(path, seen, patience_over=still_s >= self._watch.give_up_s):
                return DEFER_S
        return max(self._watch.settle_s / 2, 0.05) if self._seen else SWEEP_S

    def _is_room(self, path: Path, seen: Seen, *, patience_over: bool) -> bool:
        """Take the file, or leave it where it is; False where the next would meet the same."""
        try:
            self._consider(path, seen, patience_over=patience_over)
        except (SpoolFull, sqlite3.Error) as fault:
            self._defer(fault)
            return False
        except (OSError, EOFError) as fault:
            if not seen.told:
                self._defer(fault)
            seen.told = True
        return True

    def _defer(self, fault: Exception) -> None:
        """Say that a file stays where it is, to be tried again."""
        logs.warning(WHO, "deferred", door=self._door(), detail=type(fault).__name__)

    def _look(self, path: Path, now: float) -> Seen | None:
        """Return what is known of the file; None for one that is gone, a pipe or a device."""
        try:
            facts = path.stat()
        except OSError:
            return None
        if not stat.S_ISREG(facts.st_mode):
            return None
        mark = (facts.st_size, facts.st_mtime_ns)
        known = self._seen.get(path)
        return known if known and known.mark == mark else Seen(mark, now)

    def _consider(self, path: Path, seen: Seen, *, patience_over: bool) -> None:
        if not is_whole(path):
            if patience_over:
                self._refuse(path, "incomplete")
            return
        try:
            self._take(path, seen)
        except Refused as fault:
            self._refuse(path, fault.code, fault.detail)

    def _take(self, path: Path, seen: Seen) -> None:
        if not seen.instance_id:
            filed = file_in(self._spool, path, self._door())
            seen.instance_id = filed.instance_id
            self._spool.ring("prepare")
            logs.info(
                WHO,
                "taken",
                instance=filed.instance_id,
                uid=filed.sop_instance_uid,
                door=self._door(),
                bytes=filed.dataset_bytes,
            )
        if self._look(path, time.monotonic()) is seen:  # what changed meanwhile is taken again
            self._move(path, TAKEN)

    def _refuse(self, path: Path, code: str, detail: str = "") -> None:
        moved = self._move(path, REFUSED)
        reason = moved.with_name(f"{moved.name}.reason.txt")
        reason.write_text(f"{code}\n{explain(code)}\n{detail}".rstrip() + "\n", encoding="utf-8")
        # A file's name may be the patient's: it stays out of the log.
        logs.error(WHO, "refused", door=self._door(), code=code)

    def _move(self, path: Path, where: str) -> Path:
        target = self._folder(where) / path.relative_to(self._watch.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
        path.rename(target)
        self._seen.pop(path, None)
        return target

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._watch.path):
            if Path(folder) == self._watch.path:
                folders[:] = [one for one in folders if one not in (TAKEN, REFUSED)]
            # Hidden and temporary names are those of a copy that is not over (rsync, SMB clients).
            usual = (one for one in names if not one.startswith((".", "~")))
            yield from (Path(folder) / one for one in usual if not one.endswith((".part", ".tmp")))

    def _folder(self, name: str) -> Path:
        return self._watch.path / name

    def _door(self) -> str:
        return f"folder:{self._watch.name}"

    def _observer(self) -> BaseObserver:
        mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        polls = self._watch.polling == "always" or (
            self._watch.polling == "auto" and is_remote(self._watch.path, mountinfo)
        )
        observer: BaseObserver = self._polling() if polls else Observer()
        observer.schedule(_Ring(self._news), str(self._watch.path), recursive=True)
        logs.info(WHO, "watching", door=self._door(), polling=polls)
        return observer

    def _polling(self) -> BaseObserver:
        """Return an observer that does not ask the share for all that was ever taken."""

        def listed(folder: str | None) -> Iterator[os.DirEntry[str]]:
            own = (TAKEN, REFUSED) if folder == str(self._watch.path) else ()
            with os.scandir(folder) as entries:
                yield from (one for one in entries if one.name not in own)

        return PollingObserverVFS(stat=os.stat, listdir=listed, polling_interval=1)


class _Ring(FileSystemEventHandler):
    """Any event is only a reason to look."""

    def __init__(self, news: threading.Event) -> None:
        self._news = news

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in ("opened", "closed_no_write"):
            self._news.set()


def parts(settings: Settings, spool: Spool) -> list[WatchFolder]:
    """Return one part per watched folder."""
    return [WatchFolder(one, spool) for one in settings.watch]


def _file_system_of(path: Path, mountinfo: str) -> str:
    """Return the type of the file system that holds `path`; of two at one place, the upper."""
    kind, longest = "", -1
    whole = path.resolve()
    for line in mountinfo.splitlines():
        mount = Path(_OCTAL.sub(lambda code: chr(int(code[1], 8)), line.split()[4]))
        if whole.is_relative_to(mount) and len(mount.parts) >= longest:
            kind, longest = line.partition(" - ")[2].split()[0], len(mount.parts)
    return kind
