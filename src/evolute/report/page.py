"""The page: the contents put into the templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evolute.report.contents import Contents, stage_of
from evolute.report.drawing import Drawing
from evolute.report.html import markup, render
from evolute.report.marks import PUBLISHED
from evolute.report.palette import round_role
from evolute.report.plots import marker_of


def page(contents: Contents, figures: Mapping[str, Drawing]) -> str:
    """The report as HTML: one file, complete without its script, and forbidden to load anything.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    return render(
        "page.html",
        c=contents,
        f=contents.facts,
        figures={name: markup(drawing.svg()) for name, drawing in figures.items()},
        published=PUBLISHED,
        symbol=_symbol,
        stage_of=stage_of,
    )


def _symbol(round_: int) -> Any:  # noqa: ANN401 - markupsafe's own string
    """The map's symbol of a round, for its legend."""
    drawing = Drawing("symbol", "", "", 14, 14)
    drawing.marker((7, 7), marker_of(round_), round_role(round_), size=4.5)
    return markup(drawing.svg().replace('role="img" aria-label=""', 'aria-hidden="true" class="symbol"'))
