"""routes: to which destinations an instance goes.

Takes      the settings
Gives      the names of the destinations, in the order of the file
Holds      nothing yet: without routes, everything goes everywhere
"""

from gateway.config.model import Settings


def destinations(settings: Settings) -> tuple[str, ...]:
    """Return the destinations of every instance."""
    return tuple(one.name for one in settings.destination if one.kind == "dicom")
