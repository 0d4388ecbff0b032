"""What a configuration asks for that this version does not do: `check` says it, nothing fails.

Takes      accepted Settings
Gives      one Notice a setting, in the order of the file
Holds      nothing; a stage that gets built takes its line out of here
"""

from collections.abc import Iterator

from gateway.config.model import Settings
from gateway.config.problems import Notice
from gateway.language import _


def not_built_yet(settings: Settings) -> list[Notice]:
    """Return what is configured but not built, each with what happens instead."""
    return [
        *_doors(settings),
        *_console(settings),
    ]


def _doors(settings: Settings) -> Iterator[Notice]:
    for nth, one in enumerate(settings.listen, 1):
        if one.kind == "hl7":
            text = _('kind = "{kind}" is not built yet: this door stays closed.')
            yield Notice("listen-not-built", f"listen[{nth}].kind", text.format(kind=one.kind))
    for nth, _camera in enumerate(settings.camera, 1):
        text = _("Cameras are not built yet: nothing is captured.")
        yield Notice("camera-not-built", f"camera[{nth}]", text)
    for nth, _trigger in enumerate(settings.trigger, 1):
        text = _("Triggers are not built yet: a press does nothing.")
        yield Notice("trigger-not-built", f"trigger[{nth}]", text)


def _console(settings: Settings) -> Iterator[Notice]:
    if "console" in settings.given:
        text = _("The web console is not built yet: nothing listens there.")
        yield Notice("console-not-built", "console", text)
