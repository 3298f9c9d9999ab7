"""Read a judge's reply, strictly: a verdict is never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence

import orjson

_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_LABEL = re.compile(r"[\W_]*(?:your |final |my )?(?:verdict|answer|judge?ment)[*_]*\s*[:：][\s*_]*", re.IGNORECASE)


def parse_verdict(text: str, choices: Sequence[str]) -> str | None:
    """The choice that a reply names, or None.

    Accepted: JSON `{"verdict": CHOICE}`; a choice alone, up to case, markdown, quotes, a label ("Verdict:") and final
    punctuation; or that as the first line, unless another line names another choice. The words of a choice inside a
    sentence do not count, so "not equal" is never read as "equal".
    """
    text = text.strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    plain = {_plain(choice): choice for choice in choices}
    if text.startswith("{"):
        return plain.get(_plain(_json_verdict(text)))
    named = [plain.get(_plain(_LABEL.sub("", line, count=1))) for line in text.splitlines() if line.strip()]
    if not named or named[0] is None or set(named) - {named[0], None}:
        return None
    return named[0]


def _json_verdict(text: str) -> str:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    verdict = value.get("verdict") if isinstance(value, dict) and len(value) == 1 else None
    return verdict if isinstance(verdict, str) else ""


def _plain(text: str) -> str:
    """Lower case, one space between words, without markdown, quotes and closing punctuation around it."""
    return " ".join(text.casefold().split()).strip(" *_#`\"'“”‘’«»().!。")
