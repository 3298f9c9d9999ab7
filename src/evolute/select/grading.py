"""What a grader is asked about rows, and how its reply is read: strictly, a mark is never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import orjson

from evolute.records import Row
from evolute.text import printable

DIFFICULTIES = tuple(str(mark) for mark in range(1, 11))
"""The marks of difficulty, as choices that an endpoint can hold a model to."""

_ALONE = re.compile(r"[\s*_#\"'`]*(?:(?:score|difficulty|rating|answer|verdict)[\s*_]*[:=]?)?[\s*_\"'`]*"
                    r"(\d{1,2}(?:\.\d)?)(?:\s*/\s*10)?[\s*_\"'`.]*", re.IGNORECASE)  # fmt: skip
_LISTED = re.compile(
    r"[\s*_-]*\[(\d{1,3})\][\s*_]*(?:score)?[\s*_:=-]*(\d{1,2}(?:\.\d)?)(?:\s*/\s*\d+)?[\s*_.]*", re.IGNORECASE
)
_SHOWN = 200


def parse_mark(text: str, low: float, high: float) -> float | None:
    """The one mark that a reply gives, or None.

    Accepted: the number alone, up to markdown, a label ("Score: 7") and "/10"; as JSON, `{"verdict": 7}` or
    `{"score": 7}`. Prose is no mark, even where a number stands in it.
    """
    text = text.strip()
    if text.startswith("{"):
        text = _json_mark(text)
    found = _ALONE.fullmatch(text)
    mark = float(found[1]) if found else None
    return mark if mark is not None and low <= mark <= high else None


def parse_marks(text: str, count: int, low: float, high: float) -> list[float] | None:
    """The marks of items 1 to `count`, or None.

    Wanted: a line `[number] mark` for each item, each once. Other lines without a number in brackets are passed over.
    """
    marks: dict[int, float] = {}
    for line in text.splitlines():
        if not (found := _LISTED.fullmatch(line)):
            if "[" in line and re.search(r"\[\d+\]", line):
                return None
            continue
        number, mark = int(found[1]), float(found[2])
        if number in marks or not 1 <= number <= count or not low <= mark <= high:
            return None
        marks[number] = mark
    return [marks[number] for number in range(1, count + 1)] if len(marks) == count else None


def instructions_as_items(rows: Sequence[Row]) -> str:
    """Instructions, numbered from 1, for a grader to compare."""
    return _numbered("Question", (row.asked for row in rows))


def pairs_as_items(rows: Sequence[Row]) -> str:
    """Instructions with their responses, numbered from 1."""
    return _numbered("Question", (f"{row.asked}\n\n#Response#\n{row.response or ''}" for row in rows))


def responses_as_items(responses: Iterable[str]) -> str:
    """Responses to one instruction, numbered from 1."""
    return _numbered("Response", responses)


def shown_reply(text: str | None) -> str:
    """The beginning of a reply that was no mark, as evidence."""
    return printable((text or "(nothing)")[:_SHOWN])


def _numbered(kind: str, texts: Iterable[str]) -> str:
    return "\n\n".join(f"#{kind} [{number}]#\n{text}" for number, text in enumerate(texts, 1))


def _json_mark(text: str) -> str:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(value, dict) or len(value) != 1:
        return ""
    (name, mark), *_ = value.items()
    return str(mark) if name in ("verdict", "score", "difficulty", "rating") else ""
