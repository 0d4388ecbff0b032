"""kinds: from a destination in the configuration to the archive that speaks to it.

Takes      the settings, one destination, and the spool where there is one
Gives      its `Archive`
Holds      nothing

Each kind is imported where one of it is configured: a gateway that only speaks DICOM loads no HTTP.
"""

from gateway.config.model import Destination, Settings
from gateway.destinations.archive import Archive
from spool.store import Spool


def archive_of(settings: Settings, destination: Destination, spool: Spool | None) -> Archive:
    """Return the archive behind `destination`.

    Parameters
    ----------
    spool
        None: it is only asked whether it is there.
    """
    if destination.kind == "dicomweb":
        from gateway.destinations.dicomweb import DicomwebArchive

        return DicomwebArchive(settings, destination, spool.facts if spool else None)
    if destination.kind == "folder":
        from gateway.destinations.folder import FolderArchive

        return FolderArchive(destination)
    from gateway.destinations.dicom import DicomArchive

    return DicomArchive(destination, settings.gateway.ae_title, spool)
