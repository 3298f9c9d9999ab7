"""Words and likeness, as all rules see them: letters and digits, without case, punctuation or layout."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

from rapidfuzz.fuzz import ratio

T = TypeVar("T")

# Chinese and Japanese do not part their words: each character counts as one.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# For ASCII, a table of bytes: what is neither letter, digit nor underscore parts words. Six times as fast as a pattern.
_ASCII_TABLE = bytes(
    ord(chr(code).lower()) if code < 128 and (chr(code).isalnum() or code == ord("_")) else 32 for code in range(256)
)
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")

CACHED, LONGEST_CACHED = 512, 2000
"""Texts remembered, and the most characters one of them may have: a parent is asked about again when its child comes
back, a round later. This bounds the memory to some 6 MB."""
NEW_WORDS = 4
"""With so many words that the other text lacks, a text is never called the same: in 400 words, a new requirement of
twenty leaves the ratio of characters at 0.97."""


def _remembered(function: Callable[[str], T]) -> Callable[[str], T]:
    """Remember the results for the last texts that are not too long."""
    cached = lru_cache(maxsize=CACHED)(function)

    @wraps(function)
    def wrapper(text: str) -> T:
        return cached(text) if len(text) <= LONGEST_CACHED else function(text)

    return wrapper


@_remembered
def words(text: str) -> tuple[str, ...]:
    """The words of `text`, in order, case-folded."""
    if text.isascii():
        return tuple(text.encode().translate(_ASCII_TABLE).decode().split())
    return tuple(_WORD.findall(text.casefold()))


@_remembered
def vocabulary(text: str) -> frozenset[str]:
    """The different words of `text`."""
    return frozenset(words(text))


def normalised(text: str) -> str:
    """The words of `text` with one space between them."""
    return " ".join(words(text))


def count_words(text: str) -> int:
    """How many words; two ideographs count as one word."""
    count = len(words(text))
    return count if text.isascii() else count - len(_IDEOGRAPH.findall(text)) // 2


def likeness(text: str, other: str, cutoff: float) -> float | None:
    """How like `other` a text is (0 to 1), or None below `cutoff` or when it says `NEW_WORDS` words more.

    The score is rapidfuzz's normalised indel ratio of the words as one string.
    """
    first, second = normalised(text), normalised(other)
    if first == second:
        return 1.0
    score = ratio(first, second, score_cutoff=100 * cutoff)
    if score == 0 or (Counter(words(text)) - Counter(words(other))).total() >= NEW_WORDS:
        return None
    return score / 100
