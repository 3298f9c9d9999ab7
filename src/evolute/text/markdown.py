"""Text of others, made harmless inside Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from evolute.text.printing import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#|~!$])")
_LONGEST = 500


def one_line(text: str) -> str:
    """The text on one line, at most 500 characters, with what would steer a terminal or reorder text escaped."""
    short = printable(" ".join(text.split()))
    return short if len(short) <= _LONGEST else short[: _LONGEST - 1] + "…"


def inline(text: str) -> str:
    """The text for a sentence or a table's cell: no markup, HTML, link or formula in it takes effect."""
    return _SPECIAL.sub(r"\\\1", html.escape(one_line(text), quote=False))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, all but the header escaped."""
    lines = [header, ["---"] * len(header), *([inline(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code_block(text: str, language: str) -> str:
    """The text as it stands, in a fence longer than any in it."""
    safe = printable(text.replace("\r\n", "\n"))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", safe)), default=0))
    return f"{fence}{language}\n{safe}\n{fence}"
