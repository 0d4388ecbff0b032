"""The demo's result as one HTML page that needs no other file.

Takes      the outcome, and the sentences said on the way
Gives      one file with the thumbnails inside, in the language in force
Holds      nothing; whatever comes from a data set is escaped
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from pydicom import dcmread

from gateway.demo.compare import Evidence
from gateway.demo.pixels import thumbnail
from gateway.demo.screen import cells, headings
from gateway.demo.story import Outcome
from gateway.language import _

TEMPLATE = Path(__file__).with_name("page.html")


def write_page(
    path: Path, outcome: Outcome, said: Sequence[tuple[float, str]], verdict: Sequence[str]
) -> None:
    """Write the page to `path`; its folder is made."""
    filled = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        language=_("en"),  # the page's language tag (BCP 47): "zh-CN" in the Chinese catalogue
        title=escape(_("The gateway, shown")),
        state="good" if outcome.proved else "bad",
        verdict="".join(f"<p>{escape(sentence)}</p>" for sentence in verdict),
        happened=escape(_("What happened")),
        events="".join(_event(elapsed_s, sentence) for elapsed_s, sentence in said),
        objects=escape(_("What the archive holds")),
        headings="".join(f"<th>{escape(each)}</th>" for each in _all_headings()),
        rows="".join(map(_row, outcome.evidence)),
        footnote=escape(_footnote()),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(filled, encoding="utf-8")


def _footnote() -> str:
    return _(
        "The pictures are public samples that come with pydicom, some re-encoded without loss "
        "under a new SOP Instance UID. Pixels are compared decoded where the transfer syntax "
        "changed, coded where it did not; every other element is compared by value, except "
        "Photometric Interpretation, Planar Configuration, offset tables and group lengths."
    )


def _all_headings() -> list[str]:
    return [_("From the modality"), _("In the archive"), *headings()]


def _event(elapsed_s: float, sentence: str) -> str:
    return f"<li><time>{elapsed_s:.1f} s</time> {escape(sentence)}</li>\n"


def _row(each: Evidence) -> str:
    shown = "".join(f"<td>{_image(path)}</td>" for path in (each.picture.path, each.archived))
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells(each))
    return f'<tr class="{"good" if each.proved else "bad"}">{shown}{told}</tr>\n'


def _image(path: Path | None) -> str:
    address = thumbnail(dcmread(path)) if path else ""
    return f'<img alt="" src="{address}">' if address else "-"
