"""callers: who may open an association to our port, under which title of ours, and for what.

Takes      the settings; titles and address of a caller
Gives      whether it may call, and whether it may store
Holds      nothing: without `[receive] callers = "listed"` everybody may

An archive that we ask to commit, or to move an object back, calls us. It is let in without a
`[[source]]` of its own, by its title alone, as it may call from another address than it is called
at; it may then report and give back what was asked for, and store nothing else.

References: PS3.8 9.3.2 (titles).
"""

from collections.abc import Sequence

from gateway.config.model import Settings, Source


def source_of(sources: Sequence[Source], calling_ae: str, address: str) -> Source | None:
    """Return the first `[[source]]` that this caller matches in all that it names."""
    return next(
        (
            one
            for one in sources
            if one.ae_title in (None, calling_ae) and one.address in (None, address)
        ),
        None,
    )


def may_call(settings: Settings, calling_ae: str, address: str) -> bool:
    """Tell whether an association may be opened."""
    return may_store(settings, calling_ae, address) or calling_ae in _archives(settings)


def may_store(settings: Settings, calling_ae: str, address: str) -> bool:
    """Tell whether what this caller sends is taken in."""
    is_open = settings.receive.callers != "listed"
    return is_open or source_of(settings.source, calling_ae, address) is not None


def our_titles(settings: Settings) -> set[str]:
    """Return the titles under which archives know us."""
    own = settings.gateway.ae_title
    return {own, *(one.calling_ae_title or own for one in settings.destination)}


def is_our_title(settings: Settings, called_ae: str) -> bool:
    """Tell whether an association for this title is ours."""
    return settings.receive.called_ae_title != "own" or called_ae in our_titles(settings)


def _archives(settings: Settings) -> set[str]:
    """Return the titles of archives that have reason to call us."""
    return {
        title
        for one in settings.destination
        if one.kind == "dicom" and one.confirm in ("commitment", "readback")
        for title in (one.ae_title, one.ask_ae_title)
        if title
    }
