"""confirming: destinations that are asked soon, and the wait for what becomes of a delivery."""

from pathlib import Path
from typing import Any

from tests.fakes.appliance import Gateway, archive
from tests.fakes.objects import new_uid, small
from tests.fakes.part10 import part10_file
from tests.fakes.running import Running
from tests.fakes.upper_layer import US_IMAGE

#: Large enough for the encoder.
SIDE = 48


def destination(port: int, confirm: str, **more: object) -> dict[str, object]:
    """Return the section of a DICOM destination that is asked soon."""
    return archive(port, confirm=confirm, confirm_after_s=0.2, **more)


def web_destination(url: str, confirm: str, **more: object) -> dict[str, object]:
    """Return the section of a DICOMweb destination that is asked soon."""
    section = destination(1, confirm, kind="dicomweb", url=url, **more)
    return {key: one for key, one in section.items() if key not in ("host", "port", "ae_title")}


def picture(folder: Path, uid: str = "", pixels: bytes = b"") -> tuple[Path, str]:
    """Return a new file with one image, and its SOP Instance UID."""
    uid = uid or new_uid()
    path = folder / f"{uid}-{len(list(folder.glob('*.dcm')))}.dcm"
    path.write_bytes(part10_file(US_IMAGE, uid, small(uid, side=SIDE, pixels=pixels)))
    return path, uid


def rounds(gateway: Gateway, uid: str, name: str = "archive") -> list[dict[str, Any]]:
    """Return every round of the deliveries of this UID there, the oldest first."""
    found = [
        one
        for instance in gateway.queue()
        if instance["sop_instance_uid"] == uid
        for one in instance["deliveries"]
        if one["destination"] == name
    ]
    return sorted(found, key=lambda one: one["id"])


def states(gateway: Gateway, uid: str, name: str = "archive") -> list[str]:
    return [one["state"] for one in rounds(gateway, uid, name)]


def wait_for_states(
    gateway: Gateway,
    running: Running,
    uid: str,
    wanted: list[str],
    *,
    name: str = "archive",
    within_s: float = 40,
) -> None:
    """Return once the rounds are in these states; they are asked for when the log has news."""
    known = -1
    while (found := states(gateway, uid, name)) != wanted:
        count = running.news(known, within_s)
        assert count > known, f"{found} instead of {wanted}\n" + "\n".join(running.lines[-30:])
        known = count


def history(gateway: Gateway, uid: str) -> list[dict[str, str]]:
    """Return the lines of the history of all instances of this UID."""
    shown = gateway._json("queue", "show", uid)
    return [line for one in shown["instances"] for line in one["history"]]


def told(gateway: Gateway, uid: str, what: str) -> list[str]:
    """Return the details of these lines."""
    return [line["detail"] for line in history(gateway, uid) if line["what"] == what]
