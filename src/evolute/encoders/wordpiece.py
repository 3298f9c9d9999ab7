"""Texts into the word pieces of a BERT vocabulary, fast enough in plain Python.

Schuster and Nakajima, "Japanese and Korean Voice Search" (2012), as BERT's uncased models use it: a word is cut into
the longest pieces that the vocabulary holds, from its start. What makes it fast is that texts repeat their words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
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
        bare = enumerate(piece.removeprefix("##") for piece in vocabulary)
        self._letters = {number for number, piece in bare if len(piece) == 1 and piece.isalpha()}
        self._kept = _Kept(self)

    def of(self, text: str) -> list[int]:
        """The pieces of `text`, in order; words that the vocabulary cannot make are left out."""
        return self.read(text)[0]

    def read(self, text: str) -> tuple[list[int], float]:
        """The pieces, and the share of the text's letters (0 to 1) that they do not read.

        Unread are the letters of words that the vocabulary cannot make, or makes of single letters: these tell an
        alphabet, not a meaning. Digits and punctuation do not count; a word of one ASCII letter is read, and so is an
        ideograph that the vocabulary has.
        """
        text = text.lower()
        if not text.isascii():
            text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
        kept = self._kept
        if len(kept) > _MOST_KEPT:
            kept.clear()
        pieces: list[int] = []
        letters = unread = 0
        for chunk in text.split():
            found, here, lost = kept[chunk]
            pieces += found
            letters += here
            unread += lost
        return pieces, unread / letters if letters else 0.0

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

    def _unread(self, word: str, letters: int, pieces: list[int]) -> int:
        if not pieces:
            return letters
        if letters == 1 and (word.isascii() or _IDEOGRAPH.match(word)):
            return 0
        return sum(1 for piece in pieces if piece in self._letters)


class _Kept(dict[str, tuple[list[int], int, int]]):
    """Of each run of characters between spaces that was seen lately: its pieces, letters, and unread letters."""

    def __init__(self, pieces: WordPieces) -> None:
        self._pieces = pieces

    def __missing__(self, chunk: str) -> tuple[list[int], int, int]:
        pieces: list[int] = []
        letters = unread = 0
        for word in _WORD.findall(chunk):
            cut = self._pieces._cut(word)
            pieces += cut
            if here := sum(map(str.isalpha, word)):
                letters += here
                unread += self._pieces._unread(word, here, cut)
        found = pieces, letters, unread
        if len(chunk) <= _LONGEST_KEPT:
            self[chunk] = found
        return found
