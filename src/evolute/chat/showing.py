"""A conversation as a page shows it: messages of Gradio's chatbot, with hostile text made harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from evolute.chat.talking import Answer
from evolute.chat.turns import Turn
from evolute.text import printable

_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_SPAN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)")
_ENTITY = "&lt;"
_APART = "<\u200b"
"""A sign and a space of no width: no tag either. The user's own words stand so, for they can be edited on the page."""
_MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$&])")


def shown(turns: Sequence[Turn], side: int) -> list[dict[str, Any]]:
    """The messages of one model's conversation."""
    return [message for turn in turns for message in _shown(turn, side)]


def turn_at(turns: Sequence[Turn], side: int, index: int) -> int:
    """The turn that the message at `index` belongs to; the last one, if there is no such message."""
    for place, turn in enumerate(turns):
        index -= len(list(_shown(turn, side)))
        if index < 0:
            return place
    return len(turns) - 1


def literal(text: str) -> str:
    """Text as Markdown that shows it as it is."""
    return _MARKS.sub(r"\\\1", " ".join(printable(text).split()))


def unmarked(text: str) -> str:
    """The user's words, as they came back from the page."""
    return text.replace(_APART, "<")


def harmless(text: str, sign: str = _ENTITY) -> str:
    """A text's Markdown with its HTML shown as text, so that `List<int>` is not lost and no tag does anything.

    Code keeps its signs: fenced, indented by four, or between backticks in a line. What this misses, the page's
    sanitiser and its content policy stop.
    """
    return "\n".join(_lines(printable(text), sign))


def _lines(text: str, sign: str) -> Iterator[str]:
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" " + fence[0]):
                fence = ""
            yield line
        elif mark:
            fence = mark[1]
            yield line
        else:
            yield line if line.startswith(("    ", "\t")) else _outside(line, sign)


def _outside(line: str, sign: str) -> str:
    """A line with `<` escaped outside its code spans."""
    parts, at = [], 0
    for span in _SPAN.finditer(line):
        parts += [line[at : span.start()].replace("<", sign), span[0]]
        at = span.end()
    return "".join([*parts, line[at:].replace("<", sign)])


def _shown(turn: Turn, side: int) -> Iterator[dict[str, Any]]:
    yield {"role": "user", "content": harmless(turn.asked, _APART)}
    if side < len(turn.answers):
        yield from _answer(turn.answers[side])


def _answer(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.thoughts.strip():
        yield {"role": "assistant", "content": harmless(answer.thoughts), "metadata": {"title": "Thinking"}}
    text, note = answer.text, answer.problem or ("cut off at the most tokens of an answer" if answer.cut else "")
    if text.strip() or not note:
        yield {"role": "assistant", "content": harmless(text) or "…"}
    if note:
        yield {"role": "assistant", "content": f"*({literal(note)})*"}
