"""A modality: sends Part 10 files by C-STORE, one after the other, on one association.

Takes      files, each sent exactly as it lies there, in its own transfer syntax
Logs       on its standard output, one JSON object a line and each with `sop_instance_uid`:
           `{"sending": true, ...}`, then `{"status": n, ...}`, or `{"status": null, ...}`
           where the connection ended without an answer; it stops there

Run as `python -m gateway.demo.modality --port N FILE...`.
"""

import argparse
from pathlib import Path

from pynetdicom import AE, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset
from pynetdicom.events import EventHandlerType

from gateway.demo.archive import tell, without_delay

NO_ASSOCIATION = 1
ANSWER_S = 60.0


def main(argv: list[str] | None = None) -> int:
    """Send every file of `argv`; return 0 when each was answered."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.modality")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("files", type=Path, nargs="+")
    given = parser.parse_args(argv)
    return send(given.files, given.port)


def send(files: list[Path], port: int) -> int:
    """Send `files` in order to the loopback's `port`."""
    # pynetdicom would otherwise decode and encode again: the bytes must go as they are.
    _config.STORE_SEND_CHUNKED_DATASET = True
    association = _associate(files, port)
    if not association.is_established:
        return NO_ASSOCIATION
    answered = all(_store(association, file, number) for number, file in enumerate(files, 1))
    association.release()
    return 0 if answered else NO_ASSOCIATION


def _associate(files: list[Path], port: int) -> Association:
    """Propose one presentation context per SOP class and transfer syntax (PS3.8 7.1.1.13)."""
    metas = [split_dataset(file)[0] for file in files]
    kinds = {(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) for meta in metas}
    entity = AE(ae_title="US1")
    entity.dimse_timeout = ANSWER_S
    handlers: list[EventHandlerType] = [(evt.EVT_CONN_OPEN, without_delay)]
    return entity.associate(
        "127.0.0.1",
        port,
        contexts=[build_context(sop_class, syntax) for sop_class, syntax in sorted(kinds)],
        ae_title="EDGE",
        evt_handlers=handlers,
    )


def _store(association: Association, file: Path, number: int) -> bool:
    uid = split_dataset(file)[0].MediaStorageSOPInstanceUID
    if not association.is_established:
        return False
    tell(sending=True, sop_instance_uid=uid)
    status = association.send_c_store(file, msg_id=number).get("Status")
    tell(status=status, sop_instance_uid=uid)
    return status is not None


if __name__ == "__main__":
    raise SystemExit(main())
