"""renditions: any DICOM file, as if the spool had written it."""

import hashlib
from pathlib import Path

from gateway.dicom.part10 import read_file_meta
from spool.model import Blob, Rendition, Role


def rendition_of(path: Path) -> Rendition:
    """Return a rendition whose blob is the file itself."""
    meta = read_file_meta(path)
    digest = hashlib.sha256(path.read_bytes()[meta.dataset_offset :]).hexdigest()
    blob = Blob(path.name, path, meta.dataset_offset, meta.dataset_bytes, digest)
    return Rendition(
        Role.RECEIVED, meta.sop_instance_uid, meta.sop_class_uid, meta.transfer_syntax_uid, blob
    )


def data_set_of(one: Rendition) -> bytes:
    """Return the bytes that an archive must get."""
    return one.blob.path.read_bytes()[one.blob.dataset_offset :]
