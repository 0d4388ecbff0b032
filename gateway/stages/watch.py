"""watch: the folder door, a file -> received.

Takes      files that appear in a `[[watch]]` folder, also by rename and on network shares
Gives      an instance in `received`; then the file moves to `taken/`
Defers     a file that still changes, or whose data set does not end yet; no room on the disk
Holds      nothing; what is no DICOM object moves to `refused/`, its reason beside it
Repeats    a file taken before a crash and not moved is taken again, and prepare merges it
Logs       watching, taken, refused, deferred

watchdog tells of changes (inotify, or polling where inotify is silent); a sweep of the folder at
the start and from time to time finds what no event told.
"""

import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from gateway import logs
from gateway.config.model import Settings, Watch
from gateway.filing import Refused, file_in, is_whole
from gateway.reasons import explain
from spool.errors import SpoolFull
from spool.store import Spool

WHO = "watch"
TAKEN, REFUSED = "taken", "refused"
SWEEP_S = 30.0

#: File systems on which another host's changes wake nobody here (man 7 inotify, "Limitations").
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "afs", "ncpfs"}


def is_remote(path: Path) -> bool:
    """Tell whether `path` lies on a network share, or on FUSE, which may be one."""
    kind = _file_system_of(path)
    return kind in REMOTE or kind.startswith("fuse")


class WatchFolder:
    """One folder. `turn` looks at what changed; events only make it look earlier."""

    def __init__(self, watch: Watch, spool: Spool) -> None:
        self._watch, self._spool = watch, spool
        self.name = f"{WHO}@{watch.name}"
        self._seen: dict[Path, tuple[tuple[int, int], float, float]] = {}
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
        found = {path: self._since(path, now) for path in self._files()}
        self._seen = {path: seen for path, seen in self._seen.items() if path in found}
        for path, (changed_at, first_at) in found.items():
            if self._stopping.is_set():
                break
            if now - changed_at >= self._watch.settle_s:
                self._consider(path, patience_over=now - first_at >= self._watch.give_up_s)
        return max(self._watch.settle_s / 2, 0.05) if self._seen else SWEEP_S

    def _since(self, path: Path, now: float) -> tuple[float, float]:
        """Return when the file last changed, and when it had been still since."""
        try:
            facts = path.stat()
        except FileNotFoundError:
            return now, now
        mark = (facts.st_size, facts.st_mtime_ns)
        known = self._seen.get(path)
        if not known or known[0] != mark:
            self._seen[path] = (mark, now, now)
        return self._seen[path][1], self._seen[path][2]

    def _consider(self, path: Path, *, patience_over: bool) -> None:
        try:
            if not is_whole(path):
                if patience_over:
                    self._refuse(path, "incomplete")
                return
            self._take(path)
        except Refused as fault:
            self._refuse(path, fault.code, fault.detail)
        except (SpoolFull, OSError) as fault:
            # The file stays where it is: the next turn tries again.
            logs.warning(WHO, "deferred", door=self._door(), detail=type(fault).__name__)

    def _take(self, path: Path) -> None:
        filed = file_in(self._spool, path, self._door())
        self._spool.ring("prepare")
        self._move(path, TAKEN)
        logs.info(
            WHO,
            "taken",
            instance=filed.instance_id,
            uid=filed.sop_instance_uid,
            door=self._door(),
            bytes=filed.dataset_bytes,
        )

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
        polls = self._watch.polling == "always" or (
            self._watch.polling == "auto" and is_remote(self._watch.path)
        )
        observer: BaseObserver = PollingObserver(timeout=1) if polls else Observer()
        observer.schedule(_Ring(self._news), str(self._watch.path), recursive=True)
        logs.info(WHO, "watching", door=self._door(), polling=polls)
        return observer


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


def _file_system_of(path: Path) -> str:
    """Return the type of the file system that holds `path` (man 5 proc, mountinfo)."""
    kind, longest = "", -1
    whole = path.resolve()
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mount = Path(line.split()[4].replace("\\040", " "))
        if whole.is_relative_to(mount) and len(mount.parts) >= longest:
            kind, longest = line.partition(" - ")[2].split()[0], len(mount.parts)
    return kind
