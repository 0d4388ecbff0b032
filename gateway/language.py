"""The language a person reads: gettext over the catalogues in gateway/locale.

Takes      the language of the configuration, else LANGUAGE, LC_ALL, LC_MESSAGES, LANG
Gives      the translated sentence; the English one where there is no catalogue
Holds      one catalogue a process, chosen by `set_language` or on first use
"""

import gettext
import os
from collections.abc import Iterable
from pathlib import Path

LANGUAGES = ("en", "zh_CN")  #: what the configuration may name; English stands in the code
_FOLDER = Path(__file__).with_name("locale")
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")  # in this order: man 3 gettext
_chosen: list[gettext.NullTranslations] = []


def set_language(language: str | None) -> None:
    """Speak `language` from now on; None or "" follows the environment.

    A language that nobody translated is English.  Sentences fetched before stay as they are.
    """
    _chosen[:] = [_catalogue(language or _of_environment())]


def _(text: str) -> str:
    """Return `text` in the chosen language."""
    if not _chosen:
        set_language(None)
    return _chosen[0].gettext(text) if text else ""  # "" is the catalogue's own header


def N_(text: str) -> str:
    """Return `text` as it is, and mark it for the catalogue: a table translates it later."""
    return text


def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation("gateway", _FOLDER, [language], fallback=True)


def _of_environment() -> str:
    named = next(filter(None, map(os.environ.get, _VARIABLES)), "")
    return _first_spoken(named.split(":"))


def _first_spoken(wanted: Iterable[str]) -> str:
    """Return the first wanted language that we have; "zh", "zh-Hans" and the like are zh_CN."""
    spoken = {language[:2]: language for language in LANGUAGES}
    return next((spoken[name[:2].lower()] for name in wanted if name[:2].lower() in spoken), "en")
