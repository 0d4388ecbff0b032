"""stow_shapes: answers to a store request in the shapes in which archives send them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
JSON, XML = "application/dicom+json", "application/dicom+xml"
NATIVE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"


def element(vr: str, *values: object) -> dict[str, Any]:
    """Return an element of the DICOM JSON model."""
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def item(
    uid: str = "",
    *,
    sop_class: str = CT,
    failure: object = None,
    warning: object = None,
    comments: Iterable[str] = (),
) -> dict[str, Any]:
    """Return an item that names an object, with what is said of it."""
    made = {}
    if uid:
        made["00081150"] = element("UI", sop_class)
        made["00081155"] = element("UI", uid)
    if failure is not None:
        made["00081197"] = element("US", failure)
    if warning is not None:
        made["00081196"] = element("US", warning)
    said = [{"00000902": element("LO", one)} for one in comments]
    return made | ({"00741048": element("SQ", *said)} if said else {})


def report(
    stored: Sequence[Mapping[str, Any]] = (),
    failed: Sequence[Mapping[str, Any]] = (),
    others: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a Store Instances Response Module (PS3.18 annex I), empty sequences left out."""
    made: dict[str, Any] = {"00081190": element("UR", "http://archive.example/studies/1.2")}
    for tag, items in (("00081198", failed), ("00081199", stored), ("0008119A", others)):
        if items:
            made[tag] = element("SQ", *items)
    return made


def as_json(data_set: object) -> bytes:
    return json.dumps(data_set).encode()


def as_xml(data_set: Mapping[str, Any], *, head: str = "", end: str = "") -> bytes:
    """Return a data set in the native DICOM model (PS3.19 A.1)."""
    inside = "".join(map(_attribute, data_set, data_set.values()))
    text = f'<?xml version="1.0" encoding="UTF-8"?>{head}<NativeDicomModel xmlns="{NATIVE}">'
    return f"{text}{inside}</NativeDicomModel>{end}".encode()


def _attribute(tag: str, value: Mapping[str, Any]) -> str:
    inside = ""
    for nth, one in enumerate(value.get("Value", []), 1):
        if isinstance(one, Mapping):
            inside += f'<Item number="{nth}">{"".join(map(_attribute, one, one.values()))}</Item>'
        else:
            inside += f'<Value number="{nth}">{one}</Value>'
    return f'<DicomAttribute tag="{tag}" vr="{value["vr"]}">{inside}</DicomAttribute>'
