"""stick_driver: what a guest does with sticks; run in it, with a folder of objects.

Takes      three drives with FAT32: two called WARD7, one called OTHER; objects from 01.dcm on
Gives      one line a step, `step NAME`; for each object that counts as sent, `sent NUMBER`
"""

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config.model import Destination
from gateway.destinations.archive import ArchiveAway, Sought
from gateway.destinations.folder import FolderArchive
from gateway.dicom.status import Verdict
from tests.fakes.renditions import rendition_of

STICK = Path("/run/stick")
OPTIONS = "uid=0,umask=077"


def say(text: str) -> None:
    print(text, flush=True)


def main(folder: Path) -> None:
    ones = [rendition_of(path) for path in sorted(folder.glob("*.dcm"))]
    usb = FolderArchive(Destination(name="usb", kind="folder", path=STICK, volume="WARD7"))
    STICK.mkdir()
    missing(usb, ones)
    mount("vda")
    first(usb, ones[:4])
    pulled(usb, ones[4:12], kept=ones[:4])
    next_stick(usb, ones[4:12], kept=ones[:4])
    back_again(usb, ones)
    full(usb, ones[12:14], kept=ones[:12])
    locked(usb, ones[14:], kept=ones[:14])
    other(usb, ones[14:])
    say("step end")


def missing(usb: FolderArchive, ones: Sequence) -> None:
    assert away(usb, ones) == "medium-missing"
    say("step missing")


def first(usb: FolderArchive, ones: Sequence) -> None:
    usb.probe()
    send(usb, ones)
    assert found(usb, ones) == len(ones)
    huge = replace(ones[0], sop_instance_uid="1.2.9")
    huge = replace(huge, blob=replace(huge.blob, dataset_bytes=1 << 32))
    [answer] = usb.send([huge], tuple)
    assert answer.code == "medium-file-too-large", answer
    say("step first")


def pulled(usb: FolderArchive, ones: Sequence, kept: Sequence) -> None:
    """Pull the stick out while a batch is written."""
    known, fault = len(files()), list[ArchiveAway]()

    def work() -> None:
        with contextlib.suppress(ArchiveAway):
            try:
                usb.send(ones, tuple)
            except ArchiveAway as away_:
                fault.append(away_)

    thread = threading.Thread(target=work)
    thread.start()
    while len(files()) < known + 3:
        time.sleep(0.01)
    bind("vda", "unbind")
    thread.join(60)
    assert not thread.is_alive()
    # Linux tells by chance: an error of the device, a name that is gone, a file system it locked.
    gone = ("medium-failed", "medium-read-only", "medium-missing")
    assert len(fault) == 1 and fault[0].code in gone, fault
    for asked in (usb.probe, lambda: found(usb, kept)):
        code = code_of(asked)
        assert code in gone, code
    subprocess.run(["/bin/umount", "-l", str(STICK)], check=True)
    assert away(usb, ones) == "medium-missing"
    say("step pulled")


def next_stick(usb: FolderArchive, ones: Sequence, kept: Sequence) -> None:
    mount("vdb")
    assert found(usb, kept) == 0  # the truth about this stick
    send(usb, ones)
    assert found(usb, ones) == len(ones)
    umount()
    say("step next")


def back_again(usb: FolderArchive, ones: Sequence) -> None:
    DEVICES["vda"] = bind("vda", "bind")
    mount("vda")
    assert found(usb, ones[:4]) == 4
    send(usb, ones[4:12])
    assert found(usb, ones[:12]) == 12
    say("step again")


def full(usb: FolderArchive, ones: Sequence, kept: Sequence) -> None:
    with (STICK / "HOLIDAY.MP4").open("wb") as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(1 << 20))
    assert away(usb, ones) == "medium-full"
    assert found(usb, kept) == len(kept)
    (STICK / "HOLIDAY.MP4").unlink()
    usb.probe()
    send(usb, ones)
    say("step full")


def locked(usb: FolderArchive, ones: Sequence, kept: Sequence) -> None:
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(STICK)], check=True)
    assert away(usb, ones) == "medium-read-only"
    assert found(usb, kept) == len(kept)
    umount()
    say("step locked")


def other(usb: FolderArchive, ones: Sequence) -> None:
    mount("vdc")
    assert away(usb, ones) == "medium-other"
    assert not list(STICK.iterdir())
    umount()
    say("step other")


def send(usb: FolderArchive, ones: Sequence) -> None:
    answers = usb.send(ones, tuple)
    assert {one.verdict for one in answers} == {Verdict.SENT}, answers
    assert {one.text.partition(";")[0] for one in answers} == {"WARD7"}
    for one in ones:
        say(f"sent {int(one.blob.path.stem)}")


def found(usb: FolderArchive, ones: Sequence) -> int:
    return len(usb.find([Sought(one.sop_class_uid, one.sop_instance_uid, "", "") for one in ones]))


def away(usb: FolderArchive, ones: Sequence) -> str:
    codes = {code_of(lambda: usb.send(ones, tuple)), code_of(usb.probe)}
    assert len(codes) == 1, codes
    return codes.pop()


def code_of(work) -> str:
    try:
        work()
    except ArchiveAway as fault:
        return fault.code
    return ""


def files() -> list[Path]:
    try:
        return list(STICK.glob("DICOM/D*/I*"))
    except OSError:
        return []


DEVICES = {"vda": "vda", "vdb": "vdb", "vdc": "vdc"}  #: what each drive is called now


def mount(drive: str) -> None:
    command = ["/bin/mount", "-t", "vfat", "-o", OPTIONS, f"/dev/{DEVICES[drive]}", str(STICK)]
    subprocess.run(command, check=True)


def umount() -> None:
    subprocess.run(["/bin/umount", str(STICK)], check=True)


BEHIND = dict[str, str]()


def bind(drive: str, what: str) -> str:
    """Take a drive out of the machine, or put it back in; return what it is called now."""
    if what == "unbind":
        BEHIND[drive] = Path(f"/sys/block/{DEVICES[drive]}/device").resolve().name
    before = set(drives())
    Path(f"/sys/bus/virtio/drivers/virtio_blk/{what}").write_text(BEHIND[drive])
    return next(iter(set(drives()) - before), DEVICES[drive])


def drives() -> Iterator[str]:
    return (one.name for one in Path("/sys/block").glob("vd*"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
