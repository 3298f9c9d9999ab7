"""Answers that break off: a fence that is never closed, a last word that cannot be the last."""

from __future__ import annotations

import re

from evolute.records import Finding, Reason
from evolute.select.exchange import Exchange

# Words after which an English text goes on.
_OPEN_WORD = re.compile(
    r"(?<![\w'’])(?:the|an|and|or|of|because|their|your|our|my|into|than|whose|including|with|which|from)\Z"
)
_FENCE = re.compile(r"^[ \t>]*```", re.MULTILINE)
_ENDED = re.compile(r"[.!?…:;]['\"”’)\]*_]*$")
_STOPS = re.compile(r"[a-z0-9)][.!?]['\"”’)]*\s+(?=[A-Z\"“])")
_NOT_PROSE = re.compile(r"[{}=<>|\\\[\]#$^]|https?:|\bwww\.|@|__|\*\*|^\W*(?:[A-Za-z]|\d+)[.):]\s")
_SMALL = re.compile(r"\s[a-z]\w*")
_ABRUPT, _NO_STOP = 1.0, 0.5
FEWEST_WORDS = 8
"""A last line of fewer words may be a signature, a heading or a bare answer, which end without a full stop. Three words
in small letters after its first tell a sentence from a name."""


def truncation(exchange: Exchange) -> Finding | None:
    """How an answer breaks off, or None.

    The score is 1 for what no finished answer ends with (an open fence, a comma, "and the"), and 0.5 for a last
    sentence without its full stop in a text whose other sentences have theirs.
    """
    text = exchange.response.rstrip()
    if "```" in text and "````" not in text and len(_FENCE.findall(text)) % 2:
        return _broken("a code fence is not closed", text, _ABRUPT)
    if not text or text[-1] in '.!?。！？"”)]}`*|;>…' or not exchange.english:
        return None
    line = text.rpartition("\n")[2]
    length = len(line.split())
    if _ends_open(line, length, text):
        return _broken("ends in the middle of a sentence", text, _ABRUPT)
    if text[-1].isalnum() and (length >= FEWEST_WORDS or len(_SMALL.findall(line)) >= 3) and _others_end(text, line):
        return _broken("the last sentence has no end", text, _NO_STOP)
    return None


def _ends_open(line: str, length: int, text: str) -> bool:
    if _NOT_PROSE.search(line) and length < FEWEST_WORDS:
        return False
    # "Best regards," and the last line of a poem: short lines may end with a comma.
    if text[-1] in ",(":
        return length >= FEWEST_WORDS
    return length >= 4 and _OPEN_WORD.search(line) is not None


def _others_end(text: str, line: str) -> bool:
    """Whether the sentences before the last one end as sentences do: nearly every long line, and two at the least."""
    if _NOT_PROSE.search(line):
        return False
    long = [other for other in map(str.rstrip, text.split("\n")[:-1]) if other.count(" ") >= FEWEST_WORDS]
    ended = sum(_ENDED.search(other) is not None for other in long)
    return ended >= 0.8 * len(long) and ended + len(_STOPS.findall(line)) >= 2


def _broken(sign: str, text: str, score: float) -> Finding:
    return Finding(Reason.RESPONSE_TRUNCATED, {"sign": sign, "words": text[-60:], "score": score})
