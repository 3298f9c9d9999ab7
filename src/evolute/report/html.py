"""A template put into HTML: one file, with all that a model wrote escaped, and with nothing loaded or allowed to be."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from evolute.errors import MissingExtra
from evolute.report.palette import classes, variables
from evolute.text import printable

if TYPE_CHECKING:
    from jinja2 import Environment

CUT = 360
"""Characters of a long text that are shown before one asks for the rest."""
WHOLE = 6000
"""Characters at which even the rest is cut."""


def render(template: str, **values: object) -> str:
    """The page of a template.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    environment = _environment()
    style, script = variables() + classes() + _file("page.css"), _file("page.js")
    return environment.get_template(template).render(
        style=markup(style),
        script=markup(script),
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        cut=CUT,
        whole=WHOLE,
        **values,
    )


def markup(text: str) -> Any:  # noqa: ANN401 - markupsafe's own string
    """Text of ours that is HTML already."""
    from markupsafe import Markup

    return Markup(text)


def _environment() -> Environment:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise MissingExtra("the report", "report") from None

    def shown(value: object) -> object:
        """Every value on its way into the page: what would reorder or hide text is made visible, then it is escaped."""
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=PackageLoader("evolute.report", "templates"), autoescape=True, undefined=StrictUndefined,
        finalize=shown, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(number=number, percent=percent, money=money, duration=duration, word_count=_word_count)
    return environment


def _file(name: str) -> str:
    return (resources.files("evolute.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def number(value: float | None, digits: int = 0) -> str:
    """12,345 or, with digits, 12,345.6; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """A share in per cent, with a decimal below ten; a dash for None."""
    if value is None:
        return "–"
    return f"{value:.1%}" if 0 < value < 0.1 else f"{value:.0%}"


def money(value: float | None) -> str:
    """US dollars, with as many digits as a small sum needs."""
    if value is None:
        return "unknown"
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.3g}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def _word_count(text: str) -> int:
    return len(text.split())
