"""The embedded archive: a storage SCP that keeps every object as one file in a folder.

Takes      C-STORE of every storage SOP class in every transfer syntax it is offered
Gives      `000001.dcm`, `000002.dcm`, ... with the data set as it came; a repeat is a further file
Logs       on its standard output, one JSON object a line: `{"listening": port}`,
           then `{"stored": name, "sop_instance_uid": uid}` for each file

It is built on pynetdicom alone and shares no line with the gateway, which it bears witness about.
Run as `python -m gateway.demo.archive --port N --folder DIR`.
"""

import argparse
import itertools
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

SUCCESS = 0x0000


def main(argv: list[str] | None = None) -> int:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.archive")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args(argv)
    serve(given.port, given.folder)
    threading.Event().wait()
    return 0


def serve(port: int, folder: Path) -> None:
    """Listen on `port` of the loopback and keep what comes in `folder`."""
    entity = AE(ae_title="ARCHIVE")
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
    entity.add_supported_context(Verification)
    handlers: list[EventHandlerType] = [
        (evt.EVT_CONN_OPEN, without_delay),
        (evt.EVT_C_STORE, keeper(folder)),
    ]
    entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    tell(listening=port)


def keeper(folder: Path) -> Callable[[Event], int]:
    """Return the handler that writes each object into `folder` and answers success."""
    numbers = itertools.count(1)

    def keep(event: Event) -> int:
        name = f"{next(numbers):06}.dcm"
        part = folder / f"{name}.part"
        part.write_bytes(event.encoded_dataset())
        part.rename(folder / name)
        tell(stored=name, sop_instance_uid=event.file_meta.MediaStorageSOPInstanceUID)
        return SUCCESS

    return keep


def without_delay(event: Event) -> None:
    """Send every PDU at once: Nagle and delayed acknowledgements cost 40 ms an object."""
    transport = event.assoc.dul.socket
    if transport and transport.socket:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def tell(**facts: object) -> None:
    """Print `facts` as one JSON object on one line, at once."""
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
