"""Texts into the word pieces of a BERT vocabulary, fast enough in plain Python.

Schuster and Nakajima, "Japanese and Korean Voice Search" (2012), as BERT's uncased models use it: a word is cut into
the longest pieces that the vocabulary holds, from its start. What makes it fast is that texts repeat their words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+|[^\w\s]|_")
_LONGEST_WORD = 100  # characters; what is longer is no word, and its pieces would say nothing
_LONGEST_KEPT, _MOST_KEPT = 40, 100_000  # bounds what is remembered to some 20 MB


class WordPieces:
    """Cuts texts into the numbers of their pieces.

    Args:
        vocabulary: the pieces; those that continue a word begin with `##`. A piece's place is its number.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._number = {piece: number for number, piece in enumerate(vocabulary)}
        self._kept = _Kept(self)

    def of(self, text: str) -> list[int]:
        """The pieces of `text`, in order; words that the vocabulary cannot make are left out."""
        text = text.lower()
        if not text.isascii():
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        kept = self._kept
        if len(kept) > _MOST_KEPT:
            kept.clear()
        pieces: list[int] = []
        for chunk in text.split():
            pieces += kept[chunk]
        return pieces

    def _cut(self, word: str) -> list[int]:
        number, pieces, start = self._number, [], 0
        if len(word) > _LONGEST_WORD:
            return []
        while start < len(word):
            mark = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = number.get(mark + word[start:end])
                if piece is not None:
                    break
            else:
                return []
            pieces.append(piece)
            start = end
        return pieces


class _Kept(dict[str, list[int]]):
    """The pieces of each run of characters between spaces that was seen lately."""

    def __init__(self, pieces: WordPieces) -> None:
        self._pieces = pieces

    def __missing__(self, chunk: str) -> list[int]:
        found = [piece for word in _WORD.findall(chunk) for piece in self._pieces._cut(word)]
        if len(chunk) <= _LONGEST_KEPT:
            self[chunk] = found
        return found
